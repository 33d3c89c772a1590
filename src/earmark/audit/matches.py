"""Candidates: pairs of clips that have landmarks in common at one time offset, and whose images agree there.

An inverted index of the hashes gives pairs of clips with several landmarks at one offset; the images of such a pair
are then laid over each other at that offset and correlated, in the second where they agree best. The work grows with
the number of clips, not of pairs, since a hash that is common in the collection is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from earmark.audit.fingerprint import DETAIL_STEPS_PER_DB, SECOND, Fingerprint

MAX_PER_HASH = 50
"""A hash that is more frequent than this in the collection is not informative."""
CHAIN = 5
"""Such a hash still links each landmark to this many next ones: many copies of one clip are found as a chain."""
MIN_LANDMARKS = 3
"""Landmarks at one offset that make a pair a candidate."""
MAX_OFFSETS = 3
"""Offsets compared per pair."""
MAX_CANDIDATES = 50
"""Pairs compared per clip, those with most landmarks first."""
BLOCK_HITS = 1_000_000
"""Hits counted at a time; bounds the memory."""
HIT_SLOTS = 2**22 + 15
"""Slots of the table that tells promising hits from single ones."""

VARIANCE_FLOOR = 1.0
"""Added to the variance in dB^2, so that two flat images do not agree by rounding errors."""
MIN_OVERLAP = 12
"""Frames that two clips must share to be compared."""
MIN_SHIFT, REPETITION = 3, 0.9
"""Offsets further apart than this many frames are different ones; a sound that repeats matches equally well at both."""
AGREEMENT = 0.5
"""A second with this correlation counts as shared."""
LANDMARK_WEIGHT = 0.08
"""What a doubling of the landmarks counts, in units of correlation."""
LIKELY, CERTAIN = 0.6, 0.85
"""Evidence above which waveforms are compared, and above which images alone are enough."""


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


def find_matches(prints: Sequence[Fingerprint], evidence: float = CERTAIN, n_first: int = 0) -> list[Match]:
    """All pairs of clips whose images give at least this evidence of shared audio, in order of their indices.

    Args:
        prints: of the clips.
        evidence: of the pairs.
        n_first: compare the first ones with the others alone; 0 compares all.
    """
    matches = []
    for first, second, offsets in _candidates(prints):
        if n_first and not first < n_first <= second:
            continue
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
    """The mean of every window of this many values, (T - window + 1,)."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return (total[window:] - total[:-window]) / window


@dataclass(frozen=True)
class _Index:
    """Landmarks in order of their hash, then clip, without those that occur once."""

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
