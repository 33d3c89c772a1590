"""The picture of a clip: the right pixels at the right seconds and Hz."""

import numpy as np
import pytest
import soundfile
from PIL import Image

import earmark.audio.io
from earmark.audio.augment import AugmentationError
from earmark.audio.io import AudioError
from earmark.config.sections import FrontEndConfig
from earmark.features.log_mel import bin_of, log_mel
from earmark.features.plot import GAP, IMAGE_HEIGHT, LEFT, PANEL_WIDTH, TOP, WAVE_HEIGHT, show
from earmark.runtime.errors import EarmarkError

RATE = 16000


@pytest.fixture
def beep(tmp_path):
    """Silence, then from 1 s to 1.5 s a tone of 1000 Hz; 2 s in all."""
    time = np.arange(2 * RATE) / RATE
    waveform = 0.5 * np.sin(2 * np.pi * 1000 * time) * ((time >= 1) & (time < 1.5))
    soundfile.write(tmp_path / "beep.wav", waveform, RATE)
    return tmp_path / "beep.wav"


def test_a_picture_is_not_written_over_a_recording(beep):
    before = beep.read_bytes()
    with pytest.raises(EarmarkError, match=r"beep\.wav': a picture is written; give a name that ends in \.png"):
        show(beep, beep)
    assert beep.read_bytes() == before


@pytest.mark.parametrize("mel_scale", ["slaney", "htk", "kaldi"])
def test_bins_and_hertz_belong_together(mel_scale):
    config = FrontEndConfig(sample_rate=RATE, n_mels=64, f_min=50.0, f_max=7000.0, mel_scale=mel_scale)
    for hertz in (400, 1000, 3000):
        tone = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE).astype(np.float32)
        loudest = log_mel(tone, config).mean(axis=1).argmax()
        assert abs(loudest - bin_of(hertz, config)) <= 1
    np.testing.assert_allclose(bin_of(np.array([50.0, 7000.0]), config), [-1, 64], atol=1e-9)


def test_the_tone_stands_at_its_time_and_frequency(beep, tmp_path):
    config = FrontEndConfig(n_fft=1024, hop_length=256, n_mels=64)
    with Image.open(show(beep, tmp_path / "new" / "beep.png", config)) as opened:
        picture = np.asarray(opened.convert("L")).astype(float)
    top = TOP + WAVE_HEIGHT + GAP
    image = picture[top : top + IMAGE_HEIGHT, LEFT : LEFT + PANEL_WIDTH]
    seconds = (image.max(axis=0) > 200).nonzero()[0] / PANEL_WIDTH * 2
    assert seconds.min() == pytest.approx(1.0, abs=0.05)
    assert seconds.max() == pytest.approx(1.5, abs=0.05)
    row = image[:, PANEL_WIDTH * 5 // 8].argmax()
    expected = bin_of(1000, FrontEndConfig(sample_rate=RATE, n_mels=64))
    assert 64 * (1 - row / IMAGE_HEIGHT) - 0.5 == pytest.approx(expected, abs=1)
    wave = picture[TOP + WAVE_HEIGHT // 4, LEFT : LEFT + PANEL_WIDTH] < 200
    assert wave.nonzero()[0].min() / PANEL_WIDTH * 2 == pytest.approx(1.0, abs=0.02)


def test_augmentations_stand_beside_it_and_a_second_is_as_wide(beep, tmp_path):
    def width(*augmentations):
        with Image.open(show(beep, tmp_path / "x.png", augmentations=augmentations)) as picture:
            return picture.width

    assert width("noisy") - width() == PANEL_WIDTH + GAP
    assert width("stretch0.9") - width() == round(0.9 * PANEL_WIDTH) + GAP


@pytest.mark.parametrize("samples", [[0.3], [0.0] * 50, [0.0] * RATE])
def test_shortest_and_silent_clips_can_be_shown(samples, tmp_path):
    soundfile.write(tmp_path / "x.wav", np.array(samples), RATE)
    assert show(tmp_path / "x.wav", tmp_path / "x.png", augmentations=("noisy", "pitchUp2")).is_file()


def test_mistakes_are_named(beep, tmp_path):
    with pytest.raises(AudioError, match=r"none\.wav"):
        show(tmp_path / "none.wav", tmp_path / "x.png")
    with pytest.raises(AugmentationError, match="did you mean 'noisy'"):
        show(beep, tmp_path / "x.png", augmentations=("noisi",))


def test_only_the_beginning_of_a_long_recording_is_shown(tmp_path, monkeypatch):
    """Bug 17: an hour was decoded whole for its picture."""
    decoded = []
    decode = earmark.audio.io.decode
    monkeypatch.setattr("earmark.audio.io.decode", lambda *args: decoded.append(decode(*args)) or decoded[-1])
    soundfile.write(tmp_path / "long.wav", np.full(RATE * 90, 0.1), RATE)
    show(tmp_path / "long.wav", tmp_path / "x.png")
    show(tmp_path / "long.wav", tmp_path / "y.png", max_seconds=2)
    assert [len(samples_NC) / rate for samples_NC, rate in decoded] == [60, 2]
