"""Fingerprints: peaks, followers and landmarks against definitions written as loops."""

import numpy as np

from earmark.audit import fingerprint
from earmark.audit.fingerprint import FOLLOWERS, MAX_GAP, MAX_STEP, MIN_GAP, find_peaks


def test_peaks_are_the_local_maxima():
    level = np.random.default_rng(0).normal(size=(20, 40)) * 10
    times, bins = find_peaks(level)
    padded = np.pad(level, 2, constant_values=-np.inf)
    expected = {
        (t, f)
        for f in range(20)
        for t in range(40)
        if level[f, t] == padded[f + 1 : f + 4, t : t + 5].max() and level[f, t] > level.min() + 1
    }
    assert set(zip(times, bins, strict=True)) <= expected
    assert len(times) == min(len(expected), fingerprint.PEAKS_PER_SECOND)


def test_followers_are_the_first_peaks_near_by():
    rng = np.random.default_rng(0)
    times, bins = np.sort(rng.integers(0, 300, 120)), rng.integers(0, 96, 120)
    for i, row in enumerate(fingerprint._followers(times, bins)):
        near = [
            j
            for j in range(i + 1, 120)
            if MIN_GAP <= times[j] - times[i] <= MAX_GAP and abs(bins[j] - bins[i]) <= MAX_STEP
        ]
        assert list(row[row >= 0]) == near[:FOLLOWERS]


def test_landmarks_do_not_depend_on_time():
    times, bins = find_peaks(np.random.default_rng(1).normal(size=(30, 90)) * 10)
    first, second = (fingerprint._landmarks(times + shift, bins) for shift in (0, 77))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1] + 77, second[1])
