"""Augmentations: altered copies of a waveform that replace it in training.

Each function takes a waveform, float32 (N,), its sampling rate in Hz and a random generator, and returns a new
waveform. Where a setting may be a pair, it is drawn uniformly from between the two. `AUGMENTATIONS` names the
usual ones, `definition_of` adds others from a config, `apply_augmentation` draws the same numbers wherever it runs.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from earmark.audio.phase_vocoder import change_tempo
from earmark.runtime.errors import EarmarkError, suggest

ORIGINAL = "orig"
"""The name of the clip itself among its augmentations."""

Definition = Mapping[str, Any]
"""`function`, one of `FUNCTIONS`, and the arguments for it."""
Range = float | tuple[float, float]
"""A number, or the two numbers between which it is drawn."""


class AugmentationError(EarmarkError):
    """An augmentation that is unknown or wrongly defined; the message gives its name and the remedy."""


def add_noise(
    waveform: np.ndarray,
    sample_rate: int,
    generator: np.random.Generator,
    snr_db: Range = 25.0,
    color: str = "white",
) -> np.ndarray:
    """Add Gaussian noise so that signal power over noise power, both over the whole clip, is exactly `snr_db`.

    `color` gives the slope of its power density: white 0, pink -3, brown -6, blue 3, violet 6 dB per octave, from
    20 Hz up. A silent clip stays silent.
    """
    slope = NOISE_SLOPES[_choice("color", color, NOISE_SLOPES)]
    noise = _gaussian(len(waveform), generator)
    if slope:
        noise = _colored(noise, sample_rate, slope)
    ratio = 10 ** (_draw("snr_db", snr_db, generator, -100, 200) / 10)
    scale = math.sqrt(_power(waveform) / (ratio * max(_power(noise), 1e-30)))
    noise *= np.float32(scale)
    noise += waveform
    return noise


NOISE_SLOPES = {"white": 0.0, "pink": -0.5, "brown": -1.0, "blue": 0.5, "violet": 1.0}
"""Exponent of frequency in the amplitude density."""


def _gaussian(length: int, generator: np.random.Generator) -> np.ndarray:
    """Normally distributed samples, float32 (length,), by Box and Muller (1958), up to 5.8 standard deviations.

    Whole arrays of logarithms and sines are twice as fast here as the generator's own rejection sampling.
    """
    half = (length + 1) // 2
    radius, angle = generator.random((2, half), dtype=np.float32)
    np.subtract(1, radius, out=radius)  # in (0, 1]
    np.log(radius, out=radius)
    radius *= -2
    np.sqrt(radius, out=radius)
    angle *= np.float32(2 * math.pi)
    noise = np.empty((2, half), np.float32)
    np.multiply(radius, np.cos(angle), out=noise[0])
    np.multiply(radius, np.sin(angle), out=noise[1])
    return noise.ravel()[:length]


def _colored(noise: np.ndarray, sample_rate: int, slope: float) -> np.ndarray:
    from scipy import fft

    length = fft.next_fast_len(len(noise), real=True)
    frequency = np.maximum(np.fft.rfftfreq(length, 1 / sample_rate), 20)
    spectrum = fft.rfft(noise, length) * (frequency / 1000).astype(np.float32) ** np.float32(slope)
    return fft.irfft(spectrum, length)[: len(noise)]


def change_gain(
    waveform: np.ndarray, sample_rate: int, generator: np.random.Generator, gain_db: Range = (-6.0, 6.0)
) -> np.ndarray:
    """Make the clip louder by `gain_db`, without clipping."""
    return waveform * np.float32(10 ** (_draw("gain_db", gain_db, generator, -200, 200) / 20))


def shift_time(
    waveform: np.ndarray,
    sample_rate: int,
    generator: np.random.Generator,
    seconds: Range = (-0.5, 0.5),
    wrap: bool = False,
) -> np.ndarray:
    """Move the clip later by `seconds`; the gap is silent or, with `wrap`, filled with what was cut off."""
    shift = round(_draw("seconds", seconds, generator, -3600, 3600) * sample_rate)
    if wrap:
        return np.roll(waveform, shift)
    shift = max(-len(waveform), min(shift, len(waveform)))
    silence = np.zeros(abs(shift), np.float32)
    kept = waveform[: len(waveform) - shift] if shift > 0 else waveform[-shift:]
    return np.concatenate([silence, kept] if shift > 0 else [kept, silence])


def add_reverb(
    waveform: np.ndarray,
    sample_rate: int,
    generator: np.random.Generator,
    decay_seconds: Range = (0.2, 0.8),
    direct_ratio_db: Range = (0.0, 10.0),
    impulse_response: str = "",
) -> np.ndarray:
    """Put the clip into a room; it keeps its length and its power.

    Args:
        decay_seconds: time in which the reverberation, exponentially decaying noise, falls by 60 dB (RT60).
        direct_ratio_db: energy of the direct sound over that of the reverberation.
        impulse_response: an audio file to convolve with instead.

    Raises:
        AudioError: the impulse response cannot be read.
        AugmentationError: it is silent.
    """
    from scipy import fft

    if impulse_response:
        response = _recorded_response(impulse_response, sample_rate)
    else:
        decay = _draw("decay_seconds", decay_seconds, generator, 0.001, 60)
        ratio_db = _draw("direct_ratio_db", direct_ratio_db, generator, -100, 100)
        response = _synthetic_response(sample_rate, generator, decay, ratio_db)
    length = fft.next_fast_len(len(waveform) + len(response) - 1, real=True)
    spectrum = fft.rfft(waveform, length) * fft.rfft(response, length)
    wet = fft.irfft(spectrum, length)[: len(waveform)]
    return wet * np.float32(math.sqrt(_power(waveform) / max(_power(wet), 1e-30)))


def _synthetic_response(
    sample_rate: int, generator: np.random.Generator, decay_seconds: float, direct_ratio_db: float
) -> np.ndarray:
    """Direct sound of energy 1 at sample 0, then Gaussian noise that falls by 60 dB in `decay_seconds`."""
    time = np.arange(1, 1 + math.ceil(decay_seconds * sample_rate)) / sample_rate
    tail = generator.standard_normal(len(time)) * 10 ** (-3 * time / decay_seconds)
    tail *= math.sqrt(10 ** (-direct_ratio_db / 10) / (tail @ tail))
    return np.concatenate([[1.0], tail]).astype(np.float32)


def _recorded_response(path: str, sample_rate: int) -> np.ndarray:
    """The room's response from its strongest sample on, so that the sound is not delayed."""
    from earmark.audio.io import load_audio

    response, _ = load_audio(path, sample_rate)
    if not response.any():
        raise AugmentationError(f"impulse_response = {path!r}: is silent; give the recording of an impulse in a room")
    return response[np.abs(response).argmax() :]


