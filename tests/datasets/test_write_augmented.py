"""The WAV files of augmentations: the same bytes at any time, read by every decoder."""

import os
import time

import numpy as np
import scipy.io.wavfile
import soundfile

from earmark.audio.io import load_audio
from earmark.datasets.manifest import Clip
from earmark.datasets.write_augmented import float_wav, write_augmented


def test_the_bytes_do_not_depend_on_the_time(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-1, 1, 8000), 8000)
    clip = Clip("a", tmp_path / "a.wav", "dog", "a")
    contents = []
    for name in ("first", "second"):
        write_augmented([clip], ["noisy"], None, tmp_path / name, jobs=1)
        contents.append((tmp_path / name / "a_noisy.wav").read_bytes())
        time.sleep(1.1)  # the time stamp that libsndfile writes has seconds
    assert contents[0] == contents[1]
    assert b"PEAK" not in contents[0]


def test_every_decoder_reads_the_same_samples(tmp_path):
    samples = np.random.default_rng(0).uniform(-2, 2, 1001).astype(np.float32)
    (tmp_path / "a.wav").write_bytes(float_wav(samples, 22050))
    for waveform, rate in (
        load_audio(tmp_path / "a.wav"),
        soundfile.read(tmp_path / "a.wav", dtype="float32"),
        scipy.io.wavfile.read(tmp_path / "a.wav")[::-1],
    ):
        assert rate == 22050
        np.testing.assert_array_equal(waveform, samples)


def test_a_killed_writer_leaves_nothing(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(800, 0.5), 8000)
    left = tmp_path / "out" / "a_noisy.wav.0a1b2c.1.3d4e5f.tmp"
    left.parent.mkdir()
    left.touch()
    os.utime(left, (time.time() - 3600,) * 2)
    clip = Clip("a", tmp_path / "a.wav", "dog", "a")
    write_augmented([clip], ["noisy"], None, tmp_path / "out", jobs=1)
    assert not left.exists()
