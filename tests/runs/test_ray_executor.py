"""Suites on Ray: the results of a local suite, whatever dies on the way. The cluster is two nodes on this machine.

uv run --extra ray pytest -m slow tests/runs/test_ray_executor.py
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import earmark.runs.preflight
import earmark.runs.train
from earmark.audio.augment import ORIGINAL
from earmark.config.sections import ConfigError, Options
from earmark.config.suite import SuiteConfig, merge, to_dict
from earmark.runs import ray_executor
from earmark.runs.plan import plan_suite
from earmark.runs.prepare import prepare_suite
from earmark.runs.ray_executor import read_files, write_files
from earmark.runs.suite import run_suite, run_suites
from earmark.runs.train import locked
from earmark.training.checkpoint import load_checkpoint
from run_results import results


def test_without_ray_one_line_says_how_to_install_it(small_suite, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    options = Options(runs=tmp_path / "runs", work=tmp_path / "work", executor="ray")
    with pytest.raises(ConfigError, match=r"executor = 'ray': ray is not installed; install it with .*earmark\[ray\]"):
        plan_suite(small_suite, options)
    assert not (tmp_path / "work").exists(), "nothing is made before"


def test_jobs_do_not_go_with_ray():
    with pytest.raises(ConfigError, match="jobs = 2: leave it out: with executor = 'ray'"):
        Options(executor="ray", jobs=2)


def test_a_run_folder_is_sent_without_locks_and_temporary_files(tmp_path):
    files = {"result.json": b"{}", "gallery/a.png": b"png", "events.out.new": b"events"}
    write_files(tmp_path / "a", files)
    write_files(tmp_path / "a", {"events.out.newer": b"more"})
    (tmp_path / "a" / ".lock").touch()
    (tmp_path / "a" / "last.safetensors.tmp").touch()
    there = {"result.json": b"{}", "gallery/a.png": b"png", "events.out.newer": b"more"}
    assert read_files(tmp_path / "a") == there
    assert set(read_files(tmp_path / "a", but="events.out.")) == {"result.json", "gallery/a.png"}


def test_result_json_is_written_last(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(Path, "replace", lambda self, target: order.append(target.name))
    write_files(tmp_path, {"result.json": b"", "timing.json": b"", "a": b"", "split.csv": b""})
    assert order == ["a", "split.csv", "timing.json", "result.json"]


class Updates(list):
    """The queue of a driver."""

    put = list.append


def train_elsewhere(run, plan, work, track=()):
    """The files of a run, why it failed, and what was sent meanwhile, on a machine without the spectrograms."""
    shared, updates = ray_executor._to_send(run, plan.data_of(run)), Updates()
    work.rename(work.with_name("hidden"))
    files, failure = ray_executor.train_remotely(run, shared, {}, 1, "cpu", track, updates)
    return files, failure, updates


def test_what_is_sent_is_enough_for_a_probe(small_suite, local):
    plan = plan_suite(merge(small_suite.only("plain", fold=1), {"probe": {"kind": "knn"}}), local)
    prepare_suite(plan)
    files, failure, _ = train_elsewhere(plan.runs[0], plan, local.work)
    assert failure is None and "result.json" in files


def test_a_worker_uses_the_trackers_that_were_asked_for_and_knows_what_trained_its_networks(small_suite, local):
    plan = plan_suite(small_suite.only("plain", fold=1), local)
    prepare_suite(plan)
    files, failure, _ = train_elsewhere(plan.runs[0], plan, local.work)
    assert failure is None and not [name for name in files if name.startswith("events.out.")]
    write_files(local.runs, files)
    trained = {plan.data_of(plan.runs[0]).store.index[i, ORIGINAL].content for i in plan.runs[0].split.train}
    assert set(load_checkpoint(local.runs / "last.safetensors")[1].recordings) == trained


def test_the_first_update_has_a_checkpoint(small_suite, local, monkeypatch):
    """A worker that dies after it has lost at most one epoch."""
    monkeypatch.setattr(earmark.runs.train, "CHECKPOINT_SECONDS", -1.0)
    plan = plan_suite(small_suite.only("plain", fold=1), local)
    prepare_suite(plan)
    first = train_elsewhere(plan.runs[0], plan, local.work)[2][0]
    assert first[1].startswith("epoch 1/2") and {"history.csv", "last.safetensors"} <= first[2].keys()


@pytest.fixture(scope="module")
def cluster():
    """The address of a Ray cluster of two nodes with one core each; $RAY_ADDRESS has it."""
    pytest.importorskip(
        "ray", reason="ray is not installed: uv run --extra ray pytest -m slow tests/runs/test_ray_executor.py"
    )
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        # on a busy machine workers, at the lowest priority, do not start in the 60 s that Ray gives them
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("RAY_worker_register_timeout_seconds", "600")
        cluster = Cluster(initialize_head=True, head_node_args=node)
        cluster.add_node(**node)
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster.address
        cluster.shutdown()


@pytest.fixture
def local(tmp_path) -> Options:
    return Options(runs=tmp_path / "local", work=tmp_path / "work", device="cpu", threads=1)


@pytest.fixture
def remote(tmp_path, cluster) -> Options:
    return Options(runs=tmp_path / "ray", work=tmp_path / "work", device="cpu", executor="ray")


def histories(runs: Path) -> dict[str, list[dict[str, str]]]:
    """The epochs of every run without the seconds that they took."""
    found = {}
    for path in runs.rglob("history.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            found[path.parent.name] = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    return found


def descriptions(runs: Path) -> dict[str, bytes]:
    """Config and split of every run that has them."""
    files = [path for name in ("config.json", "split.csv", "split.json") for path in runs.rglob(name)]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
class TestOnTwoNodes:
    """What needs the cluster."""

    def test_results_are_those_of_this_machine_though_workers_die_and_runs_fail(
        self, small_suite, local, remote, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(earmark.runs.preflight, "check_plan", lambda *_: None)  # it would refuse the weights
        suite = merge(small_suite, {"variants": {"broken": {"model": {"weights": "no-such-file"}}, "plain": {}}})
        expected = run_suite(plan_suite(suite, local), local)
        monkeypatch.setattr(ray_executor, "train_remotely", dying_once(tmp_path / "died", "plain-fold1"))
        plan = plan_suite(suite, remote)
        assert run_suite(plan, remote) == expected
        assert (tmp_path / "died").read_text() == "last.safetensors", "resumed from what the dead worker had sent"
        assert results(remote.runs) == results(local.runs)
        assert histories(remote.runs) == histories(local.runs)
        assert descriptions(remote.runs) == descriptions(local.runs)
        assert len(results(local.runs)) == 4
        for run in plan.runs:
            names = {path.name for path in run.folder.iterdir()}
            assert ("result.json" in names) == (run.config.variant == "plain")
            assert ("error.txt" in names) == (run.config.variant == "broken")
        assert "Traceback" in (plan.missing[0].folder / "error.txt").read_text(encoding="utf-8")

    def test_workers_need_no_file_of_this_machine(self, small_suite, local, remote, tmp_path, monkeypatch):
        one = small_suite.only("plain", fold=1)
        run_suite(plan_suite(one, local), local)
        plan = plan_suite(one, remote)
        monkeypatch.setattr(ray_executor, "train_remotely", hiding(tmp_path / "work", tmp_path / "hidden"))
        assert run_suite(plan, remote) == {}
        assert results(remote.runs) == results(local.runs)

    def test_suites_do_not_wait_for_each_other(self, small_suite, local, remote, capsys):
        suites = [small_suite.only("plain", fold=fold) for fold in (1, 2)]
        run_suites([plan_suite(suite, local) for suite in suites], local)
        assert run_suites([plan_suite(suite, remote) for suite in suites], remote) == {}
        assert capsys.readouterr().err.count("Ray: 2 runs with 1 CPUs") == 1, "both at once"
        assert results(remote.runs) == results(local.runs)
        assert histories(remote.runs) == histories(local.runs)

    def test_a_run_of_another_process_is_left_to_it(self, small_suite, remote):
        plan = plan_suite(small_suite.only(), remote)
        plan.runs[0].folder.mkdir(parents=True)
        with locked(plan.runs[0].folder):
            assert run_suite(plan, remote) == {}
        assert plan.missing == list(plan.runs)

    def test_images_that_do_not_fit_into_memory_are_refused(self, small_suite, remote):
        plan = plan_suite(merge(small_suite, {"data": {"memory_gib": 0.0}}), remote)
        with pytest.raises(ConfigError, match=r"data\.memory_gib = 0: executor = 'ray' keeps"):
            run_suite(plan, remote)

    def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(self, small_suite, local, remote, tmp_path):
        suite = merge(small_suite, {"train": {"epochs": 8}})
        run_suite(plan_suite(suite, local), local)
        config = tmp_path / "tones.toml"
        config.write_text(toml_of(suite), encoding="utf-8")
        command = [sys.executable, "-m", "earmark", "suite", config, "--runs", remote.runs, "--work", remote.work]
        with subprocess.Popen([*command, "--executor", "ray"], stderr=subprocess.PIPE, text=True) as process:
            try:
                wait_for(lambda: process.poll() is not None or any(remote.runs.rglob("result.json")))
                process.send_signal(signal.SIGINT)
                message = process.communicate(timeout=60)[1]
            finally:
                process.kill()
        assert process.returncode == 130
        assert message.endswith("interrupted; run the same command again to resume\n")
        assert "Traceback" not in message
        assert 2 <= len(results(remote.runs)) < 8
        assert run_suite(plan_suite(suite, remote), remote) == {}
        assert results(remote.runs) == results(local.runs)


@pytest.mark.slow
def test_without_a_cluster_one_line_says_how_to_start_one(small_suite, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="ray is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    options = Options(runs=tmp_path / "runs", work=tmp_path / "work", executor="ray")
    with pytest.raises(ConfigError, match=r"no answer from RAY_ADDRESS=127.0.0.1:9 .*`ray start --head`") as caught:
        run_suite(plan_suite(small_suite, options), options)
    assert "\n" not in str(caught.value)


def dying_once(mark: Path, name: str):
    """`train_remotely` whose worker is killed in the first attempt at a run, after one epoch.

    `mark` then says which files the second attempt begins with.
    """

    class Deadly:
        def __init__(self, updates):
            self.updates = updates

        def put(self, item):
            self.updates.put(item)
            os.kill(os.getpid(), signal.SIGKILL)

    def train(run, shared, started, *settings_and_updates):
        import earmark.runs.ray_executor
        import earmark.runs.train

        earmark.runs.train.CHECKPOINT_SECONDS = earmark.runs.ray_executor.SEND_SECONDS = -1.0
        if run.folder.name.startswith(name):
            if not mark.exists():
                mark.touch()
                *settings, updates = settings_and_updates
                settings_and_updates = (*settings, Deadly(updates))
            else:
                mark.write_text(" ".join(started))
        return earmark.runs.ray_executor.train_remotely(run, shared, started, *settings_and_updates)

    return train


def hiding(work: Path, hidden: Path):
    """`train_remotely` on a machine that has no spectrogram store."""

    def train(*arguments):
        import earmark.runs.ray_executor

        work.rename(hidden)
        return earmark.runs.ray_executor.train_remotely(*arguments)

    return train


def toml_of(suite: SuiteConfig) -> str:
    """A config as TOML, one dotted key per line."""

    def lines(content: dict, prefix: str = "") -> list[str]:
        nested = [line for k, v in content.items() if isinstance(v, dict) for line in lines(v, f"{prefix}{k}.")]
        tables = [f"{prefix}{k} = {{}}" for k, v in content.items() if v == {}]
        flat = [f"{prefix}{k} = {json.dumps(v)}" for k, v in content.items() if not isinstance(v, dict)]
        return [*flat, *tables, *nested]

    return "\n".join(lines(to_dict(suite))) + "\n"


def wait_for(condition, seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
