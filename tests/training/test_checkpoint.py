"""Checkpoints: a round trip, old formats, unfinished runs, and files that are refused."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from earmark.config.sections import FrontEndConfig, ModelConfig
from earmark.config.training import TrainConfig
from earmark.models.create import create_model
from earmark.training.checkpoint import (
    CheckpointMetadata,
    create_from_metadata,
    load_checkpoint,
    publish_checkpoint,
    read_weights,
    restore,
    write_checkpoint,
)
from earmark.training.checkpoint_files import CheckpointError, checkpoint_of
from earmark.training.loop import create_optimizer

METADATA = CheckpointMetadata(
    model=ModelConfig(attention="se"),
    class_names=("<b>", "dog, wet"),
    n_mels=32,
    window_frames=40,
    front_end=FrontEndConfig(sample_rate=16000, n_mels=32),
    run_id="0123456789",
    epoch=3,
    history=({"epoch": 1, "valid_uar": None},),
)


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return create_from_metadata(METADATA).to(memory_format=torch.channels_last)


def a_step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model.train()
    torch.manual_seed(1)
    model(torch.rand(4, 1, 32, 40)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_a_loaded_model_equals_the_saved_one(tmp_path, model):
    write_checkpoint(tmp_path / "best.safetensors", model, METADATA)
    loaded, metadata = load_checkpoint(tmp_path / "best.safetensors")
    assert metadata == METADATA
    images = torch.rand(3, 1, 32, 40)
    assert not loaded.training
    torch.testing.assert_close(loaded(images), model.eval()(images), atol=1e-6, rtol=0)


def test_a_published_checkpoint_has_no_path_of_this_machine_and_no_optimizer(tmp_path, model):
    optimizer = torch.optim.AdamW(model.parameters())
    a_step(model, optimizer)
    private = dataclasses.replace(METADATA.model, weights=str(tmp_path / "private" / "start.pt"))
    write_checkpoint(tmp_path / "best.safetensors", model, dataclasses.replace(METADATA, model=private), optimizer)
    publish_checkpoint(tmp_path / "best.safetensors", tmp_path / "published.safetensors")
    content = (tmp_path / "published.safetensors").read_bytes()
    assert b"private" not in content and b"optimizer." not in content
    loaded, metadata = load_checkpoint(tmp_path / "published.safetensors", allow_unfinished=True)
    assert metadata.model.weights == "start.pt"
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_layers_that_share_a_tensor_are_saved_and_still_share_it(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU(), torch.nn.Linear(3, 3))
    model[2].weight = model[0].weight
    write_checkpoint(tmp_path / "last.safetensors", model, METADATA)
    weights = read_weights(tmp_path / "last.safetensors")
    assert torch.equal(weights["0.weight"], model[0].weight) and torch.equal(weights["2.weight"], model[0].weight)


@pytest.mark.parametrize(
    ("name", "value"), [("n_mels", 0), ("window_frames", 0), ("n_shifts", 0), ("n_shifts", 65), ("epoch", -1)]
)
def test_metadata_out_of_range_are_refused(tmp_path, model, name, value):
    write_checkpoint(tmp_path / "a.safetensors", model, dataclasses.replace(METADATA, **{name: value}))
    with pytest.raises(CheckpointError, match=f"metadata: {name} = {value} is out of range"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_a_number_of_mel_bins_that_contradicts_the_front_end_is_refused(tmp_path, model):
    front_end = dataclasses.replace(METADATA.front_end, n_mels=METADATA.n_mels + 1)
    write_checkpoint(tmp_path / "a.safetensors", model, dataclasses.replace(METADATA, front_end=front_end))
    with pytest.raises(CheckpointError, match=f"n_mels = {METADATA.n_mels}, but front_end.n_mels"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_a_front_end_without_a_rate_is_refused(tmp_path, model):
    front_end = dataclasses.replace(METADATA.front_end, sample_rate=0)
    write_checkpoint(tmp_path / "a.safetensors", model, dataclasses.replace(METADATA, front_end=front_end))
    with pytest.raises(CheckpointError, match=r"front_end\.sample_rate = 0, the rate of the recordings is missing"):
        load_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_that_another_program_has_rounded_are_refused(tmp_path, model, dtype):
    write_checkpoint(tmp_path / "a.safetensors", model.to(dtype), METADATA)
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(CheckpointError, match=f"weight is {name}, not float32; give the checkpoint that was trained"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_another_default_type_of_pytorch_is_named(tmp_path, model):
    write_checkpoint(tmp_path / "a.safetensors", model, METADATA)
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(CheckpointError, match=r"float32, not float64; call torch\.set_default_dtype"):
            load_checkpoint(tmp_path / "a.safetensors")
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_checkpoint_that_does_not_say_the_version_of_its_front_end_has_the_first(tmp_path, model):
    write_checkpoint(tmp_path / "a.safetensors", model, METADATA)
    tensors = load_file(tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        content = json.loads(file.metadata()["earmark"])
    del content["front_end_version"]
    save_file(tensors, tmp_path / "a.safetensors", metadata={"earmark": json.dumps(content)})
    assert load_checkpoint(tmp_path / "a.safetensors")[1].front_end_version == 4


def test_an_unknown_front_end_stays_unknown(tmp_path, model):
    metadata = dataclasses.replace(METADATA, front_end=None)
    write_checkpoint(tmp_path / "last.safetensors", model, metadata)
    assert load_checkpoint(tmp_path)[1].front_end is None


def test_resumed_training_equals_uninterrupted_training(tmp_path, model):
    config = TrainConfig()
    optimizer = create_optimizer(model, config)
    a_step(model, optimizer)
    write_checkpoint(tmp_path / "last.safetensors", model, METADATA, optimizer)
    other = create_from_metadata(METADATA).to(memory_format=torch.channels_last)
    other_optimizer = create_optimizer(other, config)
    assert restore(tmp_path / "last.safetensors", other, other_optimizer) == METADATA
    a_step(model, optimizer)
    a_step(other, other_optimizer)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_a_run_folder_means_its_selected_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"neither best\.safetensors nor last\.safetensors"):
        checkpoint_of(tmp_path)
    (tmp_path / "a-1").mkdir()
    (tmp_path / "a-1" / "last.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"give a run in it, such as .*a-1"):
        checkpoint_of(tmp_path)
    (tmp_path / "last.safetensors").touch()
    assert checkpoint_of(tmp_path).name == "last.safetensors"
    (tmp_path / "best.safetensors").touch()
    assert checkpoint_of(tmp_path).name == "best.safetensors"
    with pytest.raises(CheckpointError, match=r"not found; give a run folder, a model folder"):
        checkpoint_of(tmp_path / "nothing")


def test_the_id_of_a_run_folder_can_be_omitted(tmp_path):
    runs = [tmp_path / f"se-fold1-seed{name}" for name in ("42-aaaaaaaaaa", "421-bbbbbbbbbb")]
    for run in runs:
        run.mkdir()
        (run / "last.safetensors").touch()
    assert checkpoint_of(tmp_path / "se-fold1-seed42") == runs[0] / "last.safetensors"
    with pytest.raises(CheckpointError, match=r"se-fold1: 2 runs match, such as .*seed42-a.*; give one"):
        checkpoint_of(tmp_path / "se-fold1")


def test_only_run_folders_are_found_without_their_id(tmp_path):
    for name in ("model-se", "base-se-fold1-seed42-aaaaaaaaaa", "base-seminar"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "last.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"model: not found; did you mean 'model-se'\?"):
        checkpoint_of(tmp_path / "model")
    with pytest.raises(CheckpointError, match="base: not found"):
        checkpoint_of(tmp_path / "base")
    assert checkpoint_of(tmp_path / "base-se").parent.name == "base-se-fold1-seed42-aaaaaaaaaa"


def test_a_run_without_a_network_says_so(tmp_path):
    """Probes of vectors and imported predictions were said to hold no file, without a word of why."""
    (tmp_path / "svm-fold1" / "x").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"holds neither best\.safetensors nor last\.safetensors$"):
        checkpoint_of(tmp_path / "svm-fold1")
    (tmp_path / "svm-fold1" / "result.json").touch()
    for path in (tmp_path, tmp_path / "svm-fold1"):
        with pytest.raises(CheckpointError, match="probes and imported predictions have no network, give a run that"):
            checkpoint_of(path)


def test_files_of_other_programs_are_refused(tmp_path, model):
    torch.save(model.state_dict(), tmp_path / "pickled.pt")
    with pytest.raises(CheckpointError, match=r"pickled\.pt: cannot be read as safetensors"):
        load_checkpoint(tmp_path / "pickled.pt")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="was not written by earmark"):
        load_checkpoint(tmp_path / "other.safetensors")


def test_weights_that_do_not_fit_are_refused(tmp_path, model):
    write_checkpoint(tmp_path / "a.safetensors", model, dataclasses.replace(METADATA, class_names=("a", "b", "c")))
    with pytest.raises(CheckpointError, match="weights do not fit baseline_cnn") as caught:
        load_checkpoint(tmp_path / "a.safetensors")
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, model, monkeypatch):
    path = tmp_path / "last.safetensors"
    write_checkpoint(path, model, METADATA)
    before = path.read_bytes()

    def torn(target, content):
        with target.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.write_bytes", torn)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(path, model, METADATA)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_metadata_are_plain_json(tmp_path, model):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, model, METADATA)
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + size])  # of safetensors
    assert json.loads(header["__metadata__"]["earmark"])["class_names"] == ["<b>", "dog, wet"]


V1 = json.loads((Path(__file__).parent / "checkpoint_v1.json").read_text(encoding="utf-8"))
"""Metadata and names of tensors of a checkpoint that version 1 wrote: mn01 with SE after each stage."""


def write_v1(path: Path) -> torch.nn.Module:
    """Write a file of version 1; returns the network with its weights."""
    network = create_model("mn01", 2, 32, attention="se", placement="stage")
    state = network.state_dict()
    tensors = {
        name: state[name.removeprefix("model.").replace("behind.", "attention_after.")] for name in V1["tensors"]
    }
    assert len(tensors) == len(state) and any("behind" in name for name in tensors)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        path,
        metadata={"earmark": json.dumps(V1["metadata"])},
    )
    return network.eval()


def test_a_checkpoint_of_version_1_is_loaded(tmp_path):
    network = write_v1(tmp_path / "last.safetensors")
    model, metadata = load_checkpoint(tmp_path / "last.safetensors")
    image = torch.rand(2, 1, 32, 40)
    assert torch.equal(model(image), network(image))
    assert metadata.run_id == "0123456789" and metadata.class_names == ("a", "b")
    other = create_from_metadata(metadata)
    assert restore(tmp_path / "last.safetensors", other, create_optimizer(other, TrainConfig())).epoch == 3
    assert torch.equal(other.eval()(image), network(image))


def test_a_checkpoint_of_version_1_can_be_pretrained_weights(tmp_path):
    network = write_v1(tmp_path / "last.safetensors")
    weights = str(tmp_path / "last.safetensors")
    model = create_model("mn01", 5, 32, attention="se", placement="stage", weights=weights, db_range=(-50.0, 40.0))
    for name in model.attention_names():
        assert torch.equal(model.state_dict()[name], network.state_dict()[name])
    assert model.attention_names() & model.pretrained


def test_a_newer_format_is_refused(tmp_path, model):
    content = json.dumps({"format_version": 3})
    save_file({"a": torch.zeros(1)}, tmp_path / "new.safetensors", metadata={"earmark": content})
    with pytest.raises(CheckpointError, match=r"format version 3 is newer than this earmark; update earmark"):
        load_checkpoint(tmp_path / "new.safetensors")


def test_the_checkpoint_of_an_unfinished_run_warns(tmp_path, model):
    write_checkpoint(tmp_path / "best.safetensors", model, METADATA)
    (tmp_path / "config.json").touch()
    with pytest.warns(UserWarning, match=r"best\.safetensors: its run is not finished, so these weights are not final"):
        load_checkpoint(tmp_path)
    load_checkpoint(tmp_path, allow_unfinished=True)
    (tmp_path / "result.json").touch()
    load_checkpoint(tmp_path)


def test_a_checkpoint_to_resume_from_warns_without_its_run_folder(tmp_path, model):
    optimizer = create_optimizer(model, TrainConfig())
    a_step(model, optimizer)
    write_checkpoint(tmp_path / "copy.safetensors", model, METADATA, optimizer)
    with pytest.warns(UserWarning, match="not finished"):
        load_checkpoint(tmp_path / "copy.safetensors")
