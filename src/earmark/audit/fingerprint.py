"""Find pairs of clips that share audio, whatever gain, codec, sampling rate, noise or offset lies between them.

Spectral peaks of the log-mel image are linked to triples, and each triple becomes a hash that depends on neither
level nor position (landmarks: Wang 2003; triples of peaks against chance hits: Six and Leman 2014). An inverted index
of the hashes gives pairs of clips with several landmarks at one time offset; the images of such a pair are then
laid over each other at that offset and correlated, in the second where they agree best. Last, the waveforms of that
second are cross-correlated: two takes of the same sentence or alarm clock look alike, but only copies agree in phase.
The work grows with the number of clips, not of pairs, since a hash that is common in the collection counts little.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import maximum_filter, maximum_filter1d, uniform_filter1d

from earmark.config.sections import FrontEndConfig
from earmark.features.log_mel import log_mel

FRONT_END = FrontEndConfig(
    sample_rate=16000, n_fft=1024, hop_length=256, n_mels=96, f_min=60.0, f_max=7600.0, range_db=70.0
)
"""What waveforms are looked at through: bands that survive codecs, frames of 16 ms."""
FRAMES_PER_SECOND = FRONT_END.sample_rate / FRONT_END.hop_length
SECOND = 63
"""Frames over which the loudness is followed, peaks are rationed and images are compared."""

NEIGHBOURHOOD = (3, 5)
"""A peak is the highest point among so many bins and frames."""
PEAKS_PER_SECOND = 60
"""The most prominent peaks of each second are kept."""
FOLLOWERS = 4
"""Each peak is linked to pairs of so many peaks after it."""
MIN_GAP, MAX_GAP, MAX_STEP = 2, 60, 24
"""A follower comes so many frames later, and is at most so many bins away."""

MAX_PER_HASH = 50
"""A hash that is found more often than this in the collection says little."""
CHAIN = 5
"""Such a hash still links each landmark to so many next ones: a crowd of copies is found as a chain."""
MIN_LANDMARKS = 3
"""Landmarks at one offset that make a pair worth a look."""
MAX_OFFSETS = 3
"""Offsets looked at per pair."""
MAX_CANDIDATES = 50
"""Pairs looked at per clip, those with most landmarks first."""
BLOCK_HITS = 1_000_000
"""Hits counted at a time; bounds the memory."""
HIT_SLOTS = 2**22 + 15
"""Slots of the table that tells promising hits from single ones."""

DEPTH_DB = 45.0
"""Levels further below the loudest band of the surrounding second are noise and are evened out."""
SMOOTHING_BINS = 15
"""Bins over which the spectral envelope is taken out."""
DETAIL_STEPS_PER_DB = 2
"""The detail of an image is kept in half decibels."""
VARIANCE_FLOOR = 1.0
"""Added to the variance in dB^2, so that two flat images do not agree by rounding."""
MIN_OVERLAP = 12
"""Frames that two clips must share to be compared."""
MIN_SHIFT, REPETITION = 3, 0.9
"""Offsets further apart than so many frames are different ones; a sound that repeats fits as well at both."""
AGREEMENT = 0.5
"""A second with this correlation counts as shared."""
LANDMARK_WEIGHT = 0.08
"""What a doubling of the landmarks counts, in units of correlation."""
LIKELY, CERTAIN = 0.6, 0.85
"""Evidence that makes waveforms worth comparing, and that will do where there are only images."""

WHITENING = 0.7
"""Exponent that evens out the spectra before the cross-correlation (0: not at all, 1: phase only)."""
MAX_SHIFT = 640
"""Samples by which the true offset may differ from the one of the images."""
SAME_WAVEFORM = 0.35
"""Coherence that copies reach, mostly far exceeded; unrelated waveforms stay below 0.2, but for single tones."""
SAME_SOUND = 1.35
"""Evidence and coherence together that copies reach and single tones of one pitch do not."""


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of a clip to find others that share audio with it."""

    hashes: np.ndarray
    """Landmarks, uint32 (L,)."""
    times: np.ndarray
    """The frame of each landmark, int32 (L,)."""
    detail: np.ndarray
    """Local spectral detail in half decibels, int8 (F, T)."""


