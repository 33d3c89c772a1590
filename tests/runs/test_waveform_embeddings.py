"""Backbones that take a waveform: windows, rates, the suite with its cache, and refusals before any work."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from backbones import bands, write_hf, write_onnx
from deploy_audio import make_waveform, write_model
from earmark.analysis.aggregate import aggregate
from earmark.analysis.records import read_runs
from earmark.config.sections import Options
from earmark.models.backbone import backbone_digest, load_backbone
from earmark.runs import waveform_embeddings
from earmark.runs.plan import plan_suite
from earmark.runs.suite import run_suite
from earmark.runs.waveform_embeddings import embed_file
from earmark.runtime.errors import EarmarkError

pytest.importorskip("onnxruntime", reason="needs the extra onnx")


@pytest.fixture
def options(tmp_path) -> Options:
    return Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1)


def probes(suite, name, **probe):
    """A suite of one probe on a backbone."""
    variants = {"probe": {"probe": {"kind": "logistic", **probe}, "model": {"name": str(name)}}}
    return replace(suite, variants=variants)


def write_wav(path, waveform, rate=8000):
    soundfile.write(path, waveform, rate, subtype="FLOAT")
    return path


def test_an_export_of_earmark_gives_its_own_embedding(tmp_path):
    from earmark.deploy.export import build_graphs, write_onnx
    from earmark.deploy.model import load
    from earmark.deploy.torch_engine import load_networks

    exported = write_onnx(build_graphs(load_networks(write_model(tmp_path / "run"))), tmp_path / "model.onnx")[0]
    backbone = load_backbone(f"onnx:{exported}")
    assert (backbone.sample_rate, backbone.fixed_samples) == (8000, 0), "the rate of its metadata; any length"
    clip = write_wav(tmp_path / "clip.wav", make_waveform(17000))
    np.testing.assert_allclose(embed_file(backbone, clip), load(exported).embed(clip), atol=1e-6)


@pytest.mark.parametrize("location", ["bands.onnx.data", "bands.onnx_data", "weights.bin"])
def test_the_digest_of_an_onnx_file_stands_for_its_external_data(tmp_path, location):
    import onnx

    path = write_onnx(tmp_path / "bands.onnx")
    onnx.save_model(onnx.load(path), path, save_as_external_data=True, location=location, size_threshold=1024)
    load_backbone(f"onnx:{path}")
    before = backbone_digest(f"onnx:{path}")
    (tmp_path / location).write_bytes((tmp_path / location).read_bytes()[::-1])
    assert backbone_digest(f"onnx:{path}") != before


@pytest.mark.parametrize("shape", [("batch", 1600), (1, 1600), (1600,)])
def test_windows_of_a_fixed_length_cover_the_clip(tmp_path, shape):
    backbone = load_backbone(f"onnx:{write_onnx(tmp_path / 'bands.onnx', shape)}")
    waveform = make_waveform(3600)
    windows = np.stack([waveform[start : start + 1600] for start in (0, 667, 1333, 2000)])
    found = embed_file(backbone, write_wav(tmp_path / "long.wav", waveform))
    np.testing.assert_allclose(found, bands(windows).mean(axis=0), rtol=1e-4)
    short = np.pad(waveform[:1000], (0, 600))[None]
    found = embed_file(backbone, write_wav(tmp_path / "short.wav", waveform[:1000]))
    np.testing.assert_allclose(found, bands(short)[0], rtol=1e-4)


def test_recordings_are_brought_to_the_rate_of_the_backbone(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(32000) / 16000)
    backbone = load_backbone(f"onnx:{write_onnx(tmp_path / 'bands.onnx', rate=None)}", sample_rate=8000)
    found = embed_file(backbone, write_wav(tmp_path / "tone.wav", tone, rate=16000))
    loudest = found.argmax()
    assert abs((loudest + 1) * 125 - 1000) <= 125


def test_probes_on_a_backbone_are_cached_by_its_content(small_suite, options, tmp_path, monkeypatch):
    loads = []
    real = waveform_embeddings.load_backbone
    monkeypatch.setattr(waveform_embeddings, "load_backbone", lambda *args: loads.append(1) or real(*args))
    file = write_onnx(tmp_path / "bands.onnx")
    plan = plan_suite(probes(small_suite, f"onnx:{file}"), options)
    assert run_suite(plan, options) == {}
    (variant,) = aggregate(read_runs(options.runs)).variants
    assert variant.metrics["accuracy"].pooled > 0.9 and variant.cost.macs is None
    assert len(loads) == 2, "the plan tries it, the first fold uses it, the second finds the vectors"
    moved = file.rename(tmp_path / "moved.onnx")
    again = replace(options, runs=tmp_path / "again")
    assert run_suite(plan_suite(probes(small_suite, f"onnx:{moved}"), again), again) == {}
    assert len(loads) == 2, "the same file elsewhere has the same vectors"
    write_onnx(moved, (1, 1600))
    other = plan_suite(probes(small_suite, f"onnx:{moved}"), again)
    assert not {run.id for run in plan.runs} & {run.id for run in other.runs}
    assert len(loads) == 3, "other content"


def text_file(path):
    path.write_text("no network", encoding="utf-8")
    return path


INT = 6  # onnx.TensorProto.INT32


@pytest.mark.parametrize(
    ("write", "settings", "message"),
    [
        (lambda path: path, {}, r"model\.name = 'onnx:.*b\.onnx': no such file; give onnx: and the path"),
        (text_file, {}, r"b\.onnx': cannot be read as ONNX \("),
        (lambda path: write_onnx(path, (1, 20, 80)), {}, r"takes waveform float \(1, 20, 80\); give a file"),
        (lambda path: write_onnx(path, (8, 1600)), {}, r"takes waveform float \(8, 1600\); .* of a batch of 1 or any"),
        (lambda path: write_onnx(path, rate=None), {}, r"sample_rate = 0: the metadata of .* do not say it; give"),
        (write_onnx, {"sample_rate": 16000}, r"sample_rate = 16000: the metadata of .* say 8000 Hz; leave it out"),
        (write_onnx, {"model_output": "band"}, r"model_output = 'band': .* no such output; did you mean 'bands'"),
        (
            lambda path: write_onnx(path, names=("a", "b")),
            {},
            r"gives a float \(batch, 20\), b float .*; give the name",
        ),
        (write_onnx, {"kind": "none"}, r"probe\.kind = 'none': .*: this backbone cannot be trained"),
    ],
)
def test_a_backbone_that_cannot_be_used_is_refused_by_the_plan(
    small_suite, options, tmp_path, write, settings, message
):
    file = tmp_path / "b.onnx"
    write(file)
    with pytest.raises(EarmarkError, match=message) as caught:
        plan_suite(probes(small_suite, f"onnx:{file}", **settings), options)
    assert "\n" not in str(caught.value)
    assert not options.work.exists() and not options.runs.exists()


def test_one_of_several_outputs_is_taken_by_name(tmp_path):
    file = write_onnx(tmp_path / "b.onnx", names=("scores", "embedding", "other"))
    assert load_backbone(f"onnx:{file}").embed(np.ones((2, 1600))).shape == (2, 20)
    assert load_backbone(f"onnx:{file}", model_output="other").embed(np.ones((2, 1600))).shape == (2, 20)


@pytest.mark.parametrize(("prefix", "module"), [("onnx", "onnxruntime"), ("transformers", "transformers")])
def test_a_missing_extra_is_one_line(tmp_path, monkeypatch, prefix, module):
    monkeypatch.setitem(sys.modules, module, None)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(
        EarmarkError, match=rf'{module} is not .*; install it with `pip install "earmark\[(onnx|hf)\]"`'
    ):
        load_backbone(f"{prefix}:{tmp_path}")


def test_settings_of_onnx_files_are_refused_for_other_networks(small_suite, options):
    with pytest.raises(EarmarkError, match=r"probe\.sample_rate = 8000: leave it out: mn04 is not an onnx: file"):
        plan_suite(probes(small_suite, "mn04", sample_rate=8000), options)


def test_a_folder_without_safetensors_is_never_unpickled(tmp_path):
    with pytest.raises(EarmarkError, match="no such folder; fetch one with `hf download"):
        load_backbone(f"transformers:{tmp_path / 'nowhere'}")
    with pytest.raises(EarmarkError, match=r"has no config\.json"):
        load_backbone(f"transformers:{tmp_path}")
    (tmp_path / "model.json").touch()
    with pytest.raises(EarmarkError, match="is a model of earmark, not a network of transformers"):
        load_backbone(f"transformers:{tmp_path}")
    (tmp_path / "model.json").unlink()
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(EarmarkError, match=r"has no \.safetensors, and other files are never unpickled"):
        load_backbone(f"transformers:{tmp_path}")


@pytest.fixture(scope="module")
def hf(tmp_path_factory):
    """Writes a random network of a kind; needs transformers, whose import takes seconds."""
    pytest.importorskip("transformers", reason="needs the extra hf")
    return lambda kind: write_hf(tmp_path_factory.mktemp(kind), kind)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "size"),
    [("ast", 16), ("wav2vec2", 16), ("hubert", 16), ("wavlm", 16), ("whisper", 16), ("clap", 24), ("clap-fused", 24)],
)
def test_a_hugging_face_folder_embeds_as_transformers_does(hf, tmp_path, kind, size):
    import torch
    import transformers

    folder = hf(kind)
    backbone = load_backbone(f"transformers:{folder}")
    waveform = make_waveform(8000, rate=16000)
    found = backbone.embed(np.stack([waveform, 0.5 * waveform, waveform]))
    assert found.shape == (3, size) and backbone.sample_rate == 16000 and backbone.n_parameters > 1000
    np.testing.assert_allclose(found[0], found[2], atol=1e-5)
    model = transformers.AutoModel.from_pretrained(folder)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(waveform, sampling_rate=16000, return_tensors="pt")
    with torch.inference_mode():
        if kind == "whisper":  # half of its second is padding
            expected = model.encoder(inputs.input_features).last_hidden_state[:, :25].mean(dim=1)
        elif kind == "ast":
            expected = model(**inputs).pooler_output
        elif kind.startswith("clap"):
            hidden = model.audio_model(inputs.input_features, is_longer=torch.zeros(1, 1, dtype=torch.bool))
            expected = torch.nn.functional.normalize(model.audio_projection(hidden.pooler_output), dim=-1)
        else:
            expected = model(inputs.input_values).last_hidden_state.mean(dim=1)
    np.testing.assert_allclose(found[:1], expected.numpy(), atol=1e-5)


@pytest.mark.slow
def test_a_folder_that_lacks_weights_is_refused(hf):
    from safetensors.torch import load_file, save_file

    folder = hf("ast")
    weights = load_file(folder / "model.safetensors")
    del weights["layernorm.bias"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(EarmarkError, match=r"has no weights for layernorm\.bias"):
        load_backbone(f"transformers:{folder}")


@pytest.mark.slow
def test_a_network_larger_than_its_weights_is_refused_before_it_takes_memory(hf):
    folder = hf("wav2vec2")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"hidden_size": 2_000_000, "num_attention_heads": 1}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(EarmarkError, match=r"config.json asks for \d+ parameters, but the weights have \d+ bytes"):
        load_backbone(f"transformers:{folder}")


@pytest.mark.slow
def test_code_of_a_folder_is_never_run(hf):
    folder = hf("wav2vec2")
    text = (folder / "config.json").read_text(encoding="utf-8")
    own = '"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}'
    text = text.replace('"model_type": "wav2vec2"', own)
    (folder / "config.json").write_text(text, encoding="utf-8")
    (folder / "own.py").write_text("raise SystemExit('ran')", encoding="utf-8")
    with pytest.raises(EarmarkError, match="cannot be loaded by transformers"):
        load_backbone(f"transformers:{folder}")


@pytest.mark.slow
def test_probes_on_a_hugging_face_folder(hf, small_suite, options):
    suite = probes(small_suite, f"transformers:{hf('wav2vec2')}")
    assert run_suite(plan_suite(suite, options), options) == {}
    (variant,) = aggregate(read_runs(options.runs)).variants
    assert variant.metrics["accuracy"].pooled > 1 / 3 and variant.cost.n_parameters > 1000
