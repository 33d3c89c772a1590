"""`load(path).predict(...)`: one answer whatever form the audio comes in."""

import io
import json
import re
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from deploy_audio import CLASS_NAMES, SLANEY, WINDOW_FRAMES, make_waveform, write_model
from earmark.audio.io import AudioError
from earmark.config.sections import ModelConfig
from earmark.datasets.manifest import Clip
from earmark.datasets.validate import validate_clips
from earmark.deploy.export import write_onnx
from earmark.deploy.info import DeployError, ExpectedScore, info_from_json
from earmark.deploy.model import load
from earmark.runtime.errors import EarmarkError
from earmark.training.checkpoint import load_checkpoint, write_checkpoint


@pytest.fixture(scope="module")
def model(run_folder):
    return load(run_folder)


def test_probabilities_are_those_of_training(model, run_folder):
    from pathlib import Path

    from earmark.datasets.manifest import Clip
    from earmark.features.log_mel import log_mel_image
    from earmark.training.batches import MemoryImages, Subset
    from earmark.training.checkpoint import load_checkpoint
    from earmark.training.loop import infer

    waveforms = [make_waveform(n, seed=n) for n in (900, 2500, 4000, 9001)]  # shorter and longer than the window
    images = [log_mel_image(w, SLANEY) for w in waveforms]
    index = np.arange(len(images))
    clips = tuple(Clip(str(i), Path(), "", "") for i in index)
    network, _ = load_checkpoint(run_folder)
    subset = Subset(MemoryImages(images), index[:, None], np.zeros_like(index), clips)
    expected = infer(network, subset, WINDOW_FRAMES).double().softmax(dim=1).numpy()
    for waveform, probs in zip(waveforms, expected, strict=True):
        np.testing.assert_allclose(model.predict(waveform, 8000).probs, probs, rtol=0, atol=1e-5)


def test_files_arrays_channels_and_types_give_one_answer(model, tmp_path):
    waveform = (make_waveform(2500) * 2**15).round().astype(np.int16)
    soundfile.write(tmp_path / "a.wav", waveform, 8000, subtype="PCM_16")
    expected = model.predict(str(tmp_path / "a.wav")).probs
    floats = waveform.astype(np.float32) / 2**15
    stereo = np.stack([floats, floats])
    locked = floats.copy()
    locked.flags.writeable = False
    arrays = (waveform, waveform.astype(">i2"), waveform.astype(np.int32) << 16, floats, floats.astype(">f8"), locked)
    views = (stereo, stereo.T, np.repeat(floats, 2)[::2], floats.tolist(), torch.from_numpy(floats)[None])
    for audio in (tmp_path / "a.wav", *arrays, *views):
        rate = None if isinstance(audio, Path) else 8000
        np.testing.assert_allclose(model.predict(audio, rate).probs, expected, atol=1e-6)


def test_arrays_of_another_rate_are_resampled_as_files_are(model, tmp_path):
    waveform = make_waveform(11025, rate=22050)
    soundfile.write(tmp_path / "a.wav", waveform, 22050, subtype="FLOAT")
    from_file = model.predict(tmp_path / "a.wav").probs
    np.testing.assert_allclose(model.predict(waveform, 22050).probs, from_file, atol=1e-6)
    assert not np.allclose(model.predict(waveform, 8000).probs, from_file, atol=1e-4)


def test_answer_names_the_most_probable_classes(model):
    answer = model.predict(make_waveform(2500), 8000)
    assert answer.class_names == CLASS_NAMES == model.class_names
    assert re.fullmatch(rf"<Model \w+, {len(CLASS_NAMES)} classes, \d+ Hz, run .*>", repr(model))
    assert answer.probs.sum() == pytest.approx(1)
    assert answer.top(2)[0] == (answer.label, answer.probability)
    assert answer.top(2)[1][1] == np.sort(answer.probs)[-2]


@pytest.mark.parametrize(("gain", "silent"), [(0.0, True), (1e-5, True), (1.0, False)])
def test_silence_is_reported(model, gain, silent):
    answer = model.predict(make_waveform(2500) * np.float32(gain), 8000)
    assert answer.silent is answer.unknown is (answer.label_or_unknown() == "unknown") is silent
    assert np.isfinite(answer.probs).all()


def test_a_gpu_computes_in_exact_float32_as_in_the_evaluation(run_folder):
    """TensorFloat-32 would change probabilities by 1e-3; the setting is global, and only asked where there is a GPU."""
    model, seen = load(run_folder), []
    network = model._engine._network
    network.register_forward_pre_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    model.predict(make_waveform(2400), 8000)
    assert seen == [False] and torch.backends.cudnn.allow_tf32


def test_settings_of_the_caller_do_not_change_an_answer(model):
    waveform = make_waveform(2400)
    expected = model.predict(waveform, 8000).probs
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(model.predict(waveform, 8000).probs, expected)


