"""The technical quality of a decoded recording: level, silence, clipping, samples that are not finite, and a digest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earmark.audio.io import to_mono
from earmark.runtime.files import digest

NO_LEVEL_DB = -120.0
"""The level of digital silence, instead of minus infinity."""
MIN_SECONDS = 0.1
"""A shorter clip cannot hold a sound that anybody could classify."""
SILENT_PEAK_DB = -80.0
"""Peak, in dB of full scale, up to which a clip is silent: the noise of a 16-bit converter at most."""
QUIET_RMS_DB = -60.0
"""Root mean square, in dB of full scale, below which a clip is near-silent."""
CLIPPED_FROM = 0.98
"""Peak, of full scale 1, from which a run of equal extremes counts as clipping."""
CLIPPED_RUN = 3
"""Samples in a row at the extreme that count as clipped."""
FRAME_SECONDS = 0.02
"""Length of the frames that are sound or silence."""
SILENCE_DB = -60.0
"""A frame this far below the loudest one of its clip is silence."""


@dataclass(frozen=True)
class Quality:
    """What is measured of the samples of one clip."""

    duration: float
    """Length in seconds."""
    n_not_finite: int
    """Samples that are NaN or infinite, over all channels; with any, the other values mean nothing."""
    peak_db: float
    """Highest absolute value of the mono waveform in dB of full scale."""
    rms_db: float
    """Root mean square of the mono waveform in dB of full scale."""
    n_clipped: int
    """Samples in runs at full scale, over all channels."""
    clipped_fraction: float
    """The same as a fraction of all samples."""
    silent_fraction: float
    """Fraction of the frames that are silence."""
    digest: str
    """Equal for equal mono audio at the same rate, whatever the file format; empty for a silent clip."""

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing but converter noise."""
        return self.peak_db <= SILENT_PEAK_DB


def is_too_short(seconds: float, least: float = MIN_SECONDS) -> bool:
    """Whether a clip is shorter than `least`."""
    return seconds < least


def measure_quality(samples_NC: np.ndarray, sample_rate: int) -> Quality:
    """Measure decoded samples.

    Args:
        samples_NC: float32 (N, C), N > 0, nominally within [-1, 1].
        sample_rate: Hz.
    """
    waveform = to_mono(samples_NC)
    n_clipped = sum(_clipped_samples(channel, sign) for channel in samples_NC.T for sign in (1, -1))
    peak_db = _level_db(float(np.abs(waveform).max()) ** 2)
    return Quality(
        duration=len(waveform) / sample_rate,
        n_not_finite=samples_NC.size - int(np.count_nonzero(np.isfinite(samples_NC))),
        peak_db=peak_db,
        rms_db=_level_db(float(np.mean(np.square(waveform, dtype=np.float64)))),
        n_clipped=n_clipped,
        clipped_fraction=n_clipped / samples_NC.size,
        silent_fraction=_silent_fraction(waveform, sample_rate),
        digest="" if peak_db <= SILENT_PEAK_DB else audio_digest(waveform, sample_rate),
    )


def audio_digest(waveform: np.ndarray, sample_rate: int) -> str:
    """A digest of a mono waveform, float32 (N,), and its rate in Hz."""
    return digest(waveform.tobytes() + str(sample_rate).encode(), 32)


def _level_db(power: float) -> float:
    """A power in dB of full scale; NaN stays NaN."""
    return NO_LEVEL_DB if power == 0 else float(np.maximum(10 * np.log10(power), NO_LEVEL_DB))


def _clipped_samples(channel: np.ndarray, sign: int) -> int:
    """Number of samples in runs of `CLIPPED_RUN` or more at the highest (sign 1) or lowest (-1) value.

    In a lossless file these samples are equal, in a lossy one they exceed full scale.
    """
    extreme = (sign * channel).max()
    if not CLIPPED_FROM <= extreme < np.inf:  # nor NaN
        return 0
    edges = np.flatnonzero(np.diff(sign * channel >= min(extreme, 1.0), prepend=False, append=False))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= CLIPPED_RUN].sum())


def _silent_fraction(waveform: np.ndarray, sample_rate: int) -> float:
    length = min(max(1, int(FRAME_SECONDS * sample_rate)), len(waveform))
    n = len(waveform) // length
    power = np.mean(np.square(waveform[: n * length].reshape(n, length), dtype=np.float64), axis=1)
    return float(np.mean(power <= power.max() * 10 ** (SILENCE_DB / 10)))
