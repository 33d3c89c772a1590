"""What a header claims is checked before anything is allocated, and only regular files are read."""

import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.audio import io
from earmark.audio.io import AudioError, audio_info, decode, load_audio
from earmark.audio.limits import (
    MAX_CHANNELS,
    LimitError,
    header_problem,
    memory_limit,
    memory_problem,
    recording_problem,
)


def wav(path: Path, rate: int = 16000, channels: int = 1, data: bytes = b"\1\0" * 800, promised: int = -1) -> Path:
    """A WAV of 16 bits whose header says what is asked for."""
    size = len(data) if promised < 0 else promised
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2 & 0xFFFFFFFF, channels * 2, 16)
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", min(4 + len(chunks), 2**32 - 1)) + b"WAVE" + chunks)
    return path


@pytest.mark.parametrize("rate", [1, 999, 768_001, 10_000_000, 2_000_000_000])
def test_a_rate_that_no_recorder_has_is_refused(tmp_path, rate):
    path = wav(tmp_path / "a.wav", rate)
    for read in (audio_info, decode, lambda p: load_audio(p, 44100)):
        with pytest.raises(AudioError, match=rf"a\.wav: claims {rate} Hz; .*1000 to 768000 Hz") as caught:
            read(path)
        assert caught.value.kind == "unreadable"


@pytest.mark.parametrize("rate", [1000, 768_000])
def test_the_outermost_rates_are_read(tmp_path, rate):
    assert load_audio(wav(tmp_path / "a.wav", rate))[1] == rate


def test_too_many_channels_are_refused(tmp_path):
    assert audio_info(wav(tmp_path / "a.wav", channels=MAX_CHANNELS, data=b"\0" * 128 * 9)).channels == MAX_CHANNELS
    with pytest.raises(AudioError, match=r"claims 65 channels; .*at most 64"):
        audio_info(wav(tmp_path / "b.wav", channels=65, data=b"\0" * 130 * 9))


def test_a_duration_beyond_a_day_is_refused():
    assert header_problem(rate=1000, channels=1, n_samples=86_400_000, size=10**9) == ""
    problem = header_problem(rate=1000, channels=1, n_samples=90_000_000, size=10**9)
    assert problem == "claims 25.0 hours; cut it into files of at most 24 hours"


def test_more_samples_than_the_file_can_hold_are_refused():
    """Silence takes some ten bytes per 65535 samples in FLAC, the most compact of all formats."""
    problem = header_problem(rate=44100, channels=1, n_samples=70_000_000, size=100)
    assert problem.startswith("claims 70000000 samples in 100 bytes; fetch it again")


def test_flac_of_silence_is_read(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.zeros(60 * 44100), 44100)
    assert len(load_audio(tmp_path / "a.flac")[0]) == 60 * 44100


def test_the_memory_of_a_file_is_limited_before_it_is_decoded(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.flac", np.zeros((500_000, 2)), 44100)
    monkeypatch.setenv("EARMARK_MAX_AUDIO_MIB", "5")
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *a, **k: pytest.fail("decoded"))
    with pytest.raises(AudioError, match=r"needs 6 MiB decoded; .*at most 5 MiB.*EARMARK_MAX_AUDIO_MIB"):
        decode(tmp_path / "a.flac")
    assert audio_info(tmp_path / "a.flac").n_samples == 500_000


def test_a_small_file_of_much_silence_is_refused(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.flac", np.zeros(9_000_000, np.int16), 44100)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *a, **k: pytest.fail("decoded"))
    with pytest.raises(AudioError, match=r"needs 69 MiB decoded, but has \d+ bytes; leave it out"):
        decode(tmp_path / "a.flac")


def test_a_long_recording_is_not_a_bomb():
    """An hour of speech in Opus at 24 kbit/s, and two of MP3 at 128 kbit/s."""
    assert memory_problem(2 * 3600 * 48000, size=3600 * 3000 * 2) == ""
    assert memory_problem(2 * 7200 * 32000, size=7200 * 16000) == ""


def test_the_memory_after_resampling_counts(tmp_path, monkeypatch):
    path = wav(tmp_path / "a.wav", 1000, data=b"\1\0" * 100_000)
    monkeypatch.setenv("EARMARK_MAX_AUDIO_MIB", "16")
    assert len(load_audio(path, 16000)[0]) == 1_600_000
    with pytest.raises(AudioError, match=r"needs \d+ MiB decoded"):
        load_audio(path, 768_000)


def test_the_beginning_of_a_long_file_needs_little_memory(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.flac", np.zeros(2_000_000), 44100)
    monkeypatch.setenv("EARMARK_MAX_AUDIO_MIB", "1")
    assert len(load_audio(tmp_path / "a.flac", max_seconds=1.0)[0]) == 44100


@pytest.mark.parametrize("text", ["", "many", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_no_size_is_refused(monkeypatch, text):
    monkeypatch.setenv("EARMARK_MAX_AUDIO_MIB", text)
    if not text:
        assert memory_limit() == 2048 * 2**20
        return
    with pytest.raises(LimitError, match=f"EARMARK_MAX_AUDIO_MIB = '{text}': give"):
        memory_limit()


@pytest.mark.skipif(sys.platform == "win32", reason="needs devices and named pipes")
def test_devices_pipes_and_endless_files_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    with (tmp_path / "endless.wav").open("wb") as file:
        file.truncate(2**42)
    for name, reason in (("pipe.wav", "is a pipe"), ("zero.wav", "is a device"), ("endless.wav", "is 4096 GiB large")):
        assert recording_problem(tmp_path / name)[0].startswith(reason)
        for read in (audio_info, load_audio):
            with pytest.raises(AudioError, match=f"{name}: {reason}"):
                read(tmp_path / name)


def test_names_with_line_breaks_and_marks_give_one_line(tmp_path):
    path = tmp_path / "a\nb\u202ec.wav"
    path.write_bytes(b"no audio")
    with pytest.raises(AudioError) as caught:
        load_audio(path)
    assert "\n" not in str(caught.value) and "\u202e" not in str(caught.value)
    assert r"a\nb\u202ec.wav" in str(caught.value)


def test_what_is_decoded_grows_with_the_file_not_with_its_promise(tmp_path):
    """A header that promises 2 GB before 1600 bytes."""
    path = wav(tmp_path / "a.wav", promised=2**31)
    waveform, _ = load_audio(path)
    assert len(waveform) == 800
    assert io.decode(path)[0].base is None or io.decode(path)[0].base.nbytes < 10_000
