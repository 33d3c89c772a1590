"""Suites: what is finished is skipped, what fails does not stop the rest, and a killed suite ends as any other."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import earmark.runs.suite
import earmark.runs.train
from earmark.cli import runs as verbs
from earmark.config.sections import ConfigError, Options
from earmark.config.suite import merge
from earmark.runs.suite import plan_suite, run_suite
from run_results import results


@pytest.fixture
def options(tmp_path) -> Options:
    return Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1)


def test_all_runs_are_run_once(small_suite, options):
    planned = plan_suite(small_suite, options)
    assert len(planned.missing) == len(planned.jobs) == 4
    assert run_suite(planned, options) == {}
    assert planned.missing == []
    before = {path: path.stat().st_mtime_ns for path in options.runs.rglob("*") if path.is_file()}
    again = plan_suite(small_suite, options)
    assert run_suite(again, options) == {}
    assert {path: path.stat().st_mtime_ns for path in options.runs.rglob("*") if path.is_file()} == before


def test_a_wider_suite_runs_only_what_is_missing(small_suite, options):
    run_suite(plan_suite(small_suite, options), options)
    wider = merge(small_suite, {"seeds": [1, 2]})
    assert len(plan_suite(wider, options).missing) == 4


def test_a_failed_run_is_named_and_does_not_stop_the_others(small_suite, options):
    suite = merge(small_suite, {"variants": {"broken": {"model": {"weights": "no-such-file"}}, "plain": {}}})
    planned = plan_suite(suite, options)
    failures = run_suite(planned, options)
    assert len(failures) == 2
    assert all("broken" in name and "no-such-file" in reason for name, reason in failures.items())
    assert [job.config.variant for job in planned.missing] == ["broken", "broken"]
    assert "Traceback" in (planned.missing[0].folder / "error.txt").read_text(encoding="utf-8")


def test_where_every_run_fails_the_reason_is_said(tones, tmp_path):
    (tmp_path / "tones.toml").write_text(CONFIG.format(root=json.dumps(str(tones))), encoding="utf-8")
    where = ["--runs", str(tmp_path / "runs"), "--work", str(tmp_path / "work"), "--threads", "1"]
    with pytest.raises(ConfigError, match=r"2 of 2 runs failed: .*no-such-file"):
        verbs.suite([str(tmp_path / "tones.toml"), "--model.weights", "no-such-file", *where])


def test_a_run_of_another_process_is_left_alone_and_named(tones, tmp_path, capsys):
    (tmp_path / "tones.toml").write_text(CONFIG.format(root=json.dumps(str(tones))), encoding="utf-8")
    where = ["--runs", str(tmp_path / "runs"), "--work", str(tmp_path / "work"), "--threads", "1"]
    verbs.suite([str(tmp_path / "tones.toml"), *where, "--dry-run"])
    folders = [Path(line.split()[-1]) for line in capsys.readouterr().out.splitlines() if line.startswith("to do")]
    with contextlib.ExitStack() as held:
        for folder in folders:
            folder.mkdir(parents=True)
            held.enter_context(earmark.runs.train.locked(folder))
        verbs.suite([str(tmp_path / "tones.toml"), *where])
    printed = capsys.readouterr().out
    assert len(folders) == 2
    assert all(f"{folder.name}: another process is training it; it was left alone" in printed for folder in folders)


def test_a_mistake_of_a_library_does_not_stop_the_others(small_suite, options, monkeypatch):
    def execute(job, *arguments):
        if job.config.fold == 1:
            raise AttributeError("no attribute 'stage1'")
        earmark.runs.train.execute(job, *arguments)

    monkeypatch.setattr(earmark.runs.suite, "execute", execute)
    planned = plan_suite(small_suite, options)
    assert set(run_suite(planned, options).values()) == {"no attribute 'stage1'"}
    assert {job.config.fold for job in planned.missing} == {1}


def test_variants_with_unequal_budgets_are_refused_unless_told_so(small_suite, options, tmp_path):
    suite = merge(small_suite, {"variants": {"short": {}, "long": {"train": {"epochs": 3}}}})
    with pytest.raises(ConfigError, match=r"variants differ in train\.epochs: .*--allow-unequal-budget"):
        plan_suite(suite, options)
    allowed = Options(runs=options.runs, work=options.work, allow_unequal_budget=True)
    assert len(plan_suite(suite, allowed).jobs) == 4


def test_two_processes_give_the_results_of_one(small_suite, options, tmp_path):
    run_suite(plan_suite(small_suite, options), options)
    two = Options(runs=tmp_path / "two", work=options.work, device="cpu", threads=1, jobs=2)
    assert run_suite(plan_suite(small_suite, two), two) == {}
    assert results(two.runs) == results(options.runs)
    assert len(results(two.runs)) == 8


CONFIG = """
name = "tones"
seeds = [1]
data = {{ dataset = "folder", root = {root} }}
front_end = {{ n_fft = 256, hop_length = 64, n_mels = 32 }}
split = {{ kind = "group_kfold", n_folds = 2 }}
augment = {{ freq_mask_bins = 4 }}
train = {{ epochs = 8, batch_size = 4 }}
"""


def test_a_suite_killed_in_the_middle_ends_as_an_uninterrupted_one(tones, tmp_path):
    config = tmp_path / "tones.toml"
    config.write_text(CONFIG.format(root=json.dumps(str(tones))), encoding="utf-8")

    def start(runs: str) -> subprocess.Popen:
        arguments = ["suite", config, "--runs", tmp_path / runs, "--work", tmp_path / "work", "--threads", "1"]
        # checkpoints after every epoch, so that the kill falls between a checkpoint and the end
        code = "import earmark.runs.train, earmark.cli.main; earmark.runs.train.CHECKPOINT_SECONDS = -1; earmark.cli.main.main()"
        with (tmp_path / f"{runs}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-c", code, *map(str, arguments)], stdout=log, stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip

    def finish(runs: str) -> None:
        with start(runs) as process:
            assert process.wait(timeout=120) == 0, (tmp_path / f"{runs}.log").read_text()

    finish("whole")
    with start("killed") as process:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "killed").rglob("history.csv")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        assert process.wait(timeout=10) != 0
    assert len(results(tmp_path / "killed")) < 4
    finish("killed")
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
    assert len(results(tmp_path / "whole")) == 4
