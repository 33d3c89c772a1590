"""Checkpoints: what is written is what is loaded, nothing is unpickled, and a wrong file is named."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file

from earmark.config.sections import FrontEndConfig, ModelConfig, TrainConfig
from earmark.training.checkpoint import (
    CheckpointError,
    CheckpointMetadata,
    checkpoint_of,
    create_from_header,
    load_checkpoint,
    restore,
    write_checkpoint,
)
from earmark.training.loop import create_optimizer

HEADER = CheckpointMetadata(
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
    return create_from_header(HEADER).to(memory_format=torch.channels_last)


def a_step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model.train()
    torch.manual_seed(1)
    model(torch.rand(4, 1, 32, 40)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_a_model_comes_back_with_its_header(tmp_path, model):
    write_checkpoint(tmp_path / "best.safetensors", model, HEADER)
    loaded, header = load_checkpoint(tmp_path / "best.safetensors")
    assert header == HEADER
    images = torch.rand(3, 1, 32, 40)
    assert not loaded.training
    torch.testing.assert_close(loaded(images), model.eval()(images), atol=1e-6, rtol=0)


def test_images_of_unknown_front_end_stay_unknown(tmp_path, model):
    header = dataclasses.replace(HEADER, front_end=None)
    write_checkpoint(tmp_path / "last.safetensors", model, header)
    assert load_checkpoint(tmp_path)[1].front_end is None


def test_training_goes_on_as_if_it_had_not_stopped(tmp_path, model):
    config = TrainConfig()
    optimizer = create_optimizer(model, config)
    a_step(model, optimizer)
    write_checkpoint(tmp_path / "last.safetensors", model, HEADER, optimizer)
    other = create_from_header(HEADER).to(memory_format=torch.channels_last)
    other_optimizer = create_optimizer(other, config)
    assert restore(tmp_path / "last.safetensors", other, other_optimizer) == HEADER
    a_step(model, optimizer)
    a_step(other, other_optimizer)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_a_run_folder_gives_the_selected_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"neither best\.safetensors nor last\.safetensors"):
        checkpoint_of(tmp_path)
    (tmp_path / "last.safetensors").touch()
    assert checkpoint_of(tmp_path).name == "last.safetensors"
    (tmp_path / "best.safetensors").touch()
    assert checkpoint_of(tmp_path).name == "best.safetensors"
    with pytest.raises(CheckpointError, match=r"not found; give a \.safetensors file or a run folder"):
        checkpoint_of(tmp_path / "nothing")


def test_a_run_folder_may_be_named_without_its_id(tmp_path):
    runs = [tmp_path / f"se-fold1-seed{name}" for name in ("42-aaaaaaaaaa", "421-bbbbbbbbbb")]
    for run in runs:
        run.mkdir()
        (run / "last.safetensors").touch()
    assert checkpoint_of(tmp_path / "se-fold1-seed42") == runs[0] / "last.safetensors"
    with pytest.raises(CheckpointError, match=r"se-fold1: 2 runs begin so, .*seed42-a.* and .*seed421-b.*; give one"):
        checkpoint_of(tmp_path / "se-fold1")


def test_pickles_and_strangers_are_refused(tmp_path, model):
    torch.save(model.state_dict(), tmp_path / "pickled.pt")
    with pytest.raises(CheckpointError, match=r"pickled\.pt: cannot be read as safetensors"):
        load_checkpoint(tmp_path / "pickled.pt")
    save_file({"a": torch.zeros(1)}, tmp_path / "stranger.safetensors")
    with pytest.raises(CheckpointError, match="was not written by earmark"):
        load_checkpoint(tmp_path / "stranger.safetensors")


def test_weights_that_do_not_fit_are_refused(tmp_path, model):
    write_checkpoint(tmp_path / "a.safetensors", model, dataclasses.replace(HEADER, class_names=("a", "b", "c")))
    with pytest.raises(CheckpointError, match="weights do not fit baseline_cnn") as caught:
        load_checkpoint(tmp_path / "a.safetensors")
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, model, monkeypatch):
    path = tmp_path / "last.safetensors"
    write_checkpoint(path, model, HEADER)
    before = path.read_bytes()

    def torn(target, content):
        with target.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.write_bytes", torn)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(path, model, HEADER)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_header_is_plain_json(tmp_path, model):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, model, HEADER)
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + size])
    assert json.loads(header["__metadata__"]["earmark"])["class_names"] == ["<b>", "dog, wet"]