@dataclass(frozen=True)
class Match:
    """Two clips that share audio."""

    first: int
    """Index of one clip."""
    second: int
    """Index of the other, a higher one."""
    offset: int
    """Frames by which what they share comes later in the first clip than in the second."""
    n_landmarks: int
    """Landmarks they share at this offset."""
    score: float
    """Correlation of the images in the second where they agree best, at most 1."""
    n_frames: int
    """Frames in which they agree."""
    best: slice
    """The frames of the first clip where they agree best: a second, or all they share."""
    rival: float = 0.0
    """Score at another offset, where the pair has landmarks too."""

    @property
    def evidence(self) -> float:
        """Correlation and landmarks in one number."""
        return self.score + LANDMARK_WEIGHT * float(np.log2(self.n_landmarks))

    @property
    def repeats(self) -> bool:
        """Whether the clips fit as well at another offset: both beep alike, which two alarm clocks do."""
        return self.rival > REPETITION * self.score


def fingerprint_of(waveform: np.ndarray) -> Fingerprint:
    """The fingerprint of a waveform (N,) at `FRONT_END.sample_rate`."""
    return fingerprint_of_level(log_mel(waveform, FRONT_END))


def fingerprint_of_level(level: np.ndarray) -> Fingerprint:
    """The fingerprint of a log-mel spectrogram (F, T) in dB, whose minimum is taken for silence."""
    times, bins = find_peaks(level)
    return Fingerprint(*_landmarks(times, bins), _detail(level))


