"""The front end: from an audio file to the 8-bit log-mel image that the network sees, in training and in service.

`clip_images` is the one pipeline from a file (decode, resample, augment, transform, quantize): the spectrogram store,
prediction, `earmark show` and the report all call it. There is one config and no randomness. SciPy and the audio
libraries are imported when first needed, so that a spectrogram store can be read where they are not installed.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earmark.audio.augment import ORIGINAL, Definition, apply_augmentation
from earmark.audio.io import load_audio
from earmark.config.sections import FrontEndConfig

if TYPE_CHECKING:
    from scipy import sparse

VERSION = 4
"""Raised whenever the same settings begin to give other bytes, so that stores are made again and models refused."""
FIRST_VERSION = 4
"""Of the models that do not say their version."""
SMALLEST_ENERGY = 1e-10
"""With `log_offset` 0, mel energies below this are taken as this before the logarithm (librosa's `amin`)."""
SINGLE_PRECISION = 10**-4.2
"""Power of one bin over the mean power of its frame from which single precision is good to 6e-4 dB (measured)."""
BLOCK_SAMPLES = 108 * 2048
"""Samples transformed at a time: few enough to stay in the cache, and for malloc to keep the memory between blocks.
Not a power of two, because the rows of the spectrum would then evict each other from the cache."""


@dataclass(frozen=True, eq=False)
class ClipImage:
    """A clip, or an augmentation of it, as sound and as the image that the network sees."""

    waveform: np.ndarray
    """float32 (N,), mono."""
    sample_rate: int
    """In Hz."""
    image: np.ndarray
    """uint8 (F, T), row 0 the highest mel bin."""


def load_image(path: str | Path, config: FrontEndConfig) -> np.ndarray:
    """Read an audio file as the image that the network sees, uint8 (F, T), row 0 the highest mel bin.

    Raises:
        AudioError: the file is missing, unreadable, empty or not finite.
    """
    (_, clip) = next(clip_images(path, config))
    return clip.image


def clip_images(
    path: str | Path,
    config: FrontEndConfig,
    augmentations: Mapping[str, Definition] | None = None,
    clip_id: str = "",
    max_seconds: float = math.inf,
) -> Iterator[tuple[str, ClipImage]]:
    """Decode a file once and yield the image of each of its augmentations, by name; the only pipeline that does.

    Args:
        config: without a sampling rate, the file's own is taken.
        augmentations: from `definition_of`, by name; by default the clip itself, `orig`.
        clip_id: seeds the augmentations.
        max_seconds: read no more than this from the beginning of the file.

    Raises:
        AudioError: the file is missing, unreadable, empty or not finite.
    """
    waveform, sample_rate = load_audio(path, config.sample_rate, max_seconds)
    config = config if config.sample_rate else replace(config, sample_rate=sample_rate)
    for name, definition in ({ORIGINAL: {}} if augmentations is None else augmentations).items():
        augmented = apply_augmentation(waveform, sample_rate, clip_id, name, definition)
        yield name, ClipImage(augmented, sample_rate, log_mel_image(augmented, config))


def log_mel_image(waveform: np.ndarray, config: FrontEndConfig) -> np.ndarray:
    """Quantize the log-mel spectrogram to 8 bits: 255 is the reference, 0 is `range_db` below it.

    Args:
        waveform: float32 (N,) at `config.sample_rate`.

    Returns:
        uint8 (F, T), row 0 the highest mel bin, as the PNG shows it.
    """
    scaled = log_mel(waveform, config)
    scaled += config.range_db
    scaled *= 255 / config.range_db
    return np.rint(scaled, out=scaled)[::-1].astype(np.uint8)


def log_mel(waveform: np.ndarray, config: FrontEndConfig) -> np.ndarray:
    """The log-mel spectrogram in dB below the reference, clamped to [-range_db, 0].

    With the Slaney and HTK scales it is librosa's `power_to_db(melspectrogram(...), ref=max, top_db=range_db)`
    to 1e-3 dB: periodic Hann window, frames centered on multiples of the hop, zeros beyond the ends. With
    `mel_scale="kaldi"` it is the front end of EfficientAT (Schmid et al. 2023): Hann window with zeros at both
    ends, waveform mirrored beyond its ends (again and again where it is shorter than half a transform), Kaldi's
    filters. A clip of N samples has 1 + N // hop_length frames (pre-emphasis takes one sample away), so that the
    shortest clip has one.

    A clip whose energy nowhere exceeds 1e-10 (digital silence) has no peak to refer to: it is -range_db
    everywhere.

    Args:
        waveform: float32 (N,), mono, at `config.sample_rate`, at least one sample.

    Returns:
        float32 (F, T), row 0 the lowest mel bin.
    """
    energy_FT = mel_energy(waveform, config)
    if config.reference == "peak" and energy_FT.max() <= SMALLEST_ENERGY:
        return np.full(energy_FT.shape, -config.range_db, np.float32)
    level_FT = decibels(energy_FT, config.log_offset)
    level_FT -= float(level_FT.max()) if config.reference == "peak" else config.reference_db
    return np.clip(level_FT, -config.range_db, 0, out=level_FT)


def decibels(energy: np.ndarray, log_offset: float) -> np.ndarray:
    """10 log10 of the energies, the offset added or, when that is 0, with 1e-10 as the smallest energy."""
    raised = energy + log_offset if log_offset > 0 else np.maximum(energy, SMALLEST_ENERGY)
    np.log(raised, out=raised)
    raised *= 10 / math.log(10)
    return raised


def mel_energy(waveform: np.ndarray, config: FrontEndConfig) -> np.ndarray:
    """Mel-filtered power spectrogram, float32 (F, T), row 0 the lowest mel bin.

    Computed in single precision, where the rounding of a loud frame reaches into its quietest bins. A frame with a
    bin that matters far below the level of the frame is therefore computed a second time, in double precision.
    """
    padded = _pad(_pre_emphasize(waveform, config.pre_emphasis), config)
    frames_TN = np.lib.stride_tricks.sliding_window_view(padded, config.n_fft)[:: config.hop_length]
    energies = _filtered_power(frames_TN, config, np.float32)
    imprecise = np.flatnonzero(_is_imprecise(energies[:-1], energies[-1], config))
    if len(imprecise):
        energies[:, imprecise] = _filtered_power(frames_TN, config, np.float64, imprecise)
    return energies[:-1]


def _filtered_power(
    frames_TN: np.ndarray, config: FrontEndConfig, dtype: type[np.floating], chosen: np.ndarray | None = None
) -> np.ndarray:
    """Energy of each frame in each mel filter and, in the last row, its mean over all bins; (F + 1, T).

    No step adds up across frames, and the filters are applied bin by bin in a fixed order (not by a matrix product
    of BLAS), so that the bytes do not depend on the number of frames or threads.

    Args:
        frames_TN: all frames, a view of the samples.
        chosen: indices of the frames to compute; all of them by default.
    """
    window, filters = _tables(config, dtype)  # type: ignore[arg-type]  # classes are hashable; typeshed asks the instance
    n_frames = len(frames_TN) if chosen is None else len(chosen)
    n_block = max(1, min(BLOCK_SAMPLES // config.n_fft, n_frames))
    energy_FT = np.empty((filters.shape[0], n_frames), dtype)
    windowed_TN = np.empty((n_block, config.n_fft), dtype)
    for first in range(0, n_frames, n_block):
        block = slice(first, first + n_block)
        frames = frames_TN[block if chosen is None else chosen[block]]
        np.multiply(frames, window, out=windowed_TN[: len(frames)])
        energy_FT[:, block] = _filtered_block(windowed_TN[: len(frames)], filters)
    return energy_FT


def _filtered_block(windowed_TN: np.ndarray, filters: sparse.csr_array) -> np.ndarray:
    """Squares of the real and imaginary parts lie side by side until the filters have been applied."""
    from scipy import fft

    spectrum_KT = fft.rfft(windowed_TN.T, axis=0)  # comes out transposed, as the filters need it, at no cost
    squares = spectrum_KT.view(windowed_TN.dtype)
    np.multiply(squares, squares, out=squares)
    filtered = filters @ squares
    return filtered[:, ::2] + filtered[:, 1::2]


@functools.lru_cache(maxsize=16)
def _tables(config: FrontEndConfig, dtype: type[np.floating]) -> tuple[np.ndarray, sparse.csr_array]:
    """The window (n_fft,) and the mel filters, followed by one that takes the mean over all bins, (F + 1, K)."""
    from scipy import sparse

    filters = mel_filters(config)
    mean = np.full((1, filters.shape[1]), 1 / filters.shape[1])
    return hann_window(config).astype(dtype), sparse.csr_array(np.concatenate([filters, mean]).astype(dtype))


def _is_imprecise(energy_FT: np.ndarray, power_T: np.ndarray, config: FrontEndConfig) -> np.ndarray:
    """Which frames have a bin above the clamp that is too far below the frame for single precision; (T,) bool."""
    floor = 10 ** ((config.reference_db - config.range_db) / 10)
    if config.reference == "peak":
        floor = float(energy_FT.max()) * 10 ** (-config.range_db / 10)
    matters = energy_FT > max(floor, config.log_offset or SMALLEST_ENERGY)
    inaccurate = energy_FT < _single_precision_limit(config)[:, None] * power_T
    return (matters & inaccurate).any(axis=0)


@functools.lru_cache(maxsize=16)
def _single_precision_limit(config: FrontEndConfig) -> np.ndarray:
    """Energy in each mel filter (F,), for a frame of mean power 1, below which single precision is too coarse.

    The rounding errors of the bins that a filter adds up are independent, so that wide filters tolerate more.
    """
    weights = mel_filters(config)
    total = weights.sum(axis=1)
    return (SINGLE_PRECISION * (weights**2).sum(axis=1) / np.maximum(total, 1e-30)).astype(np.float32)


def _pre_emphasize(waveform: np.ndarray, coefficient: float) -> np.ndarray:
    """Each sample minus `coefficient` times the one before it; the first one, which has none before it, is dropped."""
    waveform = np.asarray(waveform, np.float32)
    if coefficient == 0:
        return waveform
    if len(waveform) < 2:  # nothing would be left
        waveform = np.pad(waveform, (0, 2 - len(waveform)))
    return waveform[1:] - np.float32(coefficient) * waveform[:-1]


def _pad(waveform: np.ndarray, config: FrontEndConfig) -> np.ndarray:
    """Half a transform at both ends, so that frame t is centered on sample t * hop_length."""
    half = config.n_fft // 2
    if config.mel_scale == "kaldi":
        return np.pad(waveform, half, mode="reflect")
    padded = np.zeros(len(waveform) + 2 * half, np.float32)  # np.pad takes twice as long
    padded[half : half + len(waveform)] = waveform
    return padded


def hann_window(config: FrontEndConfig) -> np.ndarray:
    """Hann window in the middle of the transform, float64 (n_fft,): periodic, or symmetric for Kaldi."""
    length = config.win_length or config.n_fft
    period = max(1, length - 1 if config.mel_scale == "kaldi" else length)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / period)
    left = (config.n_fft - length) // 2
    return np.pad(window, (left, config.n_fft - length - left))


def mel_filters(config: FrontEndConfig) -> np.ndarray:
    """The weights of the mel filters, float64 (n_mels, 1 + n_fft // 2); warns of filters without any bin.

    Slaney: triangles over Hz with equal areas (Auditory Toolbox 1998). HTK: triangles over Hz with peak 1 (HTK
    Book 3.4, 5.4). Kaldi: triangles over mel with peak 1, nothing at half the sampling rate.
    """
    assert config.sample_rate > 0, "the sampling rate must be known; store.resolve_front_end fills it in"
    f_max = config.f_max or config.sample_rate / 2
    bins = np.arange(1 + config.n_fft // 2) * config.sample_rate / config.n_fft
    edges = np.linspace(_mel(config.f_min, config), _mel(f_max, config), config.n_mels + 2)
    if config.mel_scale == "kaldi":
        weights = _triangles(_mel(bins, config), edges)
        weights[:, config.n_fft // 2 :] = 0
    else:
        edges = _hertz(edges, config)
        weights = _triangles(bins, edges)
    if config.mel_scale == "slaney":
        weights *= 2 / (edges[2:] - edges[:-2])[:, None]
    _warn_of_empty_filters(weights, config)
    return weights


def _warn_of_empty_filters(weights_FK: np.ndarray, config: FrontEndConfig) -> None:
    n_empty = np.count_nonzero(~weights_FK.any(axis=1))
    if n_empty:
        warnings.warn(
            f"front_end: {n_empty} of {config.n_mels} mel filters are narrower than a frequency bin and their rows "
            f"stay black; give a larger n_fft than {config.n_fft} or fewer n_mels",
            stacklevel=2,  # one place for all callers, so that it is shown once
        )


def bin_of(hertz: np.ndarray | float, config: FrontEndConfig) -> np.ndarray:
    """Where frequencies lie among the mel bins: 0 at the center of the lowest, n_mels - 1 at that of the highest."""
    low, high = _mel(config.f_min, config), _mel(config.f_max or config.sample_rate / 2, config)
    return (_mel(hertz, config) - low) / (high - low) * (config.n_mels + 1) - 1


def _triangles(positions: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Triangle k rises from 0 at edge k to 1 at edge k + 1 and falls to 0 at edge k + 2; one row for each."""
    left, center, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.maximum(0, np.minimum((positions - left) / (center - left), (right - positions) / (right - center)))


SLANEY_STEP = 200 / 3
"""Hz per mel in the linear part of Slaney's scale, which ends at 1000 Hz (15 mel)."""
SLANEY_LOG_STEP = np.log(6.4) / 27
"""Natural logarithm of the frequency ratio per mel above 1000 Hz."""


def _mel(hertz: np.ndarray | float, config: FrontEndConfig) -> np.ndarray:
    hertz = np.asarray(hertz, np.float64)
    if config.mel_scale == "slaney":
        above = 15 + np.log(np.maximum(hertz, 1000) / 1000) / SLANEY_LOG_STEP
        return np.where(hertz < 1000, hertz / SLANEY_STEP, above)
    return 1127 * np.log1p(hertz / 700) if config.mel_scale == "kaldi" else 2595 * np.log10(1 + hertz / 700)


def _hertz(mel: np.ndarray, config: FrontEndConfig) -> np.ndarray:
    if config.mel_scale == "slaney":
        return np.where(mel < 15, mel * SLANEY_STEP, 1000 * np.exp(SLANEY_LOG_STEP * (mel - 15)))
    return 700 * (10 ** (mel / 2595) - 1)