def shift_pitch(
    waveform: np.ndarray, sample_rate: int, generator: np.random.Generator, semitones: Range = 2.0
) -> np.ndarray:
    """Move all frequencies up by `semitones`; the clip keeps its length."""
    import soxr

    factor = 2 ** (_draw("semitones", semitones, generator, -24, 24) / 12)
    stretched = change_tempo(waveform, sample_rate, 1 / factor)
    shifted = soxr.resample(stretched, factor, 1.0, quality="HQ")[: len(waveform)]
    return np.pad(shifted, (0, len(waveform) - len(shifted)))


def stretch_time(
    waveform: np.ndarray, sample_rate: int, generator: np.random.Generator, rate: Range = 0.9
) -> np.ndarray:
    """Play the clip at `rate` times its speed, so that it is 1 / rate as long; the pitch stays."""
    return change_tempo(waveform, sample_rate, _draw("rate", rate, generator, 0.25, 4))


MAX_NAME_BYTES = 32
"""Of the name of an augmentation in UTF-8."""
FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    function.__name__: function
    for function in (add_noise, change_gain, shift_time, add_reverb, shift_pitch, stretch_time)
}
"""What a definition can name as its `function`."""

AUGMENTATIONS: dict[str, Definition] = {
    "noisy": {"function": "add_noise", "snr_db": 25.0},
    "pitchUp2": {"function": "shift_pitch", "semitones": 2.0},
    "stretch0.9": {"function": "stretch_time", "rate": 0.9},
}
"""The augmentations that need no definition."""


def definition_of(name: str, definitions: Mapping[str, Definition] | None = None) -> Definition:
    """The definition of a name, from `definitions` or `AUGMENTATIONS`; that of `orig` is empty.

    A definition is `{"function": "add_noise", "snr_db": [10, 30]}`: one of `FUNCTIONS` and arguments for it. It is
    tried on a short silence, so that a wrong one is refused before anything is computed.

    Raises:
        AugmentationError: the name, its function, an argument or a value is not known or not possible.
    """
    if name == ORIGINAL:
        return {}
    known = {**AUGMENTATIONS, **(definitions or {})}
    definition = known[_choice("augmentation", name, known)]
    if not all(c.isalnum() or c in ".+-" for c in name) or not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
        raise AugmentationError(
            f"augmentation {name!r}: use letters, digits and . + - only, {MAX_NAME_BYTES} bytes at most, because files "
            "are named after it"
        )
    try:
        apply_augmentation(np.zeros(64, np.float32), 8000, "", name, definition)
    except AugmentationError as error:
        raise AugmentationError(f"augmentation {name!r}: {error}") from None
    return definition


def apply_augmentation(
    waveform: np.ndarray, sample_rate: int, clip_id: str, name: str, definition: Definition
) -> np.ndarray:
    """Apply an augmentation to the waveform of a clip.

    The random generator is seeded by clip and name: the same augmentation has the same samples in any order and on any
    number of processes. Another processor or version of NumPy may round them differently.

    Args:
        waveform: float32 (N,).
        definition: from `definition_of(name)`.
    """
    if name == ORIGINAL:
        return waveform
    seed = hashlib.sha256(f"{clip_id} {name}".encode()).digest()[:16]
    arguments = {key: value for key, value in definition.items() if key != "function"}
    function = FUNCTIONS[_choice("function", definition.get("function"), FUNCTIONS)]
    parameters = dict(list(inspect.signature(function).parameters.items())[3:])
    for key, value in arguments.items():
        default = parameters[_choice("argument", key, parameters)].default
        if isinstance(default, bool | str) and not isinstance(value, type(default)):
            what = "true or false" if isinstance(default, bool) else "text"
            raise AugmentationError(f"{key} = {value!r}: give {what}")
    return function(waveform, sample_rate, np.random.default_rng(int.from_bytes(seed)), **arguments)


def _draw(name: str, value: Range, generator: np.random.Generator, least: float, most: float) -> float:
    """The number, or one drawn from the range; refuses what is outside of [least, most]."""
    pair = value if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or not all(isinstance(v, int | float) and least <= v <= most for v in pair):
        raise AugmentationError(f"{name} = {value!r}: give a number from {least} to {most}, or two to draw between")
    return float(pair[0]) if pair[0] == pair[1] else generator.uniform(min(pair), max(pair))


def _choice(name: str, value: Any, choices: Collection[str]) -> str:
    if isinstance(value, str) and value in choices:
        return value
    raise AugmentationError(f"{name} {value!r}: unknown{suggest(str(value), choices)}")


def _power(waveform: np.ndarray) -> float:
    return float(np.dot(waveform, waveform)) / max(len(waveform), 1)
