"""Trackers: three methods, written to this machine, and no failure of one stops a run."""

import os
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

import earmark
from earmark.config.sections import ConfigError, Options
from earmark.training import trackers
from earmark.training.trackers import TrackedRun, Trackers, check_trackers, tracking

ENTRIES = [{"epoch": n, "train_loss": 1 / n, "valid_uar": None, "lr": 0.1} for n in (1, 2)]
SCORES = {"metrics": {"accuracy": 0.75, "roc_auc": None}, "confusion": [[3, 1], [0, 0]]}


class Recorder:
    """A tracker that records its calls and fails in one of them."""

    def __init__(self, fail_in: str = "") -> None:
        self.fail_in, self.calls = fail_in, []

    def _call(self, name, *arguments):
        self.calls.append((name, *arguments))
        if name == self.fail_in:
            raise RuntimeError("disk\nfull")

    def start(self, run):
        self._call("start")

    def log(self, epoch, values):
        self._call("log", epoch, values)

    def finish(self, result):
        self._call("finish", result)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "tones" / "plain-fold1-seed1-abc"
    folder.mkdir(parents=True)
    return TrackedRun(folder, "tones", {"model.name": "baseline_cnn", "seed": 1}, ("high", "low"))


def test_a_tracker_that_fails_is_named_once_and_left_out(run):
    good, bad = Recorder(), Recorder("log")
    both = Trackers({"good": lambda: good, "bad": lambda: bad}, run)
    with pytest.warns(UserWarning, match=r"track = 'bad': disk full; the run continues without it") as warned:
        for entry in ENTRIES:
            both.log(entry)
        both.finish(SCORES)
    assert len(warned) == 1
    assert [call[0] for call in bad.calls] == ["start", "log"]
    assert good.calls[1:] == [
        ("log", 1, {"train/loss": 1.0, "lr": 0.1}),
        ("log", 2, {"train/loss": 0.5, "lr": 0.1}),
        ("finish", SCORES),
    ]


def test_tensorboard_leaves_out_a_confusion_matrix_of_hundreds_of_classes(run):
    """Of 300 classes its image would have 83 million pixels."""
    names = tuple(str(n) for n in range(300))
    with tracking(["tensorboard"], replace(run, class_names=names), ()) as both:
        both.finish({"metrics": {"accuracy": 0.75}, "confusion": np.eye(300, dtype=int).tolist()})
    events = b"".join(path.read_bytes() for path in run.folder.glob("events.out.*"))
    assert b"test/accuracy" in events and b"test/confusion" not in events


def test_an_interrupted_run_ends_without_a_result_and_a_finished_one_once(run, monkeypatch):
    recorder = Recorder()
    monkeypatch.setitem(trackers.TRACKERS, "wandb", lambda: recorder)
    with pytest.raises(KeyboardInterrupt), tracking(["wandb"], run, ENTRIES[:1]):
        raise KeyboardInterrupt
    assert [call[0] for call in recorder.calls] == ["start", "log", "finish"] and recorder.calls[-1][1] is None
    with tracking(["wandb"], run, ()) as both:
        both.finish(SCORES)
    assert recorder.calls[3:] == [("start",), ("finish", SCORES)]


def test_a_run_is_trained_whatever_its_tracker_does(small_suite, tmp_path, monkeypatch):
    recorder = Recorder("start")
    monkeypatch.setitem(trackers.TRACKERS, "tensorboard", lambda: recorder)
    suite = replace(small_suite, folds=(1,), variants={"plain": {}})
    options = Options(runs=tmp_path / "runs", work=tmp_path / "work", threads=1)
    with pytest.warns(UserWarning, match="track = 'tensorboard': disk full"):
        assert earmark.run_suite(suite, options) == {}
    assert len(list((tmp_path / "runs").rglob("result.json"))) == 1


def test_what_is_not_installed_is_refused_before_training(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(
        ConfigError, match=r"""track = 'mlflow': it is not installed; run `pip install "earmark\[mlflow\]"`"""
    ):
        check_trackers(["tensorboard", "mlflow"])
    with pytest.raises(ConfigError, match="with executor = 'ray', give tensorboard"):
        Options(executor="ray", track=("mlflow",))


def follow(name, run):
    with tracking([name], run, ENTRIES[:1]) as both:
        both.log(ENTRIES[1])
        both.finish(SCORES)


@pytest.mark.slow
def test_wandb_writes_offline_files(run):
    pytest.importorskip("wandb")
    follow("wandb", run)
    (file,) = run.folder.rglob("run-*.wandb")
    wanted, end = (b"train/loss", b"test/accuracy", b"baseline_cnn"), time.monotonic() + 30
    while not all(text in file.read_bytes() for text in wanted):  # its other process writes
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.slow
def test_mlflow_writes_a_file_beside_the_runs(run, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    follow("mlflow", run)
    import mlflow

    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    client = mlflow.MlflowClient(f"sqlite:///{run.folder.parent / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("tones").experiment_id])
    assert (found.info.status, found.data.params["seed"]) == ("FINISHED", "1")
    assert found.data.metrics["train/loss"] == 0.5 and found.data.metrics["test/accuracy"] == 0.75
    assert [m.value for m in client.get_metric_history(found.info.run_id, "train/loss")] == [1.0, 0.5]


@pytest.mark.slow
def test_trackio_writes_to_its_folder(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio")
    follow("trackio", run)
    assert trackio.context_vars.current_run.get() is None, "trackio would end the run again at exit"
    assert b"test/accuracy" in (tmp_path / "trackio" / "tones.db").read_bytes()
