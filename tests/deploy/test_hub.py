"""The model card and the hub: what a run says of itself, and the way to a hub and back without a pickle."""

import json
import shutil

import numpy as np
import pytest
import yaml

from deploy_audio import SLANEY, WINDOW_FRAMES, make_waveform
from earmark.analysis.classes import score_as_it_is
from earmark.analysis.records import read_runs
from earmark.cli.main import main
from earmark.config.sections import ModelConfig
from earmark.config.suite import RunConfig, merge
from earmark.deploy import remote
from earmark.deploy.hub import model_card, push
from earmark.deploy.info import DeployError
from earmark.deploy.model import load
from hub_server import serve_hub
from run_folders import NAMES, make_clips, make_probs, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with the weights of a small network, and the state of an optimizer."""
    import torch

    from earmark.models.create import create_model
    from earmark.training.checkpoint import CheckpointMetadata, write_checkpoint

    clips = make_clips(n_folds=3, groups_per_fold=12)
    test = [clip for clip in clips if clip.fold == 1]
    config = merge(RunConfig(name="s", variant="base", fold=1, seed=7), {"data": {"dataset": "esc10"}})
    folder = write_run(tmp_path_factory.mktemp("runs"), config, clips, make_probs(test, seed=3))
    torch.manual_seed(0)
    model = create_model("baseline_cnn", len(NAMES), 32)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.rand(2, 1, 32, 40)).sum().backward()
    optimizer.step()
    metadata = CheckpointMetadata(ModelConfig(), NAMES, 32, WINDOW_FRAMES, SLANEY, "run1", 1)
    write_checkpoint(folder / "last.safetensors", model, metadata, optimizer)
    return folder


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An empty hub, which the client takes for the official one."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    with serve_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


def block_of(card: str) -> dict:
    """The metadata block."""
    return yaml.safe_load(card.split("---\n")[1])


def test_the_card_of_a_run_says_where_it_comes_from(run):
    card = model_card(run)
    block = block_of(card)
    assert (block["library_name"], block["pipeline_tag"]) == ("earmark", "audio-classification")
    ((result,),) = [entry["results"] for entry in block["model-index"]]
    (metric,) = result["metrics"]
    assert metric["name"] == f"accuracy of {load(run).info.expected_score.n_clips} clips"
    scored = json.loads((run / "result.json").read_text(encoding="utf-8"))["metrics"]
    assert result["dataset"]["type"] == "esc10" and metric["type"] == "accuracy"
    assert metric["value"] == pytest.approx(scored["accuracy"], abs=1e-6)
    now = score_as_it_is(read_runs(run)[0], "accuracy")
    assert (metric["args"]["low"], metric["args"]["high"]) == pytest.approx((now.low, now.high), abs=1e-6), "one method"
    assert now.low < metric["value"] < now.high
    for text in ("seeds 7", "CC BY 3.0", "from scratch", "## Intended use", "## Limits", "32 bins", "temperature"):
        assert text in card


def test_the_card_says_which_subset_selected_the_epoch_of_a_split_from_files(run, tmp_path):
    assert "; last epoch" in model_card(run)
    files = shutil.copytree(run, tmp_path / "files")
    result = (files / "result.json").read_text(encoding="utf-8")
    text = result.replace('"selected_on": "none"', '"selected_on": "valid"')
    (files / "result.json").write_text(text, encoding="utf-8")
    assert "; the epoch was selected on valid" in model_card(files)


def test_a_card_does_not_publish_the_name_of_a_folder(run, tmp_path):
    own = shutil.copytree(run, tmp_path / "own")
    config = json.loads((own / "config.json").read_text(encoding="utf-8"))
    config["run"]["data"] |= {"dataset": "folder", "root": "/home/me/client-x"}
    (own / "config.json").write_text(json.dumps(config), encoding="utf-8")
    card = model_card(own)
    (result,) = block_of(card)["model-index"][0]["results"]
    assert result["dataset"] == {"type": "own-recordings", "name": "own recordings"}
    assert "| data | own recordings |" in card and "client-x" not in card


def test_the_hub_reads_the_block(run):
    cards = pytest.importorskip("huggingface_hub.repocard_data")
    name, (result,) = cards.model_index_to_eval_results(block_of(model_card(run))["model-index"])
    assert (result.task_type, result.dataset_type, result.metric_type) == ("audio-classification", "esc10", "accuracy")
    assert name == run.name


def test_a_card_is_written_beside_the_model(run, tmp_path, capsys):
    main(["card", str(run), "-o", str(tmp_path / "CARD.md")])
    assert (tmp_path / "CARD.md").read_text(encoding="utf-8") == model_card(run)
    assert capsys.readouterr().out.strip() == str(tmp_path / "CARD.md")


def test_there_and_back(run, hub):
    (run / "private.csv").write_text("names", encoding="utf-8")
    assert push(run, "me/sounds") == f"{hub.address}/me/sounds"
    assert hub.created.get("visibility") == "private" or hub.created.get("private") is True
    assert set(hub.files) == {"README.md", "best.safetensors", "result.json"}
    assert b"optimizer." not in hub.files["best.safetensors"]
    hub.files["evil.pkl"] = hub.files["pytorch_model.bin"] = b"cos\nsystem\n(S'false'\ntR."

    waveform = make_waveform(5000)
    there = load("hf:me/sounds")
    np.testing.assert_array_equal(there.predict(waveform, 8000).probs, load(run).predict(waveform, 8000).probs)
    assert set(hub.downloaded) == {"best.safetensors", "result.json"}
    hub.downloaded.clear()
    load("hf:me/sounds@main")
    assert hub.downloaded == []


def test_a_backbone_and_a_model_on_the_hub_are_told_apart(hub, tmp_path, monkeypatch):
    hub.files |= {"config.json": b"{}", "model.safetensors": b""}
    with pytest.raises(
        DeployError, match=r"hf:me/sounds: holds no model of earmark .*'transformers:FOLDER' in a probe"
    ):
        load("hf:me/sounds")
    with pytest.raises(DeployError, match=r"transformers:me/sounds: is a frozen backbone, .* or hf:REPO"):
        load("transformers:me/sounds")
    (tmp_path / "models" / "ast").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeployError, match=r"hf:models/ast: .* models/ast is on this machine; leave hf: out"):
        load("hf:models/ast")


def test_what_cannot_be_done_is_one_line(run, hub, monkeypatch):
    with pytest.raises(DeployError, match=r"hf:you/nothing: .*; check the name, go online, or log in") as caught:
        load("hf:you/nothing")
    assert "\n" not in str(caught.value)
    with pytest.raises(DeployError, match="repository = 'sounds': give user/name"):
        push(run, "sounds")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DeployError, match=r"^hf:me/sounds: the hub cannot be reached, .* go online once, or copy"):
        load("hf:me/sounds")
    with pytest.raises(DeployError, match=r"push me/sounds: .*; log in with"):
        push(run, "me/sounds")
    monkeypatch.setattr(remote, "import_hub", lambda: (_ for _ in ()).throw(DeployError("not installed")))
    with pytest.raises(DeployError, match="not installed"):
        load("hf:me/sounds")
