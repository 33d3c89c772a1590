"""Picture and sound of a clip in the report."""

import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from earmark.config.sections import FrontEndConfig
from earmark.features.log_mel import load_image
from earmark.report.media import _from_recording, audio_url, find_media


def test_only_the_beginning_of_a_long_recording_is_decoded(tmp_path, monkeypatch):
    """Bug 17: an hour was decoded whole for a picture of ten seconds."""
    asked = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda file, n, **kw: asked.append(n) or read(file, n, **kw))
    soundfile.write(tmp_path / "long.wav", np.random.default_rng(0).normal(0, 0.1, 60 * 8000), 8000)
    run = SimpleNamespace(config=SimpleNamespace(front_end=FrontEndConfig(n_fft=512)))
    media = _from_recording(tmp_path / "long.wav", run)
    assert asked == [10 * 8000]
    assert (len(media.waveform), media.seconds) == (10 * 8000, 10.0)
    assert media.image.shape == (128, 1 + 10 * 8000 // 512)
    assert media.remark == "Shown are the first 10 s of 60.0 s."


def test_the_picture_of_a_short_recording_is_what_the_network_gets(tmp_path):
    soundfile.write(tmp_path / "short.wav", np.random.default_rng(0).normal(0, 0.1, 80000), 8000)
    front_end = FrontEndConfig(sample_rate=8000, n_fft=512)
    media = _from_recording(tmp_path / "short.wav", SimpleNamespace(config=SimpleNamespace(front_end=front_end)))
    np.testing.assert_array_equal(media.image, load_image(tmp_path / "short.wav", front_end))
    assert media.remark == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no timers that raise")
def test_ctrl_c_while_a_clip_is_encoded_is_not_lost():
    """The callbacks of a buffer swallowed it, and the clip was cut short."""
    sound = np.random.default_rng(0).normal(0, 0.1, 60 * 44100).astype(np.float32)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            audio_url(sound, 44100)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_picture_scale_and_grad_cam_are_of_one_run(tmp_path):
    """An imported run comes first; what is shown is what the network with the Grad-CAM got."""
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 32000), 16000)

    def run(name, imported, **front_end):
        (tmp_path / name / "gallery").mkdir(parents=True)
        row = f"filepath,clip_id\n{tmp_path / 'a.wav'},a\n"
        (tmp_path / name / "split.csv").write_text(row, encoding="utf-8")
        config = SimpleNamespace(front_end=FrontEndConfig(**front_end), data=SimpleNamespace(root="", images=""))
        return SimpleNamespace(folder=tmp_path / name, imported=imported, config=config)

    imported = run("imported", True, sample_rate=16000)
    low = run("low", False, sample_rate=8000, n_fft=512)
    seen = run("seen", False, sample_rate=16000, n_mels=40, f_min=100.0)
    assert find_media([imported, low, seen], "a").high_hz == 4000
    assert find_media([imported, low, seen], "a").overlay is None
    (seen.folder / "gallery" / "a.png").touch()
    media = find_media([imported, low, seen], "a")
    assert (media.overlay, media.low_hz, media.high_hz) == (seen.folder / "gallery" / "a.png", 100, 8000)
    assert len(media.image) == 40
