"""The speed of augmentation against librosa and NumPy, on real clips.

    uv run python benchmarks/augment.py

Processor times of one core, taken in turn with those of the other side. Exits with 1 when a target is missed by
more than the noise of the measurement.
"""

from __future__ import annotations

import argparse
import sys

import librosa
import numpy as np
from measure import Row, add_data_argument, compare, report
from threadpoolctl import threadpool_limits

from earmark.audio.augment import add_noise, shift_pitch, stretch_time
from earmark.audio.io import load_audio

RATE = 44100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_argument(parser)
    paths = sorted((parser.parse_args().data / "ESC-10" / "audio").iterdir())[::10]
    waveforms = [load_audio(path, RATE)[0] for path in paths]
    with threadpool_limits(1):
        return report(comparisons(waveforms))


def comparisons(waveforms: list[np.ndarray]) -> list[Row]:
    generator = np.random.default_rng(0)

    def numpy_noise(waveform: np.ndarray) -> np.ndarray:
        power = np.mean(waveform**2) / 10**2.5
        return waveform + np.random.normal(0, np.sqrt(power), len(waveform))  # noqa: NPY002

    return [
        compare("noise at 25 dB; np.random.normal", lambda w: add_noise(w, RATE, generator), numpy_noise, waveforms, 3),
        compare(
            "pitch up 2 semitones; librosa",
            lambda w: shift_pitch(w, RATE, generator, 2),
            lambda w: librosa.effects.pitch_shift(w, sr=RATE, n_steps=2),
            waveforms,
            1.6,
        ),
        compare(
            "stretch to tempo 0.9; librosa",
            lambda w: stretch_time(w, RATE, generator, 0.9),
            lambda w: librosa.effects.time_stretch(w, rate=0.9),
            waveforms,
            1.6,
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
