"""One run on several processes: they agree on whether to train, and none waits for one that has ended."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from earmark.config.sections import Options
from earmark.config.suite import read_suite
from earmark.runs.plan import plan_suite
from earmark.runs.train import locked

CONFIG = """
name = "tones"
data = {{ dataset = "folder", root = {root} }}
front_end = {{ n_fft = 256, hop_length = 64, n_mels = 32 }}
split = {{ kind = "group_kfold", n_folds = 2 }}
augment = {{ freq_mask_bins = 4 }}
train = {{ epochs = 2, batch_size = 6, precision = "float32" }}
"""


@pytest.fixture
def config(tones, tmp_path) -> Path:
    path = tmp_path / "tones.toml"
    path.write_text(CONFIG.format(root=json.dumps(str(tones))), encoding="utf-8")
    return path


def torchrun(config: Path, port: int, *arguments: str) -> subprocess.CompletedProcess:
    launcher = ["torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port), "-m", "earmark", "train"]
    where = ["--runs", str(config.parent / "runs"), "--work", str(config.parent / "work"), "--device", "cpu"]
    return subprocess.run(
        [sys.executable, "-m", *launcher, str(config), *where, "--threads", "1", *arguments],
        capture_output=True, text=True, timeout=240, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.slow
def test_all_processes_skip_a_run_that_another_process_holds(config, tmp_path):
    options = Options(runs=tmp_path / "runs", work=tmp_path / "work")
    (run,) = plan_suite(read_suite(config).only(), options).runs
    with locked(run.folder):
        result = torchrun(config, 29631)
    assert result.returncode == 0, result.stderr
    assert f"{run.folder.name}: skipped, another process is training it" in result.stdout
    assert not run.finished


@pytest.mark.slow
def test_a_failure_ends_all_processes_and_their_group(config):
    result = torchrun(
        config,
        29632,
        "--train.lr",
        "100",
        "--train.weight_decay",
        "100",
        "--train.epochs",
        "30",
        "--train.batch_size",
        "2",
    )
    assert result.returncode != 0
    assert "in epoch" in result.stderr, result.stderr
    assert "destroy_process_group() was not called" not in result.stderr


def test_a_failure_of_the_first_process_alone_does_not_leave_the_others_waiting(config, tmp_path):
    (run,) = plan_suite(read_suite(config).only(), Options(runs=tmp_path / "runs", work=tmp_path / "work")).runs
    (run.folder / "history.csv").mkdir(parents=True)  # the first process alone writes it
    result = torchrun(config, 29633)
    assert result.returncode != 0
    assert "history.csv" in result.stderr
