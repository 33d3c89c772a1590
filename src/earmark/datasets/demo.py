"""A labeled set of synthetic sounds: ten classes, each from several sources that must not cross subsets.

A source has its own pitch, timbre, room, microphone and background noise; its takes vary within that. Each
class has a similar one that is easily confused with it (rain and wind, clock and footsteps, chirps and crickets),
and the noise is sometimes louder than the sound, so that no model gets everything right.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from earmark.datasets.manifest import Clip, read_manifest, write_manifest

SAMPLE_RATE = 16000
N_SAMPLES = 20000
N_SOURCES = 8
N_TAKES = 4
N_FOLDS = 4

Rng = np.random.Generator


def read_demo(folder: str | Path) -> list[Clip]:
    """The clips of the demo set in a folder; it is made there first if its manifest is missing."""
    manifest = Path(folder) / "clips.csv"
    return read_manifest(manifest) if manifest.exists() else write_demo(folder)


def write_demo(folder: str | Path) -> list[Clip]:
    """Make the demo set: `audio/*.wav` (mono, 16 kHz, 1.25 s), then the manifest `clips.csv` with four folds.

    Ten classes, eight sources each, four takes of each source: 320 clips, each time the same files.
    """
    folder = Path(folder)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    clips = []
    for label in SOUNDS:
        for source in range(N_SOURCES):
            group = f"{label}-s{source + 1}"
            for take in range(N_TAKES):
                path = folder / "audio" / f"{group}-{take + 1}.wav"
                _write(path, synthesize(label, source, take))
                fold = source % N_FOLDS + 1
                clips.append(Clip(path.stem, path, label, group, fold, N_SAMPLES / SAMPLE_RATE))
    write_manifest(clips, folder / "clips.csv")
    return clips


def write_fresh_clip(path: str | Path, label: str, seed: int = 0) -> None:
    """Write one more clip of a class, from a source that the demo set does not have; each seed is another."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    _write(Path(path), synthesize(label, source=N_SOURCES + seed, take=0, seed=0))


def _write(path: Path, waveform: np.ndarray) -> None:
    import soundfile

    content = io.BytesIO()  # soundfile does not say why it cannot write a file, the file system does
    soundfile.write(content, waveform, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    path.write_bytes(content.getvalue())


def synthesize(label: str, source: int, take: int, seed: int = 0) -> np.ndarray:
    """One clip, float64 (20000,) within [-1, 1]: the class's sound in the source's room and noise."""
    identity = [seed, list(SOUNDS).index(label), source]
    of_source, of_take = np.random.default_rng(identity), np.random.default_rng([*identity, take + 1])
    room, tilt, noise_slope = _room(of_source), of_source.uniform(-0.4, 0.4), of_source.uniform(0.3, 1.6)
    sound = SOUNDS[label](of_source, of_take)
    sound = colored(convolved(sound, room), tilt)
    noise = colored(of_take.standard_normal(N_SAMPLES), noise_slope)
    noise_to_sound = 10 ** (-of_take.uniform(*SNR_DB) / 20) * _rms(sound) / _rms(noise)
    mixture = sound + noise_to_sound * noise
    return mixture * of_take.uniform(0.2, 0.9) / np.abs(mixture).max()


SNR_DB = (-12.0, 12.0)
"""The power of the sound over that of the noise is drawn evenly from this range."""


def _room(rng: Rng) -> np.ndarray:
    """An impulse response: the direct sound, then noise that falls by 60 dB within 0.05 to 0.5 s."""
    n_tail = int(rng.uniform(0.05, 0.5) * SAMPLE_RATE)
    tail = rng.standard_normal(n_tail) * 10 ** (-3 * np.arange(n_tail) / n_tail)
    tail *= rng.uniform(0.2, 0.8) / np.sqrt(np.square(tail).sum())
    tail[0] = 1.0
    return tail


def _rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.square(waveform).mean()))


# ----------------------------------------------------------------------------------------- building blocks


def seconds(duration: float = N_SAMPLES / SAMPLE_RATE) -> np.ndarray:
    """The times of the samples of a sound of this duration."""
    return np.arange(int(duration * SAMPLE_RATE)) / SAMPLE_RATE


def colored(waveform: np.ndarray, slope: float) -> np.ndarray:
    """The waveform with its amplitude spectrum multiplied by (f / 1 kHz) ** -slope, held below 50 Hz."""
    frequency = np.maximum(np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE), 50.0)
    return np.fft.irfft(np.fft.rfft(waveform) * (frequency / 1000) ** -slope, len(waveform))


