"""The front end against librosa, against an independent implementation in float64, and its properties."""

import ast
import dataclasses
import math
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

import earmark
from earmark.audio.augment import apply_augmentation, definition_of
from earmark.audio.io import AudioError, load_audio
from earmark.config.sections import ConfigError, FrontEndConfig
from earmark.features.log_mel import (
    _filtered_power,
    _pad,
    clip_images,
    hann_window,
    load_image,
    log_mel,
    log_mel_image,
    mel_energy,
    mel_filters,
)
from earmark.models.registry import AUDIOSET_FRONT_END

CONFIG = FrontEndConfig(sample_rate=44100)
EFFICIENT_AT = FrontEndConfig(**AUDIOSET_FRONT_END)


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, n_samples).astype(np.float32)


def sweep(n_samples: int, sample_rate: int) -> np.ndarray:
    """Loud in the low bins while the high ones are quiet, and the other way round: the hard case for float32."""
    time = np.arange(n_samples) / sample_rate
    phase = 2 * np.pi * (20 * time + 0.5 * time**2 * sample_rate / 2 / time[-1])
    return (0.9 * np.sin(phase) + 1e-4 * noise(n_samples)).astype(np.float32)


def of_librosa(waveform: np.ndarray, config: FrontEndConfig) -> np.ndarray:
    slaney = config.mel_scale == "slaney"
    energy = librosa.feature.melspectrogram(
        y=waveform,
        sr=config.sample_rate,
        n_fft=config.n_fft,
        win_length=config.win_length or None,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.f_min,
        fmax=config.f_max or None,
        htk=not slaney,
        norm="slaney" if slaney else None,
    )
    return librosa.power_to_db(energy, ref=np.max, top_db=config.range_db)


TRANSFORMS = [(512, 0, 160), (1024, 800, 320), (2048, 0, 512), (1000, 0, 250), (4096, 0, 1024)]
RANGES = [(44100, 128, 0.0, 0.0), (16000, 64, 0.0, 0.0), (22050, 40, 50.0, 8000.0)]


@pytest.mark.filterwarnings("ignore:Empty filters detected", "ignore:front_end. .* mel filters are narrower")
@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
@pytest.mark.parametrize(("n_fft", "win_length", "hop_length"), TRANSFORMS)
@pytest.mark.parametrize(("sample_rate", "n_mels", "f_min", "f_max"), RANGES)
def test_log_mel_agrees_with_librosa(sample_rate, n_mels, f_min, f_max, n_fft, win_length, hop_length, mel_scale):
    config = FrontEndConfig(sample_rate, n_fft, win_length, hop_length, n_mels, f_min, f_max, mel_scale)
    for waveform in (noise(sample_rate), sweep(sample_rate, sample_rate)):
        np.testing.assert_allclose(log_mel(waveform, config), of_librosa(waveform, config), atol=1e-3, rtol=0)


@pytest.mark.parametrize("seconds", [11.3, 12.0, 25.0])
def test_long_recordings_agree_with_librosa_to_their_last_frame(seconds):
    waveform = sweep(int(seconds * 44100), 44100)
    np.testing.assert_allclose(log_mel(waveform, CONFIG), of_librosa(waveform, CONFIG), atol=1e-3, rtol=0)


def worst_difference(paths, config):
    """The largest difference to librosa over real recordings, in dB."""
    assert paths, "no recordings"
    waveforms = [load_audio(path, config.sample_rate)[0] for path in paths]
    return max(np.abs(log_mel(w, config) - of_librosa(w, config)).max() for w in waveforms)


def test_log_mel_agrees_with_librosa_on_a_tenth_of_esc10(real_data):
    paths = sorted((real_data / "ESC-10" / "audio").iterdir())[::10]
    assert worst_difference(paths, CONFIG) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
def test_log_mel_agrees_with_librosa_on_all_of_esc10(real_data, mel_scale):
    paths = sorted((real_data / "ESC-10" / "audio").iterdir())
    assert worst_difference(paths, dataclasses.replace(CONFIG, mel_scale=mel_scale)) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
def test_log_mel_agrees_with_librosa_on_all_of_emodb(real_data, mel_scale):
    paths = sorted((real_data / "EmoDB-2s").rglob("*.flac"))
    config = FrontEndConfig(16000, 512, 0, 160, 64, mel_scale=mel_scale)
    assert worst_difference(paths, config) < 1e-3


