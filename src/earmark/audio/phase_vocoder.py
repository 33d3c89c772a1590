"""A phase vocoder with identity phase locking: other tempo, same pitch.

J. Laroche and M. Dolson, "Improved phase vocoder time-scale modification of audio", IEEE Transactions on Speech
and Audio Processing 7(3), 1999. Each output frame is the spectrum of the input around the corresponding time,
turned so that every spectral peak continues where it stood in the last frame. The bins around a peak turn with it,
which keeps the shape of clicks and the level of noise; at tempo 1 the output is the input.

How far a peak turns in one hop is read from a second spectrum, one hop earlier in the input, so that no phase is
ever unwrapped, and no angle computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

WINDOW_SECONDS = 0.046
"""About the length of the window (a power of two in samples): long enough to separate the partials of a voice."""
OVERLAP = 4
"""Frames over each sample; with squared Hann windows they add up to a constant."""
BLOCK_FRAMES = 64
"""Frames transformed at a time, so that they stay in the processor's cache."""
ONSET = 1e-3
"""A peak that was weaker than this, relative to now, in the last frame starts with the phase of the input."""


def change_tempo(waveform: np.ndarray, sample_rate: int, rate: float) -> np.ndarray:
    """The sound at `rate` times its tempo, at the same pitch: float32 (round(N / rate),), at least 1 sample."""
    n_fft = 2 ** round(math.log2(WINDOW_SECONDS * sample_rate))
    hop = n_fft // OVERLAP
    length = max(1, round(len(waveform) / rate))
    # the centers of all frames that reach into the output
    centers = hop * np.arange(1 - OVERLAP // 2, length // hop + OVERLAP // 2 + 1)
    starts = np.rint(centers * rate).astype(np.intp) - n_fft // 2
    before, after = hop - starts[0], max(0, starts[-1] + n_fft - len(waveform))
    padded = np.pad(np.asarray(waveform, np.float32), (before, after))
    output = np.zeros((len(starts) + OVERLAP - 1, hop), np.float32)
    for first, frames in _output_frames(padded, starts + before, n_fft):
        parts = frames.reshape(len(frames), OVERLAP, hop)
        for part in range(OVERLAP):
            output[first + part : first + part + len(frames)] += parts[:, part]
    skipped = n_fft // 2 - centers[0]
    return output.ravel()[skipped : skipped + length]


def _output_frames(waveform: np.ndarray, starts: np.ndarray, n_fft: int) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of output frames, windowed and ready to be added, float32 (frames, n_fft), with their first index."""
    from scipy.fft import irfft, rfft

    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    synthesis = window * np.float32(1 / (1.5 * OVERLAP / 4))  # squared Hann windows add up to 1.5 at overlap 4
    all_frames = np.lib.stride_tricks.sliding_window_view(waveform, n_fft)
    last = np.zeros(n_fft // 2 + 1, np.complex64)
    for first in range(0, len(starts), BLOCK_FRAMES):
        block = starts[first : first + BLOCK_FRAMES]
        spectra = rfft(all_frames[block] * window)
        earlier = rfft(all_frames[block - n_fft // OVERLAP] * window)
        last = _turn(spectra, earlier, last).copy()
        yield first, irfft(spectra, n_fft, overwrite_x=True) * synthesis


def _turn(spectra: np.ndarray, earlier: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Turn each spectrum in place so that its peaks continue those of the one before; returns the last one.

    Only the turns of the peaks depend on the frame before; all else is computed for all frames at once.

    Args:
        spectra: of the input at the output's frames, complex64 (frames, bins).
        earlier: of the input one hop before each of them.
        last: the output's spectrum before the first of them, complex64 (bins,).
    """
    peaks, regions, ends = _peaks(np.abs(spectra))
    before = np.concatenate([last[None], spectra[:-1]])  # not turned yet, except for the first
    advances = before.ravel()[peaks] * earlier.ravel()[peaks].conj()
    onsets = ONSET * np.abs(spectra.ravel()[peaks]) ** 2
    turns = np.ones(len(peaks), np.complex64)
    sources = regions.ravel()[np.maximum(peaks - spectra.shape[1], 0)]  # the region of a peak in the frame before
    first = 0
    for end in ends:
        turn = advances[first:end] * turns[sources[first:end]] + onsets[first:end]
        turn /= np.maximum(np.abs(turn), 1e-30)
        turns[first:end] = turn
        first = end
    spectra *= turns[regions]
    return spectra[-1]


def _peaks(magnitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The peaks of all frames in a row, and which bins belong to each.

    A peak is larger than its two neighbors on either side; its region ends halfway to the next one. A frame without
    peaks is one region.

    Returns:
        Flat indices of the peaks (P,); the number of the peak that each bin belongs to (frames, bins); and after how
        many peaks each frame ends (frames,).
    """
    n_frames, n_bins = magnitudes.shape
    around = np.pad(magnitudes, ((0, 0), (2, 2)))
    is_peak = (magnitudes > around[:, :-4]) & (magnitudes > around[:, 1:-3])
    is_peak &= (magnitudes >= around[:, 3:-1]) & (magnitudes >= around[:, 4:])
    is_peak[:, 0] |= ~is_peak.any(axis=1)
    peaks = np.flatnonzero(is_peak)
    ends = np.cumsum(np.count_nonzero(is_peak, axis=1))
    borders = np.empty(len(peaks) + 1, np.intp)
    borders[1:-1] = (peaks[:-1] + peaks[1:] + 1) // 2
    borders[np.concatenate([[0], ends[:-1]])] = n_bins * np.arange(n_frames)
    borders[-1] = is_peak.size
    regions = np.repeat(np.arange(len(peaks)), np.diff(borders)).reshape(n_frames, n_bins)
    return peaks, regions, ends