def convolved(waveform: np.ndarray, response: np.ndarray) -> np.ndarray:
    """The waveform through a filter with the given impulse response, cut to its own length."""
    n = 1 << (len(waveform) + len(response) - 2).bit_length()  # a power of two is fast
    return np.fft.irfft(np.fft.rfft(waveform, n) * np.fft.rfft(response, n), n)[: len(waveform)]


def band(waveform: np.ndarray, low: float, high: float) -> np.ndarray:
    """The waveform with a soft band pass, -6 dB at `low` and `high` Hz."""
    frequency = np.maximum(np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE), 1.0)
    gain = 1 / (1 + (low / frequency) ** 4) / (1 + (frequency / high) ** 4)
    return np.fft.irfft(np.fft.rfft(waveform) * gain, len(waveform))


def tone(frequency: np.ndarray, harmonics: np.ndarray) -> np.ndarray:
    """Harmonics of a gliding fundamental (Hz per sample) with the given amplitudes; none above Nyquist."""
    phase = 2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE
    return sum(
        amplitude * np.sin(n * phase) * (n * frequency < SAMPLE_RATE / 2)
        for n, amplitude in enumerate(harmonics, start=1)
    )


def place(events: list[tuple[float, np.ndarray]]) -> np.ndarray:
    """A clip with each (start in seconds, waveform) added; what lies beyond its ends is cut."""
    clip = np.zeros(N_SAMPLES)
    for start, waveform in events:
        first = int(start * SAMPLE_RATE)
        clip[max(first, 0) : max(first + len(waveform), 0)] += waveform[max(-first, 0) : max(N_SAMPLES - first, 0)]
    return clip


def onsets(rng: Rng, period: float, jitter: float) -> np.ndarray:
    """Start times about one period apart, from before the clip to its end; `jitter` in periods."""
    times = np.arange(-rng.uniform(), N_SAMPLES / SAMPLE_RATE / period) * period
    return times + period * jitter * rng.uniform(-1, 1, len(times))


def decay(duration: float, to_60db: float) -> np.ndarray:
    """An envelope that falls by 60 dB in `to_60db` seconds."""
    return 10 ** (-3 * seconds(duration) / to_60db)


# -------------------------------------------------------------------------------------------- the classes
# Each makes a clip (20000,) from what belongs to the source and what belongs to the take.


def siren(source: Rng, take: Rng) -> np.ndarray:
    low, ratio, rate = source.uniform(350, 900), source.uniform(1.3, 2.2), source.uniform(0.6, 3.5)
    square = source.uniform() < 0.4
    swing = np.sin(2 * np.pi * (rate * seconds() + take.uniform()))
    swing = np.sign(swing) if square else swing
    timbre = source.uniform(0.1, 0.7) ** np.arange(6)
    return tone(low * ratio ** ((swing + 1) / 2), timbre)


def church_bell(source: Rng, take: Rng) -> np.ndarray:
    prime, period = source.uniform(250, 900), source.uniform(0.6, 1.4)
    partials = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.52, 3.01, 4.1]) * source.normal(1, 0.01, 8)
    weights, lasting = source.uniform(0.2, 1, 8), source.uniform(1, 4)
    stroke = sum(
        weight * np.sin(2 * np.pi * prime * partial * seconds(1.5)) * decay(1.5, lasting / partial**0.7)
        for partial, weight in zip(partials, weights, strict=True)
    )
    return place([(start, stroke * take.uniform(0.5, 1)) for start in onsets(take, period, 0.1)])


def dog_bark(source: Rng, take: Rng) -> np.ndarray:
    pitch, length, formant = source.uniform(220, 750), source.uniform(0.09, 0.22), source.uniform(600, 1800)
    roughness, period = source.uniform(0.1, 0.8), source.uniform(0.3, 0.7)

    def bark() -> np.ndarray:
        time = seconds(length * take.uniform(0.8, 1.2))
        glide = pitch * take.uniform(0.9, 1.1) * (1 + 0.5 * np.sin(np.pi * time / time[-1]))
        voice = tone(glide, 0.8 ** np.arange(10)) + roughness * take.standard_normal(len(time)) * 3
        return band(voice, formant * 0.6, formant * 1.8) * np.hanning(len(time)) ** 0.25

    return place([(start, bark() * take.uniform(0.6, 1)) for start in onsets(take, period, 0.3)])


def engine(source: Rng, take: Rng) -> np.ndarray:
    firing, timbre, wobble = source.uniform(28, 110), source.uniform(0.75, 0.97), source.uniform(0.01, 0.08)
    drift = np.cumsum(take.standard_normal(N_SAMPLES)) / np.sqrt(N_SAMPLES)
    speed = firing * take.uniform(0.85, 1.2) * (1 + wobble * drift)
    hum = tone(speed, timbre ** np.arange(30) * source.uniform(0.3, 1, 30))
    return hum + source.uniform(0.2, 1.5) * band(take.standard_normal(N_SAMPLES), 60, source.uniform(400, 2000))


