"""What a model says of sounds that are made by a formula, and of none of which it was trained: a table for its card.

A network names one of its classes for each of them. The table shows which, how sure it is, and whether the unknown
score finds it out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earmark.deploy.model import Model

RMS = 0.1
"""Of all sounds: 20 dB below full scale."""


@dataclass(frozen=True)
class SoundRow:
    """The answer for one of them."""

    sound: str
    label: str
    probability: float
    unknown_score: float
    unknown: bool


def made_sounds(sample_rate: int, n_samples: int) -> dict[str, np.ndarray]:
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


def hear_made_sounds(model: Model) -> list[SoundRow]:
    """The answers of a model with an unknown score, for a window of each sound."""
    rows = []
    for name, sound in made_sounds(model.sample_rate, model.info.window_samples).items():
        answer = model.predict(sound, model.sample_rate)
        assert answer.unknown_score is not None, "the model has references"
        rows.append(SoundRow(name, answer.label, answer.probability, answer.unknown_score, answer.unknown))
    return rows


def sound_table_rows(rows: list[SoundRow]) -> list[list[str]]:
    """The table as text, the header first."""
    head = ["sound", "class named", "probability", "unknown score", "called unknown"]
    return [
        head,
        *(
            [r.sound, r.label, f"{100 * r.probability:.1f} %", f"{r.unknown_score:.2f}", "yes" if r.unknown else "no"]
            for r in rows
        ),
    ]