SCALED = """
import torch
from torch import nn


class Scaled(nn.Module):
    output_layer = "classify"

    def __init__(self, n_classes):
        super().__init__()
        self.body, self.classify = nn.Conv2d(1, 4, 3), nn.Linear(4, n_classes)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image):
        return self.classify(self.body(image).relu().mean((2, 3))) * self.scale


def create(n_classes, n_mels):
    return Scaled(n_classes)
"""


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_your_own_network_is_refused_where_its_last_layer_is_not_the_last_one(tmp_path, monkeypatch, factor):
    """It would answer otherwise than it was scored: embedding and logits are computed with the layer it names."""
    name = f"scaled_{int(10 * factor)}"
    (tmp_path / f"{name}.py").write_text(SCALED, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = write_model(tmp_path / "run", model=ModelConfig(f"{name}:create"))
    network, metadata = load_checkpoint(folder)
    with torch.no_grad():
        network.module.scale.fill_(factor)
    write_checkpoint(folder / "last.safetensors", network, metadata)
    if factor == 1:
        assert load(folder).predict(make_waveform(2400), 8000).probs.shape == (3,)
        return
    with pytest.raises(DeployError, match=r"does something after output_layer = 'classify'.*; remove output_layer"):
        load(folder)


def test_a_model_of_another_front_end_version_is_refused(run_folder, exported, tmp_path, monkeypatch):
    """The same settings would give it other images; a whole exported model holds its own front end."""
    _, network = write_onnx(exported, tmp_path / "parts.onnx", split=True)
    (whole,) = write_onnx(exported, tmp_path / "whole.onnx")
    monkeypatch.setattr("earmark.deploy.info.VERSION", 5)
    for path in (run_folder, network):
        with pytest.raises(DeployError, match=r"front_end_version = 4, and this earmark has 5: .*train again"):
            load(path)
    assert load(whole).predict(make_waveform(2400), 8000).probs.shape == (3,)


def test_embedding_gives_the_logits_through_the_last_layer(model, run_folder):
    import torch

    from earmark.training.checkpoint import load_checkpoint

    waveform = make_waveform(6000)
    network, _ = load_checkpoint(run_folder)
    with torch.no_grad():
        logits = network.get_submodule(network.output)(torch.from_numpy(model.embed(waveform, 8000))).numpy()
    np.testing.assert_allclose(
        model.info.probabilities(logits[None])[0], model.predict(waveform, 8000).probs, atol=1e-5
    )


def test_windows_are_scored_as_clips_of_their_own(model, tmp_path):
    waveform = make_waveform(20000)
    soundfile.write(tmp_path / "a.wav", waveform, 8000, subtype="FLOAT")
    hop = 0.1
    windows = list(model.predict_windows(tmp_path / "a.wav", hop_seconds=hop))
    length = model.info.window_samples
    assert windows[0].start == 0 and windows[0].end == pytest.approx(length / 8000)
    assert windows[-1].end == pytest.approx(len(waveform) / 8000)
    for i, window in enumerate(windows):
        assert window.start == pytest.approx(i * hop)
        clip = np.zeros(length, np.float32)
        part = waveform[round(window.start * 8000) :][:length]
        clip[: len(part)] = part
        np.testing.assert_allclose(window.probs, model.predict(clip, 8000).probs, atol=1e-6)
    from_array = list(model.predict_windows(waveform, 8000, hop_seconds=hop))
    assert [(w.start, w.end, w.label) for w in from_array] == [(w.start, w.end, w.label) for w in windows]


def test_threads_share_a_model(model):
    waveforms = [make_waveform(2500, seed) for seed in range(8)]
    expected = [model.predict(w, 8000).probs for w in waveforms]
    answers: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        for _ in range(5):
            answers[i] = model.predict(waveforms[i], 8000).probs

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    [t.start() for t in threads], [t.join() for t in threads]
    for i, probs in enumerate(expected):
        np.testing.assert_allclose(answers[i], probs, atol=1e-6)


@pytest.mark.parametrize(
    ("audio", "rate", "message"),
    [
        (["a.wav", "b.wav"], None, r"audio: a list of 2 files; give one at a time"),
        (np.zeros(100, np.float32), None, "sample_rate = None: an array does not know its rate"),
        (np.zeros(100, np.float32), 0, "sample_rate = 0: give samples per second"),
        (np.zeros(100, np.float32), "44k", "sample_rate = '44k': give samples per second"),
        (np.zeros(0, np.float32), 8000, "has no samples"),
        (np.zeros((0, 2), np.float32), 8000, "has no samples"),
        (np.full(100, np.nan, np.float32), 8000, "NaN or infinite"),
        (np.zeros((2, 2, 2), np.float32), 8000, "give \\(N,\\), \\(N, C\\) or \\(C, N\\)"),
        (np.zeros((100, 100), np.float32), 8000, "up to 64 channels"),
        (np.zeros((12, 12), np.float32), 8000, "cannot be told apart"),
        (np.zeros(100, np.complex64), 8000, "give floats"),
        (np.zeros(100, bool), 8000, "give floats"),
        (None, None, "^audio of type NoneType: give a path, or samples as a NumPy array"),
        (b"RIFF", None, "^audio of type bytes: give a path, or samples"),
        (io.BytesIO(b"RIFF"), 8000, "^audio of type BytesIO: give a path, or samples"),
        ([[0.1], [0.1, 0.2]], 8000, "audio of type list: cannot be taken as an array .*; give a NumPy array"),
        (torch.zeros(100, requires_grad=True), 8000, "audio of type Tensor: cannot be taken as an array .*grad"),
        (torch.zeros(100, dtype=torch.bfloat16), 8000, "audio of type Tensor: cannot be taken as an array .*BFloat16"),
    ],
)
def test_bad_arrays_are_refused_in_one_line(model, audio, rate, message):
    with pytest.raises(AudioError, match=message) as caught:
        model.predict(audio, rate)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("rate", "channels"), [(192000, 1), (44100, 12)])
