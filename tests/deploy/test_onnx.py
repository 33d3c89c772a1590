"""The exported files: image, network and whole model against the front end and the network of training."""

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch

from deploy_audio import CLASS_NAMES, KALDI, SLANEY, WINDOW_FRAMES, make_waveform, write_model
from earmark.analysis.calibrate import Calibration
from earmark.audio.io import load_audio
from earmark.config.sections import FrontEndConfig, ModelConfig
from earmark.deploy.export import Exported, build_graphs, checked, write_onnx
from earmark.deploy.info import DeployError, ModelInfo
from earmark.deploy.model import load
from earmark.deploy.onnx_front_end import factors
from earmark.deploy.onnx_network import halve_weights, quantize_network
from earmark.deploy.torch_engine import LoadedModel, SplitNetwork, load_networks, load_torch
from earmark.deploy.unknown import References, unknown_scores
from earmark.features.log_mel import log_mel_image
from earmark.features.windows import cut_windows
from earmark.models.create import create_model
from earmark.models.registry import AUDIOSET_FRONT_END

DEFAULT = FrontEndConfig(sample_rate=44100)
AUDIOSET = FrontEndConfig(**AUDIOSET_FRONT_END)
FRONT_ENDS = {
    "slaney": SLANEY,
    "kaldi": KALDI,
    "default": DEFAULT,
    "audioset": AUDIOSET,
    "htk": replace(SLANEY, mel_scale="htk", f_min=50.0, f_max=3000.0, range_db=60.0),
    "short window": replace(SLANEY, win_length=100, hop_length=100),
    "odd transform": replace(SLANEY, n_fft=255, hop_length=70),
    "prime transform": replace(SLANEY, n_fft=127, hop_length=127, n_mels=8),
    "hop of a transform": replace(SLANEY, hop_length=256),
    "emphasized peak with offset": replace(SLANEY, pre_emphasis=0.9, log_offset=1e-6),
    "fixed": replace(SLANEY, reference="fixed", reference_db=20.0),
}


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(checked(model), providers=["CPUExecutionProvider"])


def front_end_session(config: FrontEndConfig) -> onnxruntime.InferenceSession:
    info = ModelInfo(CLASS_NAMES, config, 40, "none")
    return session_of(Exported(info, "float32", onnx.ModelProto()).front_end())


def images_of(session, waveforms: np.ndarray) -> np.ndarray:
    return session.run(["image"], {"waveform": np.atleast_2d(waveforms)})[0].astype(int)


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_image_is_that_of_training_within_one_step(name):
    config = FRONT_ENDS[name]
    session, off, total = front_end_session(config), 0, 0
    for seed in range(6):
        waveform = make_waveform(config.sample_rate * 3, seed, config.sample_rate)
        step = np.abs(images_of(session, waveform)[0] - log_mel_image(waveform, config))
        assert step.max() <= 1
        off, total = off + np.count_nonzero(step), total + step.size
    assert off <= max(3, 20e-6 * total)


@pytest.mark.parametrize("name", ["slaney", "kaldi", "audioset", "prime transform", "emphasized peak with offset"])
def test_shortest_clips_have_the_same_image(name):
    config = FRONT_ENDS[name]
    session = front_end_session(config)
    for n_samples in (1, 2, 3, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1000, 1025):
        waveform = make_waveform(n_samples, n_samples)
        image, expected = images_of(session, waveform)[0], log_mel_image(waveform, config)
        assert image.shape == expected.shape
        assert np.abs(image - expected).max() <= 1


@pytest.mark.parametrize("name", ["slaney", "kaldi"])
def test_each_clip_of_a_batch_has_its_own_peak_and_silence_stays_black(name):
    config = FRONT_ENDS[name]
    loud = make_waveform(3000)
    batch = np.stack([np.zeros_like(loud), loud, 0.01 * loud])
    for image, waveform in zip(images_of(front_end_session(config), batch), batch, strict=True):
        assert np.abs(image - log_mel_image(waveform, config)).max() <= 1