def efficient_at_float64(waveform: np.ndarray) -> np.ndarray:
    """ln(mel energy + 1e-5) as Schmid et al. compute it: every step written out, in float64, (F, T)."""
    emphasised = [waveform[i + 1] - 0.97 * float(waveform[i]) for i in range(len(waveform) - 1)]
    mirrored = [*emphasised[512:0:-1], *emphasised, *emphasised[-2:-514:-1]]
    window = [0.0] * 112 + [math.sin(math.pi * i / 799) ** 2 for i in range(800)] + [0.0] * 112
    turn = np.exp(-2j * np.pi * np.outer(np.arange(513), np.arange(1024)) / 1024)
    frames = [np.multiply(mirrored[t : t + 1024], window) for t in range(0, len(mirrored) - 1023, 320)]
    power = np.abs(turn @ np.transpose(frames)) ** 2

    def mel(hertz):
        return 1127 * math.log(1 + hertz / 700)

    energy = np.zeros((128, power.shape[1]))
    step = mel(15000) / 129
    for m in range(128):
        for k in range(512):
            position = mel(k * 32000 / 1024) / step - m  # 0 at the left edge, 1 at the center, 2 at the right edge
            energy[m] += max(0.0, min(position, 2 - position)) * power[k]
    return np.log(energy + 1e-5)


def test_kaldi_scale_is_the_front_end_of_efficient_at():
    waveform = 0.05 * sweep(8000, 32000)
    ours = (log_mel(waveform, EFFICIENT_AT) + EFFICIENT_AT.reference_db) * math.log(10) / 10
    theirs = efficient_at_float64(waveform)
    assert theirs.max() * 10 / math.log(10) < EFFICIENT_AT.reference_db, "nothing is clamped at the top"
    np.testing.assert_allclose(ours, theirs, atol=1e-3, rtol=0)


def test_the_fixed_range_of_efficient_at_ends_at_its_offset():
    floor_db = 10 * math.log10(EFFICIENT_AT.log_offset)
    assert EFFICIENT_AT.reference_db - EFFICIENT_AT.range_db == pytest.approx(floor_db)
    assert not log_mel_image(np.zeros(32000, np.float32), EFFICIENT_AT).any()


def test_a_fixed_reference_keeps_the_level_and_a_peak_reference_does_not():
    fixed = dataclasses.replace(CONFIG, reference="fixed", reference_db=40.0)
    quiet, loud = noise(22050), 2 * noise(22050)
    np.testing.assert_allclose(log_mel(loud, fixed) - log_mel(quiet, fixed), 20 * math.log10(2), atol=1e-4)
    np.testing.assert_allclose(log_mel(loud, CONFIG), log_mel(quiet, CONFIG), atol=1e-4)


def test_the_image_is_the_log_mel_quantized_with_the_highest_bin_on_top():
    waveform = sweep(44100, 44100)
    expected = np.round((log_mel(waveform, CONFIG).astype(np.float64) + 80) / 80 * 255)[::-1]
    image = log_mel_image(waveform, CONFIG)
    assert image.dtype == np.uint8
    assert image.max() == 255
    assert np.abs(image - expected).max() <= 1  # a value between two steps may fall either way
    assert (image != expected).mean() < 1e-3
    tone = np.sin(2 * np.pi * 100 * np.arange(44100) / 44100).astype(np.float32)
    assert log_mel_image(tone, CONFIG).mean(axis=1).argmax() > 120, "100 Hz is near the bottom"


@pytest.mark.parametrize("n_samples", [1, 2, 100, 511, 512, 1023, 1024, 2047, 2048, 22050])
@pytest.mark.parametrize("config", [CONFIG, EFFICIENT_AT], ids=["slaney", "kaldi"])
def test_clips_of_any_length_have_a_frame_per_hop(n_samples, config):
    n_frames = 1 + max(0, n_samples - (config.pre_emphasis > 0)) // config.hop_length
    image = log_mel_image(noise(n_samples), config)
    assert image.shape == (config.n_mels, n_frames)
    assert image.any()


