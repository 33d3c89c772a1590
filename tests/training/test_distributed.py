"""Two processes train the same network as one with the same batch size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed, nn

from earmark.models.create import create_model
from earmark.training import distributed as training_distributed
from earmark.training.checkpoint import load_checkpoint
from earmark.training.distributed import (
    DistributedError,
    GlobalBatchNorm2d,
    distributed_session,
    replace_batch_norms,
    shard,
    wrap_distributed,
)

CONFIG = """
name = "tones"
seeds = [1]
data = {{ dataset = "folder", root = {root} }}
front_end = {{ n_fft = 256, hop_length = 64, n_mels = 32 }}
split = {{ kind = "group_kfold", n_folds = 2 }}
augment = {{ freq_mask_bins = 4 }}
model = {{ dropout = 0.0 }}
train = {{ epochs = 3, batch_size = 6, precision = "float32", lr = 1e-3, ema_decay = 0.8, sampler = "class_balanced" }}
"""


def train(config: Path, runs: Path, *launcher: str) -> subprocess.CompletedProcess:
    where = ["--runs", str(runs), "--work", str(config.parent / "work"), "--threads", "1", "--device", "cpu"]
    command = [sys.executable, "-m", *launcher, "earmark", "train", str(config), *where]
    for _ in range(2):
        result = subprocess.run(
            command,
            capture_output=True, text=True, timeout=300, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        if "terminate called without an active exception" not in result.stderr:
            break  # else PyTorch aborted a process that was ending (seen once, when busy); a second call resumes
    return result


@pytest.fixture
def config(tones, tmp_path) -> Path:
    path = tmp_path / "tones.toml"
    path.write_text(CONFIG.format(root=json.dumps(str(tones))), encoding="utf-8")
    return path


TORCHRUN = ("torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29617", "-m")


def test_two_processes_train_the_same_network_as_one(config, tmp_path):
    one = train(config, tmp_path / "one")
    assert one.returncode == 0, one.stderr
    two = train(config, tmp_path / "two", *TORCHRUN)
    assert two.returncode == 0, two.stderr
    assert "Warning" not in two.stderr
    (first,), (second,) = ([p.parent for p in (tmp_path / n).rglob("result.json")] for n in ("one", "two"))
    assert first.name == second.name
    model, _ = load_checkpoint(first)
    other, _ = load_checkpoint(second)
    for (name, expected), got in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        # Adam divides by the size of the gradient, which amplifies rounding: compare on the scale of the tensor
        scale = max(float(expected.abs().max()), 1e-3)
        np.testing.assert_allclose(got.numpy(), expected.numpy(), atol=0.02 * scale, rtol=0, err_msg=name)


def test_an_unsupported_batch_norm_is_refused():
    model = create_model("timm/test_efficientnet", 3, 64)
    with pytest.raises(DistributedError, match=r"BatchNormAct2d\(.*\), whose statistics would differ"):
        replace_batch_norms(model)
    for norm in (nn.BatchNorm1d(2, affine=False), nn.BatchNorm2d(2, affine=False), nn.BatchNorm2d(2, momentum=None)):
        with pytest.raises(DistributedError, match=r"this network has batch norms such as BatchNorm.d\(2, .*\), whose"):
            replace_batch_norms(nn.Sequential(norm))
    replace_batch_norms(create_model("baseline_cnn", 3, 64))


@pytest.fixture
def one_process(monkeypatch, tmp_path):
    """A session of torchrun with this process alone."""
    init = distributed.init_process_group
    monkeypatch.setenv("WORLD_SIZE", "2")  # below 2, no session is started
    monkeypatch.setattr(
        distributed,
        "init_process_group",
        lambda backend: init(backend, init_method=(tmp_path / "store").as_uri(), rank=0, world_size=1),
    )


def test_batch_norm_is_exact_where_the_mean_is_large(one_process):
    """The mean of squares minus the squared mean would be noise here, and negative for half of the channels."""
    torch.manual_seed(0)
    x = 300 + 0.01 * torch.randn(4, 32, 8, 8)
    ours, theirs = GlobalBatchNorm2d(32), nn.BatchNorm2d(32).double()
    a, b = x.clone().requires_grad_(), x.double().requires_grad_()
    weights = torch.randn(x.shape)
    with distributed_session("cpu"):
        got = ours(a)
        (got * weights).sum().backward()
    expected = theirs(b)
    (expected * weights).sum().backward()
    torch.testing.assert_close(got, expected.float(), atol=0.05, rtol=0)  # x itself is rounded to 3e-5
    torch.testing.assert_close(a.grad, b.grad.float(), atol=0.05 * float(b.grad.abs().max()), rtol=0)
    torch.testing.assert_close(ours.running_var, theirs.running_var.float(), atol=1e-5, rtol=0)
    assert (ours.running_var > 0).all()


def test_the_process_group_is_destroyed_on_failure(one_process):
    with pytest.raises(RuntimeError, match="diverged"), distributed_session("cpu") as device:
        assert device == "cpu" and distributed.is_initialized()
        raise RuntimeError("diverged")
    assert not distributed.is_initialized()


@pytest.mark.parametrize("n_clips", [2, 5, 6])
def test_all_processes_get_equally_many_clips(monkeypatch, n_clips):
    """Also of a batch smaller than the batch size, as from a small training subset."""
    batch, shards = torch.arange(n_clips), []
    for rank in range(2):
        monkeypatch.setattr(training_distributed, "rank_and_world", lambda rank=rank: (rank, 2))
        shards.append(shard(batch))
    assert len(shards[0]) == len(shards[1]) == n_clips // 2
    assert sorted(torch.cat(shards).tolist()) == list(range(n_clips // 2 * 2))


def test_a_batch_that_cannot_be_divided_is_refused(monkeypatch):
    monkeypatch.setattr(training_distributed, "rank_and_world", lambda: (0, 2))
    with pytest.raises(DistributedError, match=r"train\.batch_size = 5: give a multiple of the 2 processes"):
        wrap_distributed(create_model("baseline_cnn", 3, 64), 5)


def test_fewer_clips_than_processes_are_refused(monkeypatch):
    monkeypatch.setattr(training_distributed, "rank_and_world", lambda: (0, 4))
    with pytest.raises(DistributedError, match="a batch of 3 clips for 4 processes: start fewer processes"):
        shard(torch.arange(3))