def bird_chirps(source: Rng, take: Rng) -> np.ndarray:
    pitch, span, length = source.uniform(2000, 5500), source.uniform(-0.4, 0.4), source.uniform(0.03, 0.14)
    period, warble = source.uniform(0.1, 0.35), source.uniform(0, 0.08)

    def chirp() -> np.ndarray:
        time = seconds(length * take.uniform(0.7, 1.3)) / length
        glide = 1 + span * (time - 0.5) + warble * np.sin(2 * np.pi * 4 * time)
        return tone(pitch * take.uniform(0.9, 1.1) * glide, np.array([1, 0.1])) * np.hanning(len(time))

    return place([(start, chirp() * take.uniform(0.05, 1)) for start in onsets(take, period, 0.4)])


def crickets(source: Rng, take: Rng) -> np.ndarray:
    pitch, pulses, depth = source.uniform(2200, 5500), source.uniform(18, 45), source.uniform(0.5, 1)
    period, fraction = source.uniform(0.2, 0.7), source.uniform(0.4, 0.9)
    carrier = tone(np.full(N_SAMPLES, pitch * take.uniform(0.97, 1.03)), np.array([1, 0.05]))
    pulsing = 1 - depth * (0.5 + 0.5 * np.cos(2 * np.pi * (pulses * seconds() + take.uniform())))
    calling = (seconds() / period + take.uniform()) % 1 < fraction
    return carrier * pulsing * np.convolve(calling, np.hanning(320) / 160, "same")


def rain(source: Rng, take: Rng) -> np.ndarray:
    hiss = band(take.standard_normal(N_SAMPLES), source.uniform(300, 1500), source.uniform(3000, 8000))
    n_drops, ring = int(source.uniform(10, 120)), source.uniform(800, 3500)
    drop = np.sin(2 * np.pi * ring * seconds(0.03)) * decay(0.03, 0.03)
    starts = take.uniform(0, N_SAMPLES / SAMPLE_RATE, n_drops)
    return hiss + source.uniform(0.5, 3) * place([(t, drop * take.uniform(0.1, 1)) for t in starts])


def wind(source: Rng, take: Rng) -> np.ndarray:
    center, width, rate = source.uniform(150, 1100), source.uniform(1.3, 3), source.uniform(0.4, 2.5)
    noise = take.standard_normal(N_SAMPLES)
    soft, sharp = band(noise, center / width, center * width), band(noise, center, center * 2 * width)
    gust = 0.5 + 0.5 * np.sin(2 * np.pi * (rate * seconds() + take.uniform()))
    return soft * (0.4 + gust) + sharp * gust**2 * source.uniform(0.2, 1)


def clock_tick(source: Rng, take: Rng) -> np.ndarray:
    period, ring, lasting = source.uniform(0.18, 0.5), source.uniform(1200, 4000), source.uniform(0.01, 0.06)
    knock, tock = source.uniform(0.2, 1.5), source.uniform(0.7, 1.3)

    def tick(pitch: float) -> np.ndarray:
        click = np.sin(2 * np.pi * pitch * seconds(0.08)) + knock * take.standard_normal(1280)
        return click * decay(0.08, lasting)

    starts = onsets(take, period, 0.01)
    return place([(start, tick(ring * (tock if i % 2 else 1))) for i, start in enumerate(starts)])


def footsteps(source: Rng, take: Rng) -> np.ndarray:
    period, thud, crunch = source.uniform(0.28, 0.65), source.uniform(70, 300), source.uniform(0.2, 2)
    grain = source.uniform(800, 3500), source.uniform(3500, 7000)

    def step() -> np.ndarray:
        heel = np.sin(2 * np.pi * thud * take.uniform(0.9, 1.1) * seconds(0.15)) * decay(0.15, 0.12)
        sole = band(take.standard_normal(2400), *grain) * decay(0.15, take.uniform(0.05, 0.2))
        return heel + crunch * sole

    return place([(start, step() * take.uniform(0.5, 1)) for start in onsets(take, period, 0.08)])


SOUNDS: dict[str, Callable[[Rng, Rng], np.ndarray]] = {
    sound.__name__: sound
    for sound in (
        bird_chirps,
        church_bell,
        clock_tick,
        crickets,
        dog_bark,
        engine,
        footsteps,
        rain,
        siren,
        wind,
    )
}
"""The classes of the demo set and what makes their sound."""
