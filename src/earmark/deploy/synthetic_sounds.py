"""Synthetic sounds that belong to no class, and how a model classifies them: a table for its card.

A network gives each of them one of its classes. The table shows which one, with what probability, and whether the
unknown score rejects it.
"""

from __future__ import annotations

import numpy as np

from earmark.analysis.unknown_tables import SoundRow
from earmark.deploy.model import Model

RMS = 0.1
"""Of all sounds: 20 dB below full scale."""


def synthetic_sounds(sample_rate: int, n_samples: int) -> dict[str, np.ndarray]:
    """Noises, tones and clicks, float32 (N,), always the same."""
    seconds = np.arange(n_samples) / sample_rate
    frequencies = np.geomspace(50, 0.4 * sample_rate, n_samples)
    hum = sum(np.sin(2 * np.pi * 50 * k * seconds) / k for k in range(1, 12))
    sounds = {
        "white noise": _noise(n_samples, sample_rate, 0),
        "pink noise": _noise(n_samples, sample_rate, 1),
        "brown noise": _noise(n_samples, sample_rate, 2),
        "white noise, on and off four times a second": _noise(n_samples, sample_rate, 0) * (seconds % 0.25 < 0.125),
        "tone of 440 Hz": np.sin(2 * np.pi * 440 * seconds),
        "rising tone": np.sin(2 * np.pi * np.cumsum(frequencies) / sample_rate),
        "hum of 50 Hz": np.asarray(hum),
        "two clicks a second": (np.arange(n_samples) % (sample_rate // 2) == sample_rate // 8).astype(float),
    }
    return {name: _at_level(sound) for name, sound in sounds.items()}


def _noise(n_samples: int, sample_rate: int, exponent: float) -> np.ndarray:
    """Gaussian noise whose power falls with frequency to the `exponent`, above 20 Hz."""
    rng, frequencies = np.random.default_rng(0), np.fft.rfftfreq(n_samples, 1 / sample_rate)
    spectrum = rng.normal(size=(2, len(frequencies))) / np.maximum(frequencies, 20) ** (exponent / 2)
    return np.fft.irfft(spectrum[0] + 1j * spectrum[1], n_samples)


def _at_level(sound: np.ndarray) -> np.ndarray:
    """The sound at `RMS`, cut at full scale."""
    rms = float(np.sqrt(np.mean(sound**2)))
    return np.clip(sound * (RMS / max(rms, 1e-12)), -1, 1).astype(np.float32)


def score_synthetic_sounds(model: Model) -> list[SoundRow]:
    """The answers of a model with an unknown score, for a window of each sound."""
    rows = []
    for name, sound in synthetic_sounds(model.sample_rate, model.info.window_samples).items():
        answer = model.predict(sound, model.sample_rate)
        assert answer.unknown_score is not None, "the model has references"
        rows.append(SoundRow(name, answer.label, answer.probability, answer.unknown_score, answer.unknown))
    return rows
