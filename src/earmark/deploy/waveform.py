"""From what a user has, a path or an array, to the mono waveform at the rate of a model."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np

from earmark.audio.io import AudioError, load_audio
from earmark.runtime.errors import first_line

MAX_CHANNELS = 64
IMPOSSIBLE_PEAK = 16.0
"""Largest sample of an array that may be floats in [-1, 1]: 24 dB above full scale."""
Audio = str | Path | np.ndarray
"""A path, or samples (N,), (N, C) or (C, N); the shorter axis is taken as the channels."""


def mono_waveform(audio: Audio, sample_rate: int | None, target_rate: int) -> np.ndarray:
    """Float32 (N,) at `target_rate`, the mean over the channels, resampled as in training.

    Args:
        audio: a path, or samples: floats in [-1, 1], or integers of 16 or 32 bits, which are scaled.
        sample_rate: rate of an array in Hz; a file knows its own.

    Raises:
        AudioError: it is neither, the file cannot be read, or the array has no samples, the wrong shape, or one that
            is not finite.
    """
    if isinstance(audio, str | Path):
        return load_audio(audio, target_rate)[0]
    if isinstance(audio, list | tuple) and audio and isinstance(audio[0], str | Path):
        raise AudioError(f"audio: a list of {len(audio)} files; give one at a time: [model.predict(f) for f in files]")
    samples = _as_array(audio)
    if not samples.ndim:
        raise AudioError(f"audio of type {type(audio).__name__}: give a path, or samples as a NumPy array (N,)")
    if sample_rate is None:
        raise AudioError(f"sample_rate = None: an array does not know its rate; give it, for example {target_rate}")
    if not (isinstance(sample_rate, int | float | np.number) and 100 <= sample_rate <= 10_000_000):
        raise AudioError(f"sample_rate = {sample_rate!r}: give samples per second, for example {target_rate}")
    return resample(_to_mono(samples), sample_rate, target_rate)


def resample(waveform: np.ndarray, rate: int, target_rate: int) -> np.ndarray:
    """Float32 (N,) at another rate, by soxr's HQ as in `load_audio`.

    Raises:
        AudioError: no sample is left.
    """
    if rate != target_rate:
        import soxr

        waveform = soxr.resample(waveform, rate, target_rate, quality="HQ")
    if not waveform.size:
        raise AudioError(f"audio: has no sample left at {target_rate} Hz; give a longer one", "empty")
    return waveform


def level_dbfs(waveform: np.ndarray) -> float:
    """RMS level in dB relative to full scale; -200 for digital silence."""
    power = float(np.mean(np.square(waveform, dtype=np.float64)))
    return 10 * math.log10(max(power, 1e-20))


def _as_array(audio: Audio) -> np.ndarray:
    """What NumPy makes of it: also lists, Series, and tensors of PyTorch on the processor."""
    try:
        return np.asarray(audio)
    except (TypeError, ValueError, RuntimeError) as error:  # lists of unequal length, tensors on a GPU or with gradient
        reason = f"cannot be taken as an array ({first_line(error)}); give a NumPy array (N,)"
        raise AudioError(f"audio of type {type(audio).__name__}: {reason}") from None


def _to_mono(samples: np.ndarray) -> np.ndarray:
    if not samples.size:
        raise AudioError("audio: has no samples; give at least one", "empty")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and min(samples.shape) > MAX_CHANNELS):
        raise AudioError(f"audio of shape {samples.shape}: give (N,), (N, C) or (C, N) with up to 64 channels")
    if samples.ndim == 2 and samples.shape[0] == samples.shape[1] > 1:
        raise AudioError(f"audio of shape {samples.shape}: channels and samples cannot be told apart; give mono (N,)")
    scale = {"i2": 2.0**-15, "i4": 2.0**-31}.get(samples.dtype.str[1:], 1.0)
    if samples.dtype.kind != "f" and scale == 1.0:
        raise AudioError(f"audio of type {samples.dtype}: give floats in [-1, 1], int16 or int32")
    waveform = samples.astype(np.float32) * np.float32(scale)
    if waveform.ndim == 2:
        waveform = waveform.mean(axis=int(np.argmin(waveform.shape)), dtype=np.float32)
    if not np.isfinite(waveform).all():
        raise AudioError("audio: has NaN or infinite samples; leave them out", "nan")
    peak = float(np.abs(waveform).max())
    if peak > IMPOSSIBLE_PEAK:
        warnings.warn(f"audio: samples reach {peak:g}, not [-1, 1]; divide integers by their full scale", stacklevel=4)
    return waveform
