"""Decoding against the standard library's and SciPy's own readers, and files that are broken."""

import os
import pickle
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile
import scipy.signal
import soundfile

from earmark.audio.io import AudioError, audio_files, audio_info, decode, load_audio

RATE = 22050


def tone(seconds=0.5, rate=RATE, frequency=440.0, level=0.5):
    return level * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def write_pcm(path: Path, samples: np.ndarray, n_bytes: int, rate: int = RATE) -> None:
    """WAV of 8 (unsigned), 16, 24 or 32 bits, written with the standard library; samples (N,) or (N, C)."""
    n_channels = 1 if samples.ndim == 1 else samples.shape[1]
    numbers = np.round(samples * 2 ** (8 * n_bytes - 1)).astype(np.int64).ravel()
    if n_bytes == 1:
        content = (numbers + 128).astype(np.uint8).tobytes()
    else:
        content = b"".join(struct.pack("<i", n << 8 * (4 - n_bytes))[4 - n_bytes :] for n in numbers.tolist())
    with wave.open(str(path), "wb") as file:
        file.setparams((n_channels, n_bytes, rate, 0, "NONE", ""))
        file.writeframes(content)


def signal_to_noise_db(reference: np.ndarray, waveform: np.ndarray) -> float:
    noise = np.square(reference - waveform).mean()
    return float(10 * np.log10(np.square(reference).mean() / noise))


@pytest.mark.parametrize("n_bytes", [1, 2, 3, 4])
def test_integer_wav_is_what_was_written_to_half_a_step(tmp_path, n_bytes):
    write_pcm(tmp_path / "a.wav", tone(), n_bytes)
    waveform, rate = load_audio(tmp_path / "a.wav")
    assert (waveform.dtype, waveform.shape, rate) == (np.float32, (RATE // 2,), RATE)
    step = 2.0 ** (1 - 8 * n_bytes)
    assert np.abs(waveform - tone()).max() <= max(step / 2, 2**-24) * 1.001  # float32 has 24 bits


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_wav_keeps_its_values_beyond_full_scale(tmp_path, dtype):
    scipy.io.wavfile.write(tmp_path / "a.wav", RATE, tone(level=3.0).astype(dtype))
    waveform, _ = load_audio(tmp_path / "a.wav")
    np.testing.assert_array_equal(waveform, tone(level=3.0).astype(np.float32))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_flac_and_wav_of_the_same_samples_are_equal(tmp_path, subtype):
    numbers = np.random.default_rng(0).integers(-(2**31), 2**31, 5000, dtype=np.int32)
    for name in ("a.wav", "a.flac", "a.aiff"):
        soundfile.write(tmp_path / name, numbers, RATE, subtype=subtype)
    expected = load_audio(tmp_path / "a.wav")[0]
    np.testing.assert_array_equal(load_audio(tmp_path / "a.flac")[0], expected)
    np.testing.assert_array_equal(load_audio(tmp_path / "a.aiff")[0], expected)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.ogg", ("OGG", "VORBIS")), ("a.opus", ("OGG", "OPUS")), ("a.mp3", ("MP3", None))]
)
def test_lossy_files_come_back_in_place_and_level(tmp_path, name, kind):
    reference = tone(rate=48000)
    soundfile.write(tmp_path / name, reference, 48000, format=kind[0], subtype=kind[1])
    waveform, rate = load_audio(tmp_path / name)
    assert (rate, len(waveform)) == (48000, len(reference))
    assert signal_to_noise_db(reference[2000:-2000], waveform[2000:-2000]) > 20


def test_a_name_that_lies_about_the_format_does_not_matter(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(), RATE)
    (tmp_path / "a.flac").rename(tmp_path / "a.wav")
    assert len(load_audio(tmp_path / "a.wav")[0]) == RATE // 2


@pytest.mark.parametrize("n_channels", [1, 2, 6])
def test_channels_are_averaged(tmp_path, n_channels):
    channels_NC = np.random.default_rng(0).uniform(-1, 1, (1000, n_channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", channels_NC, RATE, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav")[0], channels_NC.mean(axis=1), atol=1e-7)
    np.testing.assert_array_equal(decode(tmp_path / "a.wav")[0], channels_NC)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000, 96000])
