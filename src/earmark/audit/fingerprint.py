"""The fingerprint of a clip, by which clips that share audio are found whatever their gain, codec, rate or offset.

Spectral peaks of the log-mel image are linked to triples, and each triple becomes a hash that depends on neither
level nor position (landmarks: Wang 2003; triples of peaks against chance hits: Six and Leman 2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter, maximum_filter1d, uniform_filter1d

from earmark.config.sections import FrontEndConfig
from earmark.features.log_mel import log_mel

FRONT_END = FrontEndConfig(
    sample_rate=16000, n_fft=1024, hop_length=256, n_mels=96, f_min=60.0, f_max=7600.0, range_db=70.0
)
"""The front end of all fingerprints: bands that survive codecs, frames of 16 ms."""
FRAMES_PER_SECOND = FRONT_END.sample_rate / FRONT_END.hop_length
SECOND = 63
"""Frames over which the loudness is followed, peaks are limited and images are compared."""

NEIGHBORHOOD = (3, 5)
"""A peak is the highest point in a neighborhood of this many bins and frames."""
PEAKS_PER_SECOND = 60
"""The most prominent peaks of each second are kept."""
FOLLOWERS = 4
"""Each peak is linked to pairs of this many peaks after it."""
MIN_GAP, MAX_GAP, MAX_STEP = 2, 60, 24
"""A follower comes this many frames later, and is at most this many bins away."""

DEPTH_DB = 45.0
"""Levels further below the loudest band of the surrounding second are noise and are flattened."""
SMOOTHING_BINS = 15
"""Bins over which the spectral envelope is removed."""
DETAIL_STEPS_PER_DB = 2
"""The detail of an image is kept in half decibels."""


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of a clip to find others that share audio with it."""

    hashes: np.ndarray
    """Landmarks, uint32 (L,)."""
    times: np.ndarray
    """The frame of each landmark, int32 (L,)."""
    detail: np.ndarray
    """Local spectral detail in half decibels, int8 (F, T)."""


def fingerprint_of(waveform: np.ndarray) -> Fingerprint:
    """The fingerprint of a waveform (N,) at `FRONT_END.sample_rate`."""
    return fingerprint_of_level(level_of(waveform))


def level_of(waveform: np.ndarray) -> np.ndarray:
    """The log-mel spectrogram (F, T) in dB of a waveform (N,) at `FRONT_END.sample_rate`."""
    return log_mel(waveform, FRONT_END)


def fingerprint_of_level(level: np.ndarray) -> Fingerprint:
    """The fingerprint of a log-mel spectrogram (F, T) in dB, whose minimum is silence."""
    times, bins = find_peaks(level)
    return Fingerprint(*_landmarks(times, bins), _detail(level))


def find_peaks(level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames and bins of the local maxima that stand out most from their surroundings, in order of time."""
    highest = maximum_filter(level, size=NEIGHBORHOOD, mode="constant", cval=-np.inf)
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