def find_peaks(level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames and bins of the local maxima that stand out most from their surroundings, in order of time."""
    highest = maximum_filter(level, size=NEIGHBOURHOOD, mode="constant", cval=-np.inf)
    bins, times = np.nonzero((level == highest) & (level > level.min() + 1))
    surroundings = uniform_filter1d(uniform_filter1d(level, 9, axis=0), SECOND, axis=1)
    prominence = (level - surroundings)[bins, times]
    order = np.lexsort((-prominence, times // SECOND))
    second = (times // SECOND)[order]
    rank = np.arange(len(second)) - np.searchsorted(second, second)
    kept = order[rank < PEAKS_PER_SECOND]
    kept = kept[np.lexsort((bins[kept], times[kept]))]
    return times[kept], bins[kept]


def _landmarks(times: np.ndarray, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of a peak and two of its followers, and the frame of the peak; each only once."""
    followers = _followers(times, bins)
    coarse = bins // (1 + bins.max(initial=0) // 128)
    found = [np.zeros((0, 2), np.int64)]
    for i in range(FOLLOWERS):
        for j in range(i + 1, FOLLOWERS):
            anchor = np.flatnonzero(followers[:, j] >= 0)
            value = coarse[anchor]
            for follower in (followers[anchor, i], followers[anchor, j]):
                value = value * 64 + (bins[follower] - bins[anchor] + 32)
                value = value * 32 + (times[follower] - times[anchor]) // 2
            found.append(np.column_stack([value, times[anchor]]))
    unique = np.unique(np.concatenate(found), axis=0)
    return unique[:, 0].astype(np.uint32), unique[:, 1].astype(np.int32)


def _followers(times: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """The first peaks after each one that are near enough, (P, FOLLOWERS); -1 where there are fewer."""
    n = len(times)
    followers = np.full((n, FOLLOWERS), -1, np.int64)
    count = np.zeros(n, np.int64)
    for step in range(1, n):
        gap = times[step:] - times[:-step]
        near = (gap >= MIN_GAP) & (gap <= MAX_GAP) & (np.abs(bins[step:] - bins[:-step]) <= MAX_STEP)
        anchor = np.flatnonzero(near & (count[:-step] < FOLLOWERS))
        followers[anchor, count[anchor]] = anchor + step
        count[anchor] += 1
        if gap.min() > MAX_GAP:
            break
    return followers


def _detail(level: np.ndarray) -> np.ndarray:
    """The level without its mean over the surrounding second and its envelope over the bins: int8 (F, T)."""
    floor = maximum_filter1d(level.max(axis=0), SECOND) - DEPTH_DB
    detail = np.maximum(level, floor)
    detail -= uniform_filter1d(detail, SECOND, axis=1)
    detail -= uniform_filter1d(detail, SMOOTHING_BINS, axis=0)
    return np.clip(np.rint(detail * DETAIL_STEPS_PER_DB), -127, 127).astype(np.int8)


def find_matches(prints: Sequence[Fingerprint], evidence: float = CERTAIN) -> list[Match]:
    """All pairs of clips whose images give at least this evidence of shared audio, in order of their indices."""
    matches = []
    for first, second, offsets in _candidates(prints):
        found = [compare(prints, first, second, offset, n) for offset, n in offsets]
        best = max(found, key=lambda match: match.score)
        rivals = [match.score for match in found if abs(match.offset - best.offset) > MIN_SHIFT]
        matches.append(replace(best, rival=max(rivals, default=0.0)))
    return sorted((m for m in matches if m.evidence >= evidence), key=lambda m: (m.first, m.second))


def compare(prints: Sequence[Fingerprint], first: int, second: int, offset: int, n_landmarks: int) -> Match:
    """Lay one image over the other at about this offset and find the second in which they agree best."""
    a, b = (prints[i].detail.astype(np.float32) / DETAIL_STEPS_PER_DB for i in (first, second))
    energy_a, energy_b = np.einsum("ft,ft->t", a, a), np.einsum("ft,ft->t", b, b)
    best = Match(first, second, offset, n_landmarks, 0.0, 0, slice(0, 0))
    for lag in range(offset - 1, offset + 3):
        start, end = max(0, lag), min(a.shape[1], b.shape[1] + lag)
        if end - start < MIN_OVERLAP:
            continue
        window = min(SECOND, end - start)
        here, there = slice(start, end), slice(start - lag, end - lag)
        product = np.einsum("ft,ft->t", a[:, here], b[:, there])
        power = _means(energy_a[here], window) * _means(energy_b[there], window)
        correlation = _means(product, window) / (np.sqrt(np.maximum(power, 0.0)) + VARIANCE_FLOOR * len(a))
        score = float(correlation.max())
        if score > best.score:
            agree = correlation > AGREEMENT
            n_frames = int(agree.sum() + window // 2 * (int(agree[0]) + int(agree[-1])))
            begin = start + int(correlation.argmax())
            where = slice(begin, begin + window)
            best = Match(first, second, lag, n_landmarks, score, min(n_frames, end - start), where)
    return best


def _means(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of every window of so many values, (T - window + 1,)."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return (total[window:] - total[:-window]) / window


def coherence(match: Match, first: np.ndarray, second: np.ndarray) -> float:
    """How well the waveforms of a match agree, sample by sample, where their images agree best.

    Generalised cross-correlation (Knapp and Carter 1976) with partly whitened spectra: 1 for copies that differ in
    level or sign only, about 0.05 for different sounds.

    Args:
        match: what the images gave.
        first, second: the two waveforms (N,) at `FRONT_END.sample_rate`.
    """
    hop = FRONT_END.hop_length
    a = first[match.best.start * hop : match.best.stop * hop]
    start = (match.best.start - match.offset) * hop - MAX_SHIFT
    padded = np.pad(second, (max(0, -start), len(a) + 2 * MAX_SHIFT))
    b = padded[max(0, start) :][: len(a) + 2 * MAX_SHIFT]
    spectra = [np.fft.rfft(x * np.hanning(len(x)), len(a) + len(b)) for x in (a, b)]
    spectra = [s / np.maximum(np.abs(s), 1e-9) ** WHITENING for s in spectra]
    product = spectra[1] * spectra[0].conj()
    correlation = np.fft.irfft(product, len(a) + len(b))[: 2 * MAX_SHIFT + 1]
    energy = np.prod([np.sum(np.fft.irfft(s, len(a) + len(b)) ** 2) for s in spectra])
    return float(np.abs(correlation).max() / np.sqrt(energy)) if energy else 0.0


def is_copy(match: Match, agreement: float) -> bool:
    """Whether images and waveforms (their `coherence`) together say that the two clips share a recording."""
    return agreement >= SAME_WAVEFORM and match.evidence + agreement >= SAME_SOUND


@dataclass(frozen=True)
class _Index:
    """Landmarks in order of their hash, then clip, without those that are alone."""

    clips: np.ndarray
    times: np.ndarray
    n_partners: np.ndarray
    """With how many rows after this one, of the same hash, it is compared."""


def _build_index(prints: Sequence[Fingerprint]) -> _Index:
    hashes = np.concatenate([p.hashes for p in prints])
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    starts = np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]])
    sizes = np.diff(np.r_[starts, len(hashes)])
    useful = np.repeat(sizes > 1, sizes)
    rest = np.repeat(starts + sizes - 1, sizes) - np.arange(len(hashes))
    limit = np.repeat(np.where(sizes > MAX_PER_HASH, CHAIN, MAX_PER_HASH), sizes)
    n_partners = np.minimum(rest, limit)[useful].astype(np.int32)
    clips = np.repeat(np.arange(len(prints), dtype=np.int32), [len(p.hashes) for p in prints])
    times = np.concatenate([p.times for p in prints])
    return _Index(clips[order][useful], times[order][useful], n_partners)


Candidate = tuple[int, int, list[tuple[int, int]]]
"""Two clips, and the offsets at which they share landmarks, with the number of these."""


def _candidates(prints: Sequence[Fingerprint]) -> Iterator[Candidate]:
    """Pairs that share landmarks at one offset, block by block of first clips."""
    if not prints:
        return
    index = _build_index(prints)
    rows = np.argsort(index.clips, kind="stable")
    hits = np.bincount(index.clips, weights=index.n_partners, minlength=len(prints))
    block = (np.cumsum(hits) // BLOCK_HITS).astype(np.int64)
    row_block = block[index.clips[rows]]
    for number in np.unique(row_block):
        here = rows[slice(*np.searchsorted(row_block, (number, number + 1)))]
        yield from _count(index, here, len(prints))


def _count(index: _Index, rows: np.ndarray, n_clips: int) -> Iterator[Candidate]:
    """Count landmarks per pair and offset for the pairs whose first clip owns these rows."""
    if not len(rows):
        return
    n = index.n_partners[rows]
    first = np.repeat(rows, n)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(n) - n, n)
    other = index.clips[first] != index.clips[second]
    first, second = first[other], second[other]
    n_frames = int(index.times.max()) + 1
    lowest = int(index.clips[rows].min())
    pair = (index.clips[first].astype(np.int64) - lowest) * n_clips + index.clips[second]
    key = pair * (2 * n_frames) + (index.times[first] - index.times[second] + n_frames)
    promising = _several(key)
    key = np.unique(key[promising] * n_frames + index.times[first[promising]]) // n_frames  # a landmark counts once
    key, count = np.unique(key, return_counts=True)
    touching = np.flatnonzero(key[1:] == key[:-1] + 1)  # the true offset may lie between two frames
    count[touching] += count[touching + 1]
    enough = count >= MIN_LANDMARKS
    pair, offset = np.divmod(key[enough], 2 * n_frames)
    yield from _best(pair + lowest * n_clips, offset - n_frames, count[enough], n_clips)


def _several(key: np.ndarray) -> np.ndarray:
    """Which keys may occur `MIN_LANDMARKS` times with the next one, counted in a table that may mix up some."""
    several = np.zeros(len(key), dtype=bool)
    for shift in (0, 1):
        slot = ((key + shift) // 2) % HIT_SLOTS
        several |= np.bincount(slot, minlength=HIT_SLOTS)[slot] >= MIN_LANDMARKS
    return several


def _best(pair: np.ndarray, offset: np.ndarray, count: np.ndarray, n_clips: int) -> Iterator[Candidate]:
    """The best offsets of each pair, and the best pairs of each first clip."""
    order = np.lexsort((-count, pair))
    pair, offset, count = pair[order], offset[order], count[order]
    rank = np.arange(len(pair)) - np.searchsorted(pair, pair)
    top = np.flatnonzero(rank == 0)
    first = pair[top] // n_clips
    by_clip = np.lexsort((-count[top], first))
    rank_of_pair = np.arange(len(top)) - np.searchsorted(first[by_clip], first[by_clip])
    for row in top[by_clip[rank_of_pair < MAX_CANDIDATES]]:
        end = row + int(np.searchsorted(pair[row : row + MAX_OFFSETS], pair[row], side="right"))
        a, b = divmod(int(pair[row]), n_clips)
        yield a, b, [(int(offset[i]), int(count[i])) for i in range(row, end)]