def test_clips_of_esc10_have_the_same_images(real_data):
    """The promise: at most 20 pixels in a million off, by one step."""
    for config in (DEFAULT, AUDIOSET):
        session, off, total = front_end_session(config), 0, 0
        for path in sorted((real_data / "ESC-10" / "audio").glob("*.ogg"))[::20]:
            waveform, _ = load_audio(path, config.sample_rate)
            step = np.abs(images_of(session, waveform)[0] - log_mel_image(waveform, config))
            assert step.max() <= 1
            off, total = off + np.count_nonzero(step), total + step.size
        assert off <= 20e-6 * total


@pytest.mark.parametrize("n_fft", [16, 127, 255, 256, 400, 1024, 2048])
def test_factors_multiply_to_the_transform(n_fft):
    n1, n2 = factors(n_fft)
    assert n1 * n2 == n_fft and n1 >= n2


NETWORKS = [
    ("baseline_cnn", "none", "block"),
    ("baseline_cnn", "cbam", "block"),
    ("baseline_cnn", "coordinate", "stage"),
    ("alexnet", "none", "block"),
    ("mn04", "none", "block"),
    ("mobilenet_v1", "none", "block"),
]
MORE_NETWORKS = [
    *(("baseline_cnn", kind, place) for kind in ("se", "eca", "frequency_se") for place in ("block", "stage")),
    ("alexnet", "cbam", "stage"),
    ("mn04", "se", "stage"),
    ("mn10", "cbam", "block"),
    ("cnn6", "frequency_se", "stage"),
    ("cnn10", "none", "block"),
    ("mobilenet_v1", "cbam", "block"),
    ("resnet50", "cbam", "block"),
    ("resnet50", "se", "stage"),
    ("timm/resnet18", "se", "stage"),
]


def check_network(folder, name, attention, placement):
    model = ModelConfig(name=name, attention=attention, placement=placement)
    front_end = KALDI if name.startswith("mn") else SLANEY
    folder = write_model(folder, front_end, model)
    exported, engine = build_graphs(load_networks(folder)), load_torch(folder)
    images = np.random.default_rng(0).integers(0, 256, size=(5, 32, 40), dtype=np.uint8)
    expected = engine.infer_windows(images)
    got = session_of(exported.network_alone()).run(["logits", "embedding"], {"image": images})
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * max(1, np.abs(theirs).max()))
    whole = session_of(exported.whole())
    for n_samples in (100, 2500, 5000):  # shorter than the window, as long, longer
        waveforms = np.stack([make_waveform(n_samples, seed) for seed in range(3)])
        logits, embedding = whole.run(["logits", "embedding"], {"waveform": waveforms})
        reference = engine.score(waveforms)
        np.testing.assert_allclose(logits, reference.logits, atol=2e-4 * max(1, np.abs(reference.logits).max()))
        largest = max(1, np.abs(reference.embeddings).max())
        np.testing.assert_allclose(embedding, reference.embeddings, atol=2e-3 * largest)


@pytest.mark.parametrize(("name", "attention", "placement"), NETWORKS)
def test_network_scores_as_in_training(tmp_path, name, attention, placement):
    check_network(tmp_path, name, attention, placement)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "attention", "placement"), MORE_NETWORKS)
def test_further_networks_score_as_in_training(tmp_path, name, attention, placement):
    check_network(tmp_path, name, attention, placement)


def test_one_call_answers_alike_from_checkpoint_whole_model_and_network(run_folder, exported, tmp_path):
    paths = [run_folder, *write_onnx(exported, tmp_path / "m.onnx")]
    paths += [p for p in write_onnx(exported, tmp_path / "m.onnx", split=True) if "network" in p.name]
    models = [load(path) for path in paths]
    waveform = make_waveform(9000)
    answers = [model.predict(waveform, 8000) for model in models]
    for model, answer in zip(models[1:], answers[1:], strict=True):
        np.testing.assert_allclose(answer.probs, answers[0].probs, atol=1e-4)
        np.testing.assert_allclose(model.embed(waveform, 8000), models[0].embed(waveform, 8000), atol=1e-3)
        assert replace(model.info, checksum="") == replace(models[0].info, checksum="")
        first = [w.probs for w in models[0].predict_windows(waveform, 8000)]
        np.testing.assert_allclose([w.probs for w in model.predict_windows(waveform, 8000)], first, atol=1e-4)


