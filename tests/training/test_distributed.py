"""Two processes give what one gives with the same batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from earmark.models.create import create_model
from earmark.training.checkpoint import load_checkpoint
from earmark.training.distributed import DistributedError, replace_batch_norms

CONFIG = """
name = "tones"
seeds = [1]
data = {{ dataset = "folder", root = {root} }}
front_end = {{ n_fft = 256, hop_length = 64, n_mels = 32 }}
split = {{ kind = "group_kfold", n_folds = 2 }}
augment = {{ freq_mask_bins = 4 }}
model = {{ dropout = 0.0 }}
train = {{ epochs = 3, batch_size = 6, precision = "float32", lr = 1e-3 }}
"""


def train(config: Path, runs: Path, *launcher: str, extra: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    where = ["--runs", str(runs), "--work", str(config.parent / "work"), "--threads", "1", "--device", "cpu"]
    return subprocess.run(
        [sys.executable, "-m", *launcher, "earmark", "train", str(config), *where, *extra],
        capture_output=True, text=True, timeout=300, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


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
    (first,), (second,) = ([p.parent for p in (tmp_path / n).rglob("result.json")] for n in ("one", "two"))
    assert first.name == second.name
    model, _ = load_checkpoint(first)
    other, _ = load_checkpoint(second)
    for (name, expected), got in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        # Adam divides by the gradient's own size, so rounding in it is seen in full: compare on the scale of the tensor
        scale = max(float(expected.abs().max()), 1e-3)
        np.testing.assert_allclose(got.numpy(), expected.numpy(), atol=0.02 * scale, rtol=0, err_msg=name)


def test_a_batch_norm_that_would_stay_local_is_refused():
    model = create_model("timm/test_efficientnet", 3, 64)
    with pytest.raises(DistributedError, match="BatchNormAct2d, which several processes would"):
        replace_batch_norms(model)
    replace_batch_norms(create_model("baseline_cnn", 3, 64))


def test_a_batch_that_cannot_be_shared_out_is_refused(config, tmp_path):
    result = train(config, tmp_path / "runs", *TORCHRUN, extra=("--train.batch-size", "5"))
    assert result.returncode != 0
    assert "train.batch_size = 5: give a multiple of the 2 processes" in result.stderr