def test_a_short_clip_agrees_with_librosa():
    with pytest.warns(UserWarning, match="n_fft=2048 is too large"):
        expected = of_librosa(noise(300), CONFIG)
    np.testing.assert_allclose(log_mel(noise(300), CONFIG), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("level", [0.0, 1e-9])
def test_silence_is_black(level):
    assert not log_mel_image(np.full(44100, level, np.float32), CONFIG).any()
    np.testing.assert_array_equal(log_mel(np.zeros(44100, np.float32), CONFIG), -80)


def test_long_and_short_clips_share_their_frames():
    """A frame is the same whatever lies around its window."""
    fixed = dataclasses.replace(CONFIG, reference="fixed", reference_db=40.0)
    waveform = noise(200 * 512)
    whole = log_mel(waveform, fixed)
    for first in (3, 64, 101):
        part = log_mel(waveform[first * 512 :], fixed)
        np.testing.assert_allclose(part[:, 2:], whole[:, first + 2 :], atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_fft", [512, 1000, 2048, 202, 17])
def test_a_frame_has_the_same_bytes_alone_and_among_any_others(n_fft, dtype):
    """SciPy transforms four or two frames at a time and the rest one by one: neither that nor a block may matter."""
    config = FrontEndConfig(16000, n_fft=n_fft, hop_length=n_fft // 2, n_mels=4)
    frames_TN = np.random.default_rng(n_fft).normal(0, 0.1, (37, n_fft)).astype(np.float32)
    together = _filtered_power(frames_TN, config, dtype)
    for chosen in ([0], [36], [3, 17, 30], list(range(37))[::-1]):
        np.testing.assert_array_equal(_filtered_power(frames_TN, config, dtype, np.array(chosen)), together[:, chosen])


def test_blocks_do_not_change_the_bytes(monkeypatch):
    waveform = sweep(100_000, 44100)
    whole = mel_energy(waveform, CONFIG)
    monkeypatch.setattr("earmark.features.log_mel.BLOCK_SAMPLES", 7 * CONFIG.n_fft)
    np.testing.assert_array_equal(mel_energy(waveform, CONFIG), whole)


@pytest.mark.parametrize("n_fft", [16, 17, 18, 60, 101, 400, 1024])
def test_filtered_power_agrees_with_numpy_in_float64(n_fft):
    """Even, odd and prime lengths; filters of every scale are held against librosa and EfficientAT above."""
    config = FrontEndConfig(16000, n_fft=n_fft, hop_length=n_fft // 2, n_mels=2)
    frames_TN = np.random.default_rng(n_fft).normal(0, 0.1, (50, n_fft)).astype(np.float32)
    power_KT = np.abs(np.fft.rfft(frames_TN.astype(np.float64) * hann_window(config))).T ** 2
    expected = np.concatenate([mel_filters(config) @ power_KT, power_KT.mean(axis=0, keepdims=True)])
    for dtype, error in ((np.float32, 3e-6), (np.float64, 1e-14)):
        energy = _filtered_power(frames_TN, config, dtype)
        assert energy.dtype == dtype
        np.testing.assert_allclose(energy, expected, rtol=1e3 * error, atol=error * expected.max())


def test_quiet_bins_of_loud_frames_are_computed_in_double_precision():
    tone = np.sin(2 * np.pi * 5000 * np.arange(44100) / 44100) + 1e-4 * noise(44100)
    waveform = (0.9 * tone).astype(np.float32)
    frames_TN = np.lib.stride_tricks.sliding_window_view(_pad(waveform, CONFIG), CONFIG.n_fft)[:: CONFIG.hop_length]
    exact = _filtered_power(frames_TN, CONFIG, np.float64)[:-1]
    single = _filtered_power(frames_TN, CONFIG, np.float32)[:-1]
    matters = exact > exact.max() * 1e-8

    def error(energy):
        return np.abs(10 * np.log10(energy[matters] / exact[matters])).max()

    assert error(single) > 8e-4
    assert error(mel_energy(waveform, CONFIG)) < 4e-4


def test_repeating_a_call_gives_the_same_bytes_whatever_came_before():
    waveforms = [noise(n, n) for n in (1000, 70_001, 44100)]
    alone = [log_mel(w, CONFIG) for w in waveforms]
    log_mel(noise(123_456), EFFICIENT_AT)
    for waveform, expected in zip(reversed(waveforms), reversed(alone), strict=True):
        np.testing.assert_array_equal(log_mel(waveform, CONFIG), expected)


def test_filters_narrower_than_a_bin_stay_black_with_a_warning():
    """Bug 9: there was no warning."""
    config = FrontEndConfig(sample_rate=16000, n_fft=256, hop_length=128, n_mels=128)
    with pytest.warns(
        UserWarning, match=r"\d+ of 128 mel filters are narrower .* larger n_fft than 256 or fewer n_mels"
    ):
        image = log_mel_image(noise(16000), config)[::-1]
    assert (image.max(axis=1) == 0).any()
    assert image.max() == 255


@pytest.mark.parametrize("f_min", [22050.0, 30000.0])
def test_f_min_at_half_the_sampling_rate_is_refused(f_min):
    """Bug 9: all images were black."""
    with pytest.raises(
        ConfigError, match=rf"front_end.f_min = {f_min}: give less than half the sampling rate, 22050 Hz"
    ):
        FrontEndConfig(sample_rate=44100, f_min=f_min)
    assert FrontEndConfig(f_min=f_min).sample_rate == 0, "not known yet"


def test_a_file_gives_the_image_of_its_waveform(tmp_path):
    path = tmp_path / "tone.wav"
    waveform = (0.5 * noise(22050, 1)).astype(np.float32)
    soundfile.write(path, waveform, 22050, subtype="FLOAT")
    config = FrontEndConfig(sample_rate=22050)
    np.testing.assert_array_equal(load_image(path, config), log_mel_image(waveform, config))


def test_eight_channels_at_192_khz(tmp_path):
    path = tmp_path / "wide.wav"
    time = np.arange(192000) / 192000
    tone = 0.5 * np.sin(2 * np.pi * 1000 * time)
    soundfile.write(path, np.stack([tone] * 8, axis=1), 192000)
    image = load_image(path, FrontEndConfig(sample_rate=44100))
    assert image.shape == (128, 1 + 44100 // 512)
    expected = log_mel_image(np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100).astype(np.float32), CONFIG)
    assert image[:, 40].argmax() == expected[:, 40].argmax()


@pytest.mark.parametrize(("samples", "reason"), [([], "empty"), ([0.0, np.nan], "NaN")])
def test_bad_audio_is_refused_by_name(tmp_path, samples, reason):
    path = tmp_path / "bad.wav"
    soundfile.write(path, np.array(samples, np.float32), 44100, subtype="FLOAT")
    with pytest.raises(AudioError, match=rf"bad\.wav.*{reason}"):
        load_image(path, CONFIG)


def test_one_file_gives_the_images_of_its_augmentations(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(8000, 1), 16000, subtype="FLOAT")
    config = FrontEndConfig(n_fft=512, hop_length=256, n_mels=40)
    chosen = {name: definition_of(name) for name in ("orig", "noisy", "stretch0.9")}
    found = dict(clip_images(path, config, chosen, "clip"))
    assert list(found) == list(chosen)
    known = dataclasses.replace(config, sample_rate=16000)
    for name, clip in found.items():
        expected = apply_augmentation(load_audio(path)[0], 16000, "clip", name, chosen[name])
        np.testing.assert_array_equal(clip.waveform, expected)
        np.testing.assert_array_equal(clip.image, log_mel_image(expected, known))
        assert clip.sample_rate == 16000


def test_only_the_beginning_of_a_file_is_decoded_on_request(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(16000 * 4, 1), 16000, subtype="FLOAT")
    config = FrontEndConfig(sample_rate=16000)
    ((_, clip),) = clip_images(path, config, max_seconds=1.5)
    np.testing.assert_array_equal(clip.waveform, load_audio(path)[0][:24000])
    np.testing.assert_array_equal(clip.image, log_mel_image(clip.waveform, config))


DECODERS = {"load_audio", "decode"}
FEATURES = {"log_mel", "log_mel_image", "mel_energy"}
OF_WAVEFORMS = {"deploy/scores.py"}
"""They make images of waveforms that a caller has in memory; they decode no file."""


def names_in(path):
    """What a module imports by name or defines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return defined | {alias.name for node in imports for alias in node.names}


def test_there_is_one_pipeline_from_a_file_to_an_image():
    """Store, prediction, `show` and the report call `clip_images`; nobody else decodes a file and makes its image."""
    package = Path(earmark.__file__).parent
    names = {path.relative_to(package).as_posix(): names_in(path) for path in package.rglob("*.py")}
    assert {module for module, n in names.items() if n & DECODERS and n & FEATURES} == {"features/log_mel.py"}
    assert {m for m, n in names.items() if "log_mel_image" in n} - OF_WAVEFORMS == {"features/log_mel.py"}
    for name in ("features/store_tasks.py", "features/plot.py", "report/media.py"):
        assert "clip_images" in names[name]