def test_time_shifts_are_part_of_the_model(run_folder, tmp_path):
    from earmark.models.network import average_over_shifts
    from earmark.training.checkpoint import load_checkpoint

    folder = write_model(tmp_path / "run", n_shifts=3)
    paths = write_onnx(build_graphs(load_networks(folder)), tmp_path / "whole.onnx")
    waveform = make_waveform(2500)
    waveform[600:] = 0  # what matters lies at the edge of the window
    windows = torch.from_numpy(cut_windows(log_mel_image(waveform, SLANEY), WINDOW_FRAMES))[:, None].float().div(255)
    with torch.inference_mode():
        logits = average_over_shifts(load_checkpoint(folder)[0], windows, 3).mean(dim=0)
    expected = logits.softmax(dim=0).numpy()
    answers = [load(path).predict(waveform, 8000).probs for path in (folder, *paths)]
    for probs in answers:
        np.testing.assert_allclose(probs, expected, atol=2e-4)
    assert np.abs(load(run_folder).predict(waveform, 8000).probs - expected).max() > 1e-3
    assert load(folder).info.architecture == "baseline_cnn (mean over 3 time shifts)"


def test_calibration_is_inside(exported):
    info = replace(exported.info, calibration=Calibration(0.01, (0.5, -0.5, 0.0)))
    session = session_of(replace(exported, info=info).whole())
    probs, logits = session.run(["probabilities", "logits"], {"waveform": make_waveform(3000)[None]})
    np.testing.assert_allclose(probs, info.probabilities(logits), atol=1e-5)
    assert np.abs(probs - exported.info.probabilities(logits)).max() > 0.01


def test_level_is_given(onnx_file):
    session = onnxruntime.InferenceSession(onnx_file)
    waveforms = np.stack([np.zeros(4000), np.full(4000, 0.1)]).astype(np.float32)
    np.testing.assert_allclose(session.run(["level_dbfs"], {"waveform": waveforms})[0], [-200, -20], atol=1e-3)


def test_metadata_says_what_a_caller_needs(onnx_file):
    metadata = onnxruntime.InferenceSession(onnx_file).get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == list(CLASS_NAMES)
    assert (metadata["sample_rate"], metadata["opset"], metadata["max_seconds"]) == ("8000", "18", "120")
    assert len(json.loads(metadata["earmark"])["checksum"]) == 64


def test_file_has_standard_operators_and_nothing_of_the_machine(onnx_file):
    model = onnx.load(onnx_file)
    assert {imported.domain for imported in model.opset_import} == {""}
    assert {node.domain for node in model.graph.node} == {""}
    assert b"site-packages" not in onnx_file.read_bytes()


def test_longer_than_stated_is_refused(onnx_file):
    with pytest.raises(DeployError, match="121 s are more than 120 s at a time; use predict_windows"):
        load(onnx_file).predict(np.zeros(8000 * 121, np.float32), 8000)


def test_longer_file_is_refused_before_it_is_decoded(onnx_file, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "long.wav", np.zeros(8000 * 121), 8000)
    monkeypatch.setattr("earmark.deploy.waveform.load_audio", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DeployError, match=r"long\.wav: 121 s are more than 120 s at a time; use predict_windows"):
        load(onnx_file).predict(tmp_path / "long.wav")


def test_half_precision_halves_the_file_and_keeps_the_answer(exported):
    half = Exported(exported.info, "float16", halve_weights(exported.network))
    sizes = [len(checked(e.network_alone())) for e in (exported, half)]
    assert sizes[1] < 0.51 * sizes[0]
    waveform = {"waveform": make_waveform(3000)[None]}
    probs = [session_of(e.whole()).run(["probabilities"], waveform)[0] for e in (exported, half)]
    np.testing.assert_allclose(probs[1], probs[0], atol=1e-3)


def test_int8_quarters_the_file_and_stays_near(exported):
    images = np.stack([log_mel_image(make_waveform(2500, seed), SLANEY)[:, :40] for seed in range(8)])
    quantized = Exported(exported.info, "int8", quantize_network(exported.network, images))
    sizes = [len(checked(e.network_alone())) for e in (exported, quantized)]
    assert sizes[1] < 0.3 * sizes[0]
    waveform = {"waveform": make_waveform(3000)[None]}
    probs = [session_of(e.whole()).run(["probabilities"], waveform)[0] for e in (exported, quantized)]
    assert 0 < np.abs(probs[1] - probs[0]).max() < 0.05