def test_resampling_agrees_with_scipy_inside_the_band(tmp_path, rate):
    reference = tone(1.0, rate)
    soundfile.write(tmp_path / "a.wav", reference, rate, subtype="FLOAT")
    waveform, new_rate = load_audio(tmp_path / "a.wav", 32000)
    assert (waveform.dtype, new_rate, len(waveform)) == (np.float32, 32000, 32000)
    divisor = np.gcd(rate, 32000)
    expected = scipy.signal.resample_poly(reference, 32000 // divisor, rate // divisor)
    assert np.abs(waveform - expected)[2000:-2000].max() < 2e-3  # SciPy's default filter ripples by 1e-3
    assert np.abs(waveform - tone(1.0, 32000))[2000:-2000].max() < 1e-5


def test_resampling_removes_frequencies_above_the_new_limit(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(1.0, 44100, frequency=12000), 44100, subtype="FLOAT")
    waveform, _ = load_audio(tmp_path / "a.wav", 16000)
    assert np.abs(waveform[1000:-1000]).max() < 1e-5  # -100 dB; it would alias to 4 kHz


def test_the_own_rate_is_kept_without_resampling(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(), RATE, subtype="FLOAT")
    np.testing.assert_array_equal(*(load_audio(tmp_path / "a.wav", rate)[0] for rate in (0, RATE)))


@pytest.mark.parametrize(("name", "subtype"), [("a.wav", "PCM_16"), ("a.flac", "PCM_24"), ("a.ogg", "VORBIS")])
def test_only_the_beginning_is_decoded_on_request(tmp_path, monkeypatch, name, subtype):
    """Bug 17: a clip of an hour was decoded whole for a picture of ten seconds."""
    soundfile.write(tmp_path / name, tone(3.0), RATE, subtype=subtype)
    whole, _ = load_audio(tmp_path / name)
    asked = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda file, n, **kw: asked.append(n) or read(file, n, **kw))
    beginning, rate = load_audio(tmp_path / name, max_seconds=0.5)
    np.testing.assert_array_equal(beginning, whole[: rate // 2])
    assert asked == [rate // 2]
    assert len(load_audio(tmp_path / name, max_seconds=1e9)[0]) == len(whole)
    assert len(load_audio(tmp_path / name, 8000, max_seconds=0.5)[0]) == 4000


def test_info_reads_the_header(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.zeros((RATE, 2)), RATE, subtype="PCM_24")
    info = audio_info(str(tmp_path / "a.flac"))
    assert (info.sample_rate, info.channels, info.n_samples, info.duration) == (RATE, 2, RATE, 1.0)
    assert (info.format, info.subtype) == ("FLAC", "PCM_24")


def bad_files(folder: Path) -> dict[str, tuple[str, str]]:
    """Broken files by name: the kind and the words of the error."""
    (folder / "text.wav").write_text("these are words\n" * 50)
    (folder / "text.mp3").write_text("these are words\n" * 50)
    (folder / "noise.ogg").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "headerless.raw").write_bytes(b"\0" * 100)
    (folder / "zero_bytes.wav").touch()
    soundfile.write(folder / "zero_samples.wav", np.zeros(0), RATE)
    soundfile.write(folder / "nan.wav", np.array([0.1, np.nan, 0.2]), RATE, subtype="FLOAT")
    soundfile.write(folder / "infinite.wav", np.array([[0.1, np.inf], [0, -np.inf]]), RATE, subtype="FLOAT")
    soundfile.write(folder / "huge.wav", np.full((2, 2), 3e38), RATE, subtype="FLOAT")
    (folder / "folder.wav").mkdir()
    for name in ("cut.flac", "cut.mp3", "cut.wav", "cut.aiff", "cut.au", "cut.ogg", "cut.w64", "cut.rf64"):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE)
        soundfile.write(folder / name, noise, RATE)
        os.truncate(folder / name, (folder / name).stat().st_size // 2)
    unreadable = dict.fromkeys(("text.wav", "text.mp3", "noise.ogg", "headerless.raw", "cut.flac"))
    return {
        **dict.fromkeys(unreadable, ("unreadable", "cannot be decoded .*; convert it to WAV or FLAC")),
        "cut.mp3": ("unreadable", "cut short after .* of 66150 samples; fetch it again"),
        **dict.fromkeys(("cut.wav", "cut.aiff", "cut.au"), ("unreadable", "cut short: .* of 1323.. bytes")),
        **dict.fromkeys(("cut.w64", "cut.rf64"), ("unreadable", "cut short: .* of 132[34].. bytes are there; fetch")),
        "cut.ogg": ("unreadable", "cut short: its last page is not whole; fetch it again"),
        "zero_bytes.wav": ("empty", "is empty; record it again"),
        "zero_samples.wav": ("empty", "is empty; record it again"),
        "nan.wav": ("nan", "NaN or infinite samples; export it again"),
        "infinite.wav": ("nan", "NaN or infinite samples; export it again"),
        "huge.wav": ("nan", "NaN or infinite samples; export it again"),
        "folder.wav": ("missing", "is a folder; give the path"),
        "absent.wav": ("missing", "does not exist; give the path"),
    }


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_is_whole_up_to_its_last_page(tmp_path, subtype):
    """Also one that ends after an earlier page, or has a tag behind the last."""
    path = tmp_path / "a.ogg"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 8 * 8000), 8000, subtype=subtype, format="OGG")
    whole, last = path.read_bytes(), path.read_bytes().rfind(b"OggS")
    for content in (whole, whole[:last], whole + b"TAG" + bytes(125)):
        path.write_bytes(content)
        assert audio_info(path).n_samples
    for end in (last + 10, last + 30, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(AudioError, match="its last page is not whole"):
            audio_info(path)


def test_each_bad_file_is_refused_by_name_with_kind_and_remedy(tmp_path):
    for name, (kind, words) in bad_files(tmp_path).items():
        with pytest.raises(AudioError, match=f"{name}: .*{words}") as caught:
            load_audio(tmp_path / name)
        assert caught.value.kind == kind, name
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xff", b"\0\xf0\xff\x7f"])
def test_a_wav_whose_writer_could_not_go_back_to_its_header_is_read(tmp_path, size):
    soundfile.write(tmp_path / "piped.wav", np.zeros(RATE), RATE)
    content = (tmp_path / "piped.wav").read_bytes()
    (tmp_path / "piped.wav").write_bytes(content[:4] + size + content[8:40] + size + content[44:])
    assert audio_info(tmp_path / "piped.wav").n_samples == RATE


def test_info_refuses_what_has_no_header(tmp_path):
    bad_files(tmp_path)
    for name in ("text.wav", "text.mp3", "zero_bytes.wav", "absent.wav", "folder.wav", "headerless.raw"):
        with pytest.raises(AudioError, match=name):
            audio_info(tmp_path / name)


def test_too_few_samples_to_resample_are_empty(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.ones(1) / 2, 44100)
    with pytest.raises(AudioError, match="no sample left at 8000 Hz") as caught:
        load_audio(tmp_path / "a.wav", 8000)
    assert caught.value.kind == "empty"


def test_an_mp3_of_estimated_length_is_read(tmp_path):
    """Without its Xing header an MP3's length is an estimate, which is no reason to refuse it."""
    soundfile.write(tmp_path / "a.mp3", tone(3.0, 44100), 44100, bitrate_mode="CONSTANT")
    content = (tmp_path / "a.mp3").read_bytes()
    frames = [i for i in range(3000) if content[i : i + 2] == b"\xff\xfb"]
    (tmp_path / "a.mp3").write_bytes(content[frames[2] :])
    waveform, _ = load_audio(tmp_path / "a.mp3")
    assert len(waveform) < audio_info(tmp_path / "a.mp3").n_samples
    assert len(waveform) / 44100 == pytest.approx(3.0, abs=0.1)


def test_the_error_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(AudioError("audio x: is empty", "empty")))
    assert (str(error), error.kind) == ("audio x: is empty", "empty")


def test_audio_files_are_found_below_a_folder(tmp_path):
    for name in ("b/two.MP3", "one.wav", "._one.wav", "b/notes.txt", "b/.hidden.flac", "b/c/three.flac"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    found = [p.relative_to(tmp_path).as_posix() for p in audio_files(tmp_path)]
    assert found == ["b/c/three.flac", "b/two.MP3", "one.wav"]


def test_real_clips_decode_to_what_their_headers_say(real_data):
    for path in [*audio_files(real_data / "ESC-10")[::40], *audio_files(real_data / "EmoDB-4class")[::40]]:
        info = audio_info(path)
        waveform, rate = load_audio(path)
        assert (len(waveform), rate) == (info.n_samples, info.sample_rate), path


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_sixteen_bits_decode_to_the_values_of_libsndfile(tmp_path, name):
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, (500, 2)).astype(np.int16)
    samples[:2] = [[-(2**15), 2**15 - 1], [0, -1]]
    soundfile.write(tmp_path / name, samples, 16000, subtype="PCM_16")
    expected, _ = soundfile.read(tmp_path / name, dtype="float32", always_2d=True)
    decoded, _ = decode(tmp_path / name)
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, expected)
