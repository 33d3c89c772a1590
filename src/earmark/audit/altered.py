"""Find clips that are probably copies at another tempo or pitch, as augmentation before the split makes them.

Time stretching and pitch shifting by a phase vocoder keep no sample and no phase, so that waveforms prove nothing. But
the image of the copy is that of the original, stretched in time or moved in frequency. So the image of each clip is
altered in this way and compared with the images of all clips. Two takes of one sentence agree for a moment; only
copies agree from beginning to end, at one offset alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import map_coordinates

from earmark.audit.fingerprint import DETAIL_STEPS_PER_DB, FRONT_END, Fingerprint, fingerprint_of_level
from earmark.audit.matches import MIN_SHIFT, VARIANCE_FLOOR, find_matches
from earmark.features.log_mel import bin_of
from earmark.runtime.console import progress_bar
from earmark.runtime.pool import map_tasks

LEVEL_STEPS = 255
"""Steps of the range of the front end in which the level of an image is kept."""
CANDIDATE = 0.5
"""Evidence of one second above which whole images are compared."""
MIN_COMMON = 0.8
"""Of the shorter image, this fraction must lie on the other one."""
SIGNIFICANCE = 6.0
"""The correlation of whole images times the square root of their common frames, which copies reach."""
MIN_CORRELATION = 0.25
MIN_MARGIN = 0.2
"""By how much the correlation must exceed that at any other offset: sounds that repeat agree at several."""
N_PARTS, WEAKEST_PART = 5, 0.1
"""Parts of equal energy, and the correlation that each must reach: one event that is alike makes no copy."""


@dataclass(frozen=True)
class Change:
    """By how much the tempo or the pitch of a copy differs from that of the original."""

    tempo: float = 1.0
    semitones: float = 0.0

    def __str__(self) -> str:
        return f"tempo {self.tempo:g}" if self.tempo != 1 else f"pitch {self.semitones:+g} semitones"


@dataclass(frozen=True)
class Altered:
    """Two clips by their indices: the first is probably the second with a change."""

    first: int
    second: int
    change: Change
    correlation: float
    """Of the whole images, at most 1."""


def pack_level(level: np.ndarray) -> np.ndarray:
    """A log-mel spectrogram (F, T) of `FRONT_END` in dB as uint8."""
    return np.rint((level / FRONT_END.range_db + 1) * LEVEL_STEPS).astype(np.uint8)


def find_altered(
    levels: Sequence[np.ndarray],
    prints: Sequence[Fingerprint],
    tempos: Sequence[float],
    semitones: Sequence[float],
    jobs: int,
) -> list[Altered]:
    """Pairs of clips of which one is probably the other at another tempo or pitch, the best of each pair.

    Args:
        levels: of the clips, from `pack_level`.
        prints: their fingerprints.
        tempos: factors above 0, without 1; the pitch stays.
        semitones: by which the pitch is moved, without 0; the tempo stays.
        jobs: threads; 0 is one per core.
    """
    best: dict[frozenset[int], Altered] = {}
    for change in (*(Change(tempo=tempo) for tempo in tempos), *(Change(semitones=s) for s in semitones)):
        for found in _find(levels, prints, change, jobs):
            pair = frozenset((found.first, found.second))
            best[pair] = max(best.get(pair, found), found, key=lambda one: one.correlation)
    return list(best.values())


def _find(levels: Sequence[np.ndarray], prints: Sequence[Fingerprint], change: Change, jobs: int) -> Iterator[Altered]:
    changed = map_tasks(partial(_fingerprint_with, change), levels, jobs)
    n = len(levels)
    both = [*prints, *progress_bar(changed, str(change), n, "clip")]
    for match in find_matches(both, CANDIDATE, n_first=n):
        first, second = match.first, match.second - n
        if first != second:
            correlation = compare_whole(both[first].detail, both[match.second].detail, match.offset)
            if correlation:
                yield Altered(first, second, change, correlation)


def _fingerprint_with(change: Change, level: np.ndarray) -> Fingerprint:
    return fingerprint_of_level(alter((level / LEVEL_STEPS - 1) * FRONT_END.range_db, change))


def alter(level: np.ndarray, change: Change) -> np.ndarray:
    """The log-mel spectrogram (F, T) in dB that the clip has at another tempo or pitch, by linear interpolation."""
    n_bins, n_frames = level.shape
    grid = np.linspace(FRONT_END.f_min, FRONT_END.f_max, 10_000)
    hertz = np.interp(np.arange(n_bins), bin_of(grid, FRONT_END), grid)
    bins = bin_of(hertz / 2 ** (change.semitones / 12), FRONT_END)
    frames = np.arange(max(1, round(n_frames / change.tempo))) * change.tempo
    where = np.broadcast_arrays(bins[:, None], np.minimum(frames, n_frames - 1))
    return map_coordinates(level.astype(np.float32), where, order=1, cval=-FRONT_END.range_db)


def compare_whole(first: np.ndarray, second: np.ndarray, offset: int) -> float:
    """The correlation of two images in all that they have in common, if it is that of copies; else 0.

    Args:
        first: detail of a fingerprint, int8 (F, T).
        second: that of the other one.
        offset: frames by which what they share comes later in the first, about.
    """
    a, b = (x.astype(np.float32) / DETAIL_STEPS_PER_DB for x in (first, second))
    lags = np.arange(1 - b.shape[1], a.shape[1])
    n_common = np.minimum(a.shape[1], b.shape[1] + lags) - np.maximum(0, lags)
    correlation = np.where(n_common >= MIN_COMMON * n_common.max(), _correlate(a, b, lags, n_common), -1.0)
    best = int(np.where(np.abs(lags - offset) <= MIN_SHIFT, correlation, -2.0).argmax())
    rival = correlation[np.abs(lags - lags[best]) > 4 * MIN_SHIFT].max(initial=-1.0)
    enough = max(MIN_CORRELATION, SIGNIFICANCE / np.sqrt(n_common[best]), rival + MIN_MARGIN)
    is_copy = correlation[best] >= enough and _weakest_part(a, b, int(lags[best])) >= WEAKEST_PART
    return float(correlation[best]) if is_copy else 0.0


def _correlate(a: np.ndarray, b: np.ndarray, lags: np.ndarray, n_common: np.ndarray) -> np.ndarray:
    """The correlation of two images (F, T) at each lag of the second."""
    size = next_fast_len(a.shape[1] + b.shape[1], real=True)
    product = irfft((rfft(a, size) * rfft(b, size).conj()).sum(axis=0), size)[lags]
    total_a, total_b = (np.concatenate([[0.0], np.cumsum((x**2).sum(axis=0), dtype=np.float64)]) for x in (a, b))
    start = np.maximum(0, lags)
    energy_a = total_a[start + n_common] - total_a[start]
    energy_b = total_b[start - lags + n_common] - total_b[start - lags]
    return product / _norm(energy_a * energy_b, len(a) * n_common)


def _weakest_part(a: np.ndarray, b: np.ndarray, lag: int) -> float:
    """The lowest correlation of the parts into which all that two images have in common is divided by its energy."""
    start, end = max(0, lag), min(a.shape[1], b.shape[1] + lag)
    a, b = a[:, start:end], b[:, start - lag : end - lag]
    totals = [np.cumsum((x * y).sum(axis=0)) for x, y in ((a, b), (a, a), (b, b))]
    shared = np.sqrt(totals[1] * totals[2])
    ends = np.searchsorted(shared, np.linspace(0, shared[-1], N_PARTS + 1)[1:])
    product, energy_a, energy_b = (np.diff(total[ends], prepend=0.0) for total in totals)
    n_frames = np.diff(ends, prepend=-1)
    return float((product / _norm(energy_a * energy_b, len(a) * n_frames)).min())


def _norm(power: np.ndarray, n_values: np.ndarray) -> np.ndarray:
    """What a product of two images is divided by to be their correlation, from the product of their energies."""
    return np.sqrt(np.maximum(power, 0.0)) + VARIANCE_FLOOR * np.maximum(n_values, 1)