def test_front_end_alone_is_no_model(exported, tmp_path):
    front_end, _ = write_onnx(exported, tmp_path / "m.onnx", split=True)
    with pytest.raises(DeployError, match="front end alone"):
        load(front_end)


def test_int8_without_clips_is_refused(exported):
    loaded = LoadedModel(SplitNetwork(create_model("baseline_cnn", 3, 32)), exported.info)
    with pytest.raises(DeployError, match="needs training clips"):
        build_graphs(loaded, "int8")


def changed(onnx_file, path, **metadata):
    """The file with other metadata; None removes an entry."""
    model = onnx.load(onnx_file)
    for entry in list(model.metadata_props):
        if entry.key in metadata:
            model.metadata_props.remove(entry)
    for key, value in metadata.items():
        if value is not None:
            onnx.helper.set_model_props(model, {e.key: e.value for e in model.metadata_props} | {key: value})
    path.write_bytes(model.SerializeToString())
    return path


def described(onnx_file, **changes):
    """Its description with changes."""
    (text,) = [e.value for e in onnx.load(onnx_file).metadata_props if e.key == "earmark"]
    return json.dumps(json.loads(text) | changes)


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({"kind": None}, "kind = ''"),
        ({"kind": "network"}, "cannot be computed"),
        ({"max_seconds": None}, "max_seconds = ''"),
        ({"max_seconds": "nan"}, "max_seconds = 'nan'"),
        ({"max_seconds": "-5"}, "max_seconds = '-5'"),
        ({"class_names": ["a"]}, r"logits of shape \(1, 3\), not \(1, 1\)"),
        ({"class_names": []}, "class_names has 0 names"),
        ({"class_names": ["a"] * 3}, "class_names has 3 names, 1 of them"),
        ({"window_frames": 0}, "window_frames = 0"),
        ({"window_frames": 10**15}, "window_frames = 1000000000000000"),
        ({"calibration": {"temperature": 0, "bias": []}}, "calibration.temperature = 0"),
        ({"calibration": {"temperature": 1, "bias": [0.0]}}, "calibration.bias has 1 values"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(onnx_file, tmp_path, metadata, problem):
    if not {"kind", "max_seconds"} & metadata.keys():
        metadata = {"earmark": described(onnx_file, **metadata)}
    path = changed(onnx_file, tmp_path / "bad.onnx", **metadata)
    with pytest.raises(DeployError, match=problem):
        load(path).predict(make_waveform(3000), 8000)


def test_logits_that_are_not_finite_are_no_answer(onnx_file, tmp_path):
    model = onnx.load(onnx_file)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > 4000 and tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.raw_data = np.full(len(tensor.raw_data) // 4, np.nan, np.float32).tobytes()
    (tmp_path / "nan.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(DeployError, match="NaN or infinite; its weights are damaged"):
        load(tmp_path / "nan.onnx").predict(make_waveform(3000), 8000)


def test_unknown_score_of_a_reference_without_length_is_that_of_python(exported):
    vectors = np.random.default_rng(0).normal(size=(1, 3, 320)).astype(np.float16)
    vectors[0, 1] = 0
    references = References(vectors, np.ones((1, 3), np.float32))
    waveform = make_waveform(2400)[None]
    session = session_of(replace(exported, references=references).whole())
    embedding, unknown = session.run(["embedding", "unknown"], {"waveform": waveform})
    np.testing.assert_allclose(unknown, unknown_scores(embedding, references), atol=1e-5)


def test_unknown_score_of_nearly_equal_embeddings_is_that_of_python(exported):
    waveform = make_waveform(2400)[None]
    embedding = session_of(exported.whole()).run(["embedding"], {"waveform": waveform})[0].astype(float)
    near = embedding * (1 + 0.002 * np.random.default_rng(0).normal(size=(3, embedding.shape[1])))
    vectors = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float16)[None]
    references = References(vectors, np.full((1, 3), 1e-3, np.float32))
    session = session_of(replace(exported, references=references).whole())
    embedding, unknown = session.run(["embedding", "unknown"], {"waveform": waveform})
    assert unknown[0] < 0.01
    np.testing.assert_allclose(unknown, unknown_scores(embedding, references), rtol=1e-5)