def test_any_rate_and_number_of_channels_are_answered(model, rate, channels):
    assert model.predict(np.zeros((rate // 2, channels), np.float32), rate).silent


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_what_validate_calls_too_short_has_no_answer(model, tmp_path, rate):
    least, message = -(-rate // 10), r"audio.*: 0\.\d+ s are too short for an answer; give at least 0\.1 s"
    for n_samples in (1 if rate == 8000 else 100, least - 10, least):
        path = tmp_path / f"{n_samples}.wav"
        soundfile.write(path, make_waveform(n_samples, rate=rate), rate)
        too_short = [p.kind for p in validate_clips([Clip("a", path, "x", "a")]) if p.kind == "too_short"]
        asked = (path, None), (soundfile.read(path)[0], rate)
        for audio, given in asked:
            for ask in (model.predict, lambda *arguments: list(model.predict_windows(*arguments))):
                if not too_short:
                    assert ask(audio, given)
                    continue
                with pytest.raises(AudioError, match=message):
                    ask(audio, given)
        assert bool(too_short) == (n_samples < least)


def test_the_last_window_may_be_short(model):
    windows = list(model.predict_windows(make_waveform(model.info.window_samples + 1), 8000, hop_seconds=0.312))
    assert len(windows) == 2 and windows[-1].end - windows[-1].start < 0.001


def test_a_model_of_short_clips_answers_clips_of_half_a_window(model):
    assert replace(model.info, window_frames=11).min_seconds == pytest.approx(0.04)


@pytest.mark.parametrize("content", [b"", b"no audio at all", b"RIFF\x10\0\0\0WAVEfmt "])
def test_bad_files_are_refused_in_one_line(model, tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    for ask in (model.predict, lambda path: list(model.predict_windows(path))):
        with pytest.raises(AudioError, match=r"a\.wav"):
            ask(tmp_path / "a.wav")


def test_one_answer_for_a_long_recording_warns(model):
    with pytest.warns(UserWarning, match="one answer for 4 s"):
        model.predict(make_waveform(32000), 8000)


def test_paths_that_are_no_model_are_refused(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    for name in ("bad.onnx", "missing.onnx", "missing", "."):
        with pytest.raises(EarmarkError, match=r"missing|bad|checkpoint"):
            load(tmp_path / name)


def test_model_of_images_with_unknown_front_end_is_refused(tmp_path):
    from dataclasses import replace

    from earmark.training.checkpoint import load_checkpoint, write_checkpoint

    network, metadata = load_checkpoint(write_model(tmp_path))
    write_checkpoint(tmp_path / "last.safetensors", network, replace(metadata, front_end=None))
    with pytest.raises(DeployError, match="cannot take audio"):
        load(tmp_path)


def test_description_survives_json(model):
    from dataclasses import replace

    info = replace(model.info, expected_score=ExpectedScore("accuracy", 0.9, 80, 0.8, 0.95, "fold 1"))
    assert info_from_json(info.to_json(), "here") == info
    with pytest.raises(DeployError, match="damaged"):
        info_from_json("{}", "here")
    with pytest.raises(DeployError, match="newer"):
        info_from_json('{"format_version": 99}', "here")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("unknown", {"threshold": "x", "false_alarms": 0.05, "n_clips": 9, "held_out": [1.0]}),
        ("unknown", {"threshold": None, "false_alarms": 0.05, "n_clips": 9, "held_out": [1.0]}),
        ("unknown", {"threshold": 1.0, "false_alarms": 0.05, "n_clips": "many", "held_out": [1.0]}),
        ("unknown", {"threshold": 1.0, "false_alarms": 0.05, "n_clips": 9, "held_out": ["x"]}),
        ("expected_score", {"metric": "accuracy", "value": "x", "n_clips": 9}),
        ("expected_score", {"metric": "accuracy", "value": 0.5, "n_clips": 9, "low": [], "high": 1}),
    ],
)
def test_a_damaged_description_is_refused_before_it_is_used(model, key, value):
    content = json.loads(model.info.to_json()) | {key: value}
    with pytest.raises(DeployError, match=f"here: its description is damaged .{key}"):
        info_from_json(json.dumps(content), "here")


def test_no_waveforms_have_no_answers(model):
    assert model.predict_batch([]) == []


def test_integers_as_floats_are_named(model, run_folder):
    samples = np.zeros(8000, np.float32)
    samples[100] = 20_000
    with pytest.warns(UserWarning, match=r"samples reach 20000, not \[-1, 1\]; divide integers by their full scale"):
        model.predict(samples, 8000)
