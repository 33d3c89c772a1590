"""Sounds made by code for the tests of the audit."""

import numpy as np

RATE = 16000


def scene(seed: int, seconds: float = 3.0) -> np.ndarray:
    """A sound of its own: sweeps and bursts over noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    waveform = 0.01 * rng.normal(size=len(t))
    for _ in range(8):
        start, length = int(rng.integers(0, len(t) - RATE // 4)), int(rng.integers(RATE // 16, RATE // 4))
        s = t[:length]
        sweep = np.sin(2 * np.pi * (rng.uniform(200, 3000) * s + rng.uniform(-2000, 4000) * s**2))
        waveform[start : start + length] += 0.3 * (sweep + 0.3 * rng.normal(size=length)) * np.exp(-8 * s)
    return waveform.astype(np.float32)


def noisy(waveform: np.ndarray, snr_db: float = 20.0) -> np.ndarray:
    level = np.sqrt(np.mean(waveform**2)) * 10 ** (-snr_db / 20)
    return waveform + np.random.default_rng(0).normal(0, level, len(waveform)).astype(np.float32)


PHONES = {
    "a": (730, 1090, 2440), "i": (270, 2290, 3010), "u": (300, 870, 2240), "e": (530, 1840, 2480),
    "o": (570, 840, 2410), "m": (250, 1200, 2100), "l": (360, 1300, 2700), "s": (), "f": (),
}  # fmt: skip
"""Formants in Hz of voiced sounds; without formants, a hiss."""
SENTENCES = ("malisofemu", "sifamolise", "lomasufile")
"""A letter is a phone of about 0.15 s."""


def say(sentence: str, speed: float = 1.0, pitch: float = 110.0) -> np.ndarray:
    """One synthetic voice, float32 (N,): pulses of a falling pitch through formants, and hisses that never vary."""
    phones = []
    phase = 0.0
    for k, letter in enumerate(sentence):
        n = int(0.15 * RATE / speed)
        if PHONES[letter]:
            frequency = pitch * (1.1 - 0.02 * k) * np.linspace(1.02, 0.98, n)
            turns = phase + np.cumsum(frequency) / RATE
            phase = turns[-1]
            spectrum = np.fft.rfft(np.diff(np.floor(turns), prepend=np.floor(turns[0])), 2 * n)
            bins = np.fft.rfftfreq(2 * n, 1 / RATE)
            spectrum *= sum(
                g / (1 + ((bins - f) / 80) ** 2) for f, g in zip(PHONES[letter], (1, 0.6, 0.3), strict=True)
            )
            sound = np.fft.irfft(spectrum)[:n]
        else:
            sound = 0.1 * np.random.default_rng(ord(letter)).normal(size=int(0.15 * RATE))[:n]
        phones.append(sound / np.abs(sound).max() * np.hanning(n) ** 0.3 * (0.3 if PHONES[letter] else 0.1))
    return np.concatenate(phones).astype(np.float32)


def parallel_speech() -> dict[str, np.ndarray]:
    """The same sentences by the same voice, each with another speed or pitch: they sound alike, none is a copy."""
    return {
        f"{sentence}_{speed}_{pitch}": say(sentence, speed, pitch)
        for sentence in SENTENCES
        for speed in (1.0, 1.02, 1.05)
        for pitch in (110.0, 112.0, 118.0)
    }
