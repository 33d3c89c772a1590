"""Candidates by landmarks and images: altered copies are found at their offset, and nothing else."""

from collections import Counter

import numpy as np
import pytest
import soxr

from earmark.audit import matches
from earmark.audit.confirm import compare_waveforms
from earmark.audit.fingerprint import FRAMES_PER_SECOND, fingerprint_of
from earmark.audit.matches import CERTAIN, Match, find_matches
from sounds import RATE, noisy, scene


def matches_of(waveforms: list[np.ndarray], evidence: float = CERTAIN) -> dict[tuple[int, int], Match]:
    found = find_matches([fingerprint_of(waveform) for waveform in waveforms], evidence)
    return {(match.first, match.second): match for match in found}


@pytest.mark.parametrize(
    ("alter", "offset"),
    [
        (lambda w: w * 0.1, 0.0),
        (lambda w: -w, 0.0),
        (noisy, 0.0),
        (lambda w: soxr.resample(soxr.resample(w, RATE, 11025), 11025, RATE), 0.0),
        (lambda w: w[12345:], 12345 / RATE),
        (lambda w: np.concatenate([scene(99, 1.0), w[: len(w) // 2]]), -1.0),
        (lambda w: np.round(w * 127) / 127, 0.0),
    ],
    ids=["quieter", "inverted", "noisy", "resampled", "cut", "half after another sound", "eight bits"],
)
def test_altered_copies_are_found_at_their_offset(alter, offset):
    waveforms = [scene(seed) for seed in range(6)]
    waveforms.append(np.asarray(alter(waveforms[2]), np.float32))
    found = matches_of(waveforms)
    assert set(found) == {(2, 6)}
    assert found[2, 6].offset / FRAMES_PER_SECOND == pytest.approx(offset, abs=1.5 / FRAMES_PER_SECOND)
    assert compare_waveforms(found[2, 6], waveforms[2], waveforms[6]).coherence > 0.5


def test_the_shared_time_is_that_of_the_overlap():
    waveforms = [scene(1), np.concatenate([scene(98, 1.5), scene(1)[: int(1.5 * RATE)]])]
    match = matches_of(waveforms)[0, 1]
    assert match.n_frames / FRAMES_PER_SECOND == pytest.approx(1.5, abs=0.4)


def test_silence_and_one_frame_match_nothing():
    silent = np.zeros(RATE, np.float32)
    assert not matches_of([silent, silent, scene(0)[:100], scene(0)[:100], scene(0)])


def test_no_clips_no_matches():
    assert find_matches([]) == []


def test_landmarks_are_counted_as_by_hand(monkeypatch):
    monkeypatch.setattr(matches, "MIN_LANDMARKS", 1)
    monkeypatch.setattr(matches, "MAX_OFFSETS", 10_000)
    prints = [fingerprint_of(scene(seed % 3, 1.0 + seed / 4)) for seed in range(5)]
    found = {(a, b): dict(offsets) for a, b, offsets in matches._candidates(prints)}
    for a in range(5):
        for b in range(a + 1, 5):
            anchors = {
                (int(s), int(s) - int(t))
                for h, s in zip(prints[a].hashes, prints[a].times, strict=True)
                for t in prints[b].times[prints[b].hashes == h]
            }
            count = Counter(offset for _, offset in anchors)
            expected = {offset: n + count.get(offset + 1, 0) for offset, n in count.items()}
            assert found.get((a, b), {}) == expected


def test_a_crowd_of_copies_is_found_as_a_chain(monkeypatch):
    """More copies of one clip than a hash may link pair by pair."""
    monkeypatch.setattr(matches, "MAX_PER_HASH", 8)
    waveforms = [noisy(scene(1, 1.0), 30) * (1 - i / 40) for i in range(30)] + [scene(2, 1.0), scene(3, 1.0)]
    cluster = {0}
    for first, second in sorted(matches_of(waveforms)):
        cluster |= {first, second} if first in cluster else set()
    assert cluster == set(range(30))


def test_blocks_change_nothing(monkeypatch):
    waveforms = [scene(seed % 7) for seed in range(12)]
    whole = matches_of(waveforms)
    monkeypatch.setattr(matches, "BLOCK_HITS", 50)
    assert matches_of(waveforms) == whole and len(whole) == 5
