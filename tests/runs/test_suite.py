"""Suites: finished runs are skipped, a failed run does not stop the others, a killed suite gives the same results."""

import contextlib
import dataclasses
import errno
import gc
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import earmark
import earmark.runs.floor
import earmark.runs.preflight
import earmark.runs.suite
import earmark.runs.train
import earmark.runtime.pool
from earmark.analysis.aggregate import aggregate
from earmark.analysis.ledger import read_ledger
from earmark.analysis.looks import count_configurations
from earmark.analysis.plan_file import read_plan
from earmark.analysis.records import read_runs
from earmark.cli import training as commands
from earmark.config.sections import ConfigError, Options
from earmark.config.suite import merge, read_suite
from earmark.features.store import Store
from earmark.models.create import create_model
from earmark.runs.failures import Failure, record_failure
from earmark.runs.plan import SuitePlan, plan_suite
from earmark.runs.prepare import delete_shared_files, load_data, name_shared_files, prepare_suite
from earmark.runs.status import read_states
from earmark.runs.suite import run_suite, run_suites, train_missing
from earmark.training.batches import select_subset
from run_results import results


@pytest.fixture
def options(tmp_path) -> Options:
    return Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1)


def test_all_runs_are_run_once(small_suite, options):
    plan = plan_suite(small_suite, options)
    assert len(plan.missing) == len(plan.runs) == 4
    assert run_suite(plan, options) == {}
    assert plan.missing == []
    before = {path: path.stat().st_mtime_ns for path in options.runs.rglob("*") if path.is_file()}
    again = plan_suite(small_suite, options)
    assert run_suite(again, options) == {}
    assert {path: path.stat().st_mtime_ns for path in options.runs.rglob("*") if path.is_file()} == before


def test_a_wider_suite_runs_only_what_is_missing(small_suite, options):
    run_suite(plan_suite(small_suite, options), options)
    wider = merge(small_suite, {"seeds": [1, 2]})
    assert len(plan_suite(wider, options).missing) == 4


def test_the_plan_is_written_before_anything_is_trained(small_suite, options, monkeypatch):
    planned = []
    monkeypatch.setattr(earmark.runs.suite, "run_suite", lambda plan, options: planned.append(plan) or {})
    monkeypatch.setattr(earmark.runs.floor, "update_floor", lambda plan, folder: None)
    earmark.run_suite(merge(small_suite, {"metric": "uar", "baseline": "plain"}), options)
    plan = read_plan(options.runs / "tones")
    assert plan.runs.keys() == {run.id for run in planned[0].runs}
    assert (plan.first.metric, plan.first.baseline, plan.first.n_results) == ("uar", "plain", 0)
    assert plan.first.variants == {"plain": {"model.dropout": 0.3}, "dropped": {"model.dropout": 0.5}}
    assert plan.first.shared["train.epochs"] == 2
    assert not [*options.runs.rglob("result.json")]


def test_a_suite_that_is_widened_after_looking_says_so(small_suite, options):
    earmark.run_suite(merge(small_suite, {"variants": {"plain": {}}}).only("plain", fold=1), options)
    narrow = dataclasses.replace(small_suite, variants={"plain": {}})
    earmark.run_suite(narrow, options)
    plan = read_plan(options.runs / "tones")
    assert [len(plan.first.runs), *(len(entry.runs) for entry in plan.later)] == [1, 1]
    assert plan.later[0].n_results == 1
    assert "Added to the plan when 1 result existed: 1 run (fold 2)." in earmark.aggregate(options.runs).notes
    for folder in options.runs.glob("tones/*-fold2-*"):
        shutil.rmtree(folder)
    notes = earmark.aggregate(options.runs).notes
    assert "1 of 2 planned runs: fold 2 is missing." in notes
    assert any("1 run of this suite was scored and has no result any more" in note for note in notes)


def test_a_run_is_in_the_ledger_before_its_result(small_suite, options, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no score")

    plan = plan_suite(small_suite.only("plain", fold=1), options)
    monkeypatch.setattr(earmark.runs.train, "evaluate_run", fail)
    assert run_suite(plan, options)
    (look,) = read_ledger(options.runs / "ledger.csv")
    assert (look.suite, look.event, look.run, look.n_test) == ("tones", "trained", plan.runs[0].id, 18)


def test_other_names_and_places_do_not_hide_a_look(small_suite, options, tones, tmp_path):
    """Another suite, another folder, other names of the files, another front end."""
    renamed = tmp_path / "renamed"
    shutil.copytree(tones, renamed)
    for path in [*renamed.rglob("*.wav")]:
        path.rename(path.with_name(f"x{path.name}"))
    one = dataclasses.replace(small_suite, variants={"plain": {}}, folds=(1,))
    changes = {"data": {"root": str(renamed)}, "front_end": {"n_mels": 24}, "name": "renamed"}
    for suite in (one, merge(one, changes)):
        assert run_suite(plan_suite(suite, options), options) == {}
    first, second = read_ledger(options.runs / "ledger.csv")
    assert first.test_clips != second.test_clips and first.configuration != second.configuration
    assert first.test_audio == second.test_audio != ""
    (note,) = [n for n in earmark.aggregate(options.runs / "renamed").notes if "scored on these" in n]
    assert note.startswith("2 configurations have been scored on these test clips, 1 of them shown here.")


def test_a_failed_run_is_named_and_does_not_stop_the_others(small_suite, options):
    weights = options.runs.with_name("no-such-file")
    torch.save(create_model("baseline_cnn", 2, 32).state_dict(), weights)
    suite = merge(small_suite, {"variants": {"broken": {"model": {"weights": str(weights)}}, "plain": {}}})
    plan = plan_suite(suite, options)
    weights.unlink()
    failures = run_suite(plan, options)
    assert len(failures) == 2
    assert all("broken" in name and "no-such-file" in reason for name, reason in failures.items())
    assert [run.config.variant for run in plan.missing] == ["broken", "broken"]
    assert "Traceback" in (plan.missing[0].folder / "error.txt").read_text(encoding="utf-8")


def test_the_reason_is_printed_where_every_run_fails(tones, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(earmark.runs.preflight, "check_plan", lambda *_: None)
    (tmp_path / "tones.toml").write_text(CONFIG.format(root=json.dumps(str(tones))), encoding="utf-8")
    where = ["--runs", str(tmp_path / "runs"), "--work", str(tmp_path / "work"), "--threads", "1"]
    assert commands.suite([str(tmp_path / "tones.toml"), "--model.weights", "no-such-file", *where]) == 1
    assert re.search(r"2 of 2 runs failed, all for one reason: .*no-such-file", capsys.readouterr().err)


def test_a_run_of_another_process_is_skipped_and_named(tones, tmp_path, capsys):
    (tmp_path / "tones.toml").write_text(CONFIG.format(root=json.dumps(str(tones))), encoding="utf-8")
    where = ["--runs", str(tmp_path / "runs"), "--work", str(tmp_path / "work"), "--threads", "1"]
    commands.suite([str(tmp_path / "tones.toml"), *where, "--dry-run"])
    folders = [Path(line.split()[-1]) for line in capsys.readouterr().out.splitlines() if line.startswith("to do")]
    with contextlib.ExitStack() as held:
        for folder in folders:
            folder.mkdir(parents=True)
            held.enter_context(earmark.runs.train.locked(folder))
        commands.suite([str(tmp_path / "tones.toml"), *where])
    printed = capsys.readouterr().out
    assert len(folders) == 2
    assert all(f"{folder.name}: skipped, another process is training it" in printed for folder in folders)


def test_no_jobs_are_one_per_core(small_suite, options, monkeypatch):
    used = []
    monkeypatch.setattr("earmark.config.sections.cores", lambda: 3)
    monkeypatch.setattr(earmark.runs.suite, "_train_in_processes", lambda _, o: used.append(o.n_workers) or ({}, ""))
    run_suite(plan_suite(small_suite, options), dataclasses.replace(options, jobs=0))
    assert used == [3]


def test_an_error_of_a_library_does_not_stop_the_others(small_suite, options, monkeypatch):
    def fail_on_fold_1(run, *arguments):
        if run.config.fold == 1:
            raise AttributeError("no attribute 'stage1'")
        return earmark.runs.train.train_and_evaluate(run, *arguments)

    monkeypatch.setattr(earmark.runs.suite, "train_and_evaluate", fail_on_fold_1)
    plan = plan_suite(small_suite, options)
    assert set(run_suite(plan, options).values()) == {"no attribute 'stage1'"}
    assert {run.config.fold for run in plan.missing} == {1}


def failing(monkeypatch, error):
    """Let the second run of a suite fail."""
    tried = []

    def train(run, *arguments):
        tried.append(run)
        if len(tried) == 2:
            raise error
        return True

    monkeypatch.setattr(earmark.runs.suite, "train_and_evaluate", train)
    return tried


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory. Tried"), MemoryError()])
def test_a_run_without_memory_names_the_batch_size_and_the_others_go_on(small_suite, options, monkeypatch, error):
    tried = failing(monkeypatch, error)
    plan = plan_suite(small_suite, options)
    (reason,) = run_suite(plan, options).values()
    assert reason.startswith("out of memory (") and "give a smaller train.batch_size" in reason
    assert len(tried) == 4


def test_a_lost_gpu_ends_the_suite_and_the_same_command_resumes(small_suite, options, monkeypatch):
    tried = failing(monkeypatch, RuntimeError("CUDA error: unspecified launch failure\nCompile with ..."))
    plan = plan_suite(small_suite, options)
    failures = run_suite(plan, options)
    assert len(tried) == 2, "the process cannot use the device any more"
    assert set(failures) == {run.folder.name for run in plan.missing}
    assert failures[plan.runs[1].folder.name].startswith("the device failed (CUDA error: unspecified")
    monkeypatch.undo()
    assert run_suite(plan, options) == {} and not plan.missing


def test_a_run_that_failed_in_one_worker_is_not_tried_by_another(small_suite, options, monkeypatch):
    tried = failing(monkeypatch, ValueError("loss = nan"))
    plan = plan_suite(small_suite, options)
    prepare_suite(plan)
    since = time.time() - 1
    failures, _ = train_missing([plan], options, n_workers=2, since=since)
    failed = plan.runs[1]
    assert list(failures) == [failed.folder.name]
    assert train_missing([plan], options, n_workers=2, since=since) == ({}, "")
    assert tried.count(failed) == 1
    train_missing([plan], options)
    assert tried.count(failed) == 2, "the next call tries it again"


def test_the_reason_that_is_known_is_kept_when_a_worker_dies(small_suite, options, monkeypatch):
    """Of four runs one has failed here, one elsewhere, one is trained elsewhere, and one is left."""
    two = dataclasses.replace(options, jobs=2)
    plan = plan_suite(small_suite, two)
    here, elsewhere, busy, left = [run.folder for run in plan.runs]
    answers = [({here.name: Failure("loss = nan")}, ""), None]

    def start(*_):
        receiver, sender = multiprocessing.Pipe(duplex=False)
        answer = answers.pop(0)
        if answer:
            sender.send(answer)
        sender.close()
        return SimpleNamespace(join=int, kill=int), receiver

    monkeypatch.setattr(earmark.runs.suite, "_start_worker", start)
    record_failure(elsewhere, ValueError("no such file"))
    busy.mkdir()
    with earmark.runs.train.locked(busy):
        failures = run_suite(plan, two)
    assert failures == {
        here.name: "loss = nan",
        elsewhere.name: "ValueError: no such file",
        left.name: "its process died (out of memory?)",
    }


def test_a_full_disk_ends_the_suite_with_one_line(small_suite, options, monkeypatch):
    tried = failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "runs/last.safetensors"))
    plan = plan_suite(small_suite, options)
    with pytest.raises(OSError, match=r"No space left on device: 'runs/last.safetensors'"):
        run_suite(plan, options)
    assert len(tried) == 2, "the next run would meet the same disk"


def test_a_disk_that_is_too_full_for_the_traceback_hides_no_reason(tmp_path):
    (tmp_path / "file").touch()
    error = OSError(errno.ENOSPC, "No space left on device", "a.csv")
    assert record_failure(tmp_path / "file" / "run", error).reason.startswith(
        "a.csv: No space left on device; free some disk"
    )


def test_variants_with_unequal_budgets_are_refused_unless_allowed(small_suite, options, tmp_path):
    suite = merge(small_suite, {"variants": {"short": {}, "long": {"train": {"epochs": 3}}}})
    with pytest.raises(ConfigError, match=r"variants differ in train\.epochs, .*--allow-unequal-budget"):
        plan_suite(suite, options)
    allowed = Options(runs=options.runs, work=options.work, allow_unequal_budget=True)
    assert len(plan_suite(suite, allowed).runs) == 4


def test_two_processes_give_the_results_of_one(small_suite, options, tmp_path):
    run_suite(plan_suite(small_suite, options), options)
    two = Options(runs=tmp_path / "two", work=options.work, device="cpu", threads=1, jobs=2)
    assert run_suite(plan_suite(small_suite, two), two) == {}
    assert results(two.runs) == results(options.runs)
    assert len(results(two.runs)) == 8
    assert not list(options.work.glob("shared-*")), "the images that they shared are deleted"


def test_worker_processes_share_one_copy_of_the_images(small_suite, options, monkeypatch):
    plan = plan_suite(small_suite, options)
    prepare_suite(plan)
    files = name_shared_files(plan, options.work)
    ((key, file),) = files.items()
    config, data = plan.runs[0].config, plan.data[key]
    first = load_data(config, data, shared_file=file)
    assert file.stat().st_size == first.images.n_bytes
    monkeypatch.setattr(Store, "read", lambda *_: pytest.fail("decoded again"))
    second = load_data(config, data, shared_file=file)
    assert torch.equal(first.images._bytes, second.images._bytes)
    del first, second
    left = options.work / "shared-of-another-suite.bin"
    for path in (left, left.with_name(f"{left.name}.lock")):
        path.touch()
    name_shared_files(plan, options.work)
    assert left.is_file(), "it may be in use"
    os.utime(left, (1, 1))
    assert name_shared_files(plan, options.work) == files and not list(options.work.glob("shared-of-another*"))
    delete_shared_files(files.values())
    assert not list(options.work.glob("shared-*"))


def test_shared_images_are_right_for_a_manifest_in_another_order(small_suite, options, tmp_path):
    """The file that a killed suite has left has one name, whatever the order of the clips."""
    plan = plan_suite(small_suite, options)
    prepare_suite(plan)
    config, data = plan.runs[0].config, plan.data_of(plan.runs[0])

    def pixels(data, shared_file):
        images = load_data(config, data, shared_file=shared_file)
        subset = select_subset(images, plan.data_of(plan.runs[0]).clips, data.class_names)
        return subset.images.windows(subset.choices[:, 0], np.zeros(len(subset), dtype=int), 9)

    written = pixels(data, tmp_path / "shared.bin")
    reordered = dataclasses.replace(data, clips=data.clips[::-1])
    assert torch.equal(pixels(reordered, tmp_path / "shared.bin"), pixels(reordered, None))
    assert torch.equal(written, pixels(data, None))


def test_without_room_for_shared_images_each_process_has_its_own(small_suite, options, tmp_path):
    plan = plan_suite(small_suite, options)
    prepare_suite(plan)
    config, data = plan.runs[0].config, plan.data_of(plan.runs[0])
    images = load_data(config, data, shared_file=tmp_path / "no such folder" / "images.bin")
    assert torch.equal(images.images._bytes, load_data(config, data).images._bytes)


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

    whole, killed, log_file = tmp_path / "whole", tmp_path / "killed", tmp_path / "log"
    options = Options(runs=whole, work=tmp_path / "work", threads=1)
    run_suite(plan_suite(read_suite(config), options), options)

    def start() -> subprocess.Popen:
        arguments = ["suite", config, "--runs", killed, "--work", options.work, "--threads", "1"]
        # checkpoints after every epoch, so that the kill falls between a checkpoint and the end
        code = "import earmark.runs.train as t, earmark.cli.main as m; t.CHECKPOINT_SECONDS = -1; m.main()"
        with log_file.open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-c", code, *map(str, arguments)], stdout=log, stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip

    with start() as process:
        deadline = time.monotonic() + 60
        while not list(killed.rglob("history.csv")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        assert process.wait(timeout=10) != 0
    assert len(results(killed)) < 4
    with start() as process:
        assert process.wait(timeout=120) == 0, log_file.read_text()
    assert results(killed) == results(whole)
    assert len(results(whole)) == 4


def test_images_are_made_for_unfinished_runs_alone(small_suite, options, tmp_path):
    run_suite(plan_suite(small_suite, options), options)
    elsewhere = dataclasses.replace(options, work=tmp_path / "elsewhere")
    assert run_suite(plan_suite(small_suite, elsewhere), elsewhere) == {}
    assert not elsewhere.work.exists()


def test_one_image_set_is_held_at_a_time(small_suite, options, monkeypatch):
    """Two front ends, and each run reads one: what the run before has read is freed before other images are loaded."""
    alive: list[weakref.ref] = []

    def load(config, data, device, shared_file):
        gc.collect()
        assert not [ref for ref in alive if ref() is not None], "the images of another front end are still held"
        images = load_data(config, data, device, shared_file)
        alive.append(weakref.ref(images.images))
        return images

    monkeypatch.setattr(earmark.runs.suite, "load_data", load)
    variants = {"low": {"front_end": {"n_mels": 16}}, "plain": {}, "dropped": {"model": {"dropout": 0.5}}}
    suite = merge(small_suite, {"variants": variants, "folds": [1]})
    assert run_suite(plan_suite(suite, options), options) == {}
    assert len(alive) == 2, "runs on the same images load them once"


def test_threads_are_those_of_openmp_or_divide_the_cores_that_this_process_may_use(small_suite, options, monkeypatch):
    given = []
    monkeypatch.setattr(earmark.runtime.pool, "cores", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    empty = SuitePlan((), {})
    for variable in ("", "0", "two"):
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
        train_missing([empty], dataclasses.replace(options, threads=0), n_workers=2)
    for variable in ("2", "4,1"):
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
        train_missing([empty], dataclasses.replace(options, threads=0), n_workers=2)
    train_missing([empty], dataclasses.replace(options, threads=5), n_workers=2)
    assert given == [3, 3, 3, 2, 4, 5]


def test_a_library_call_leaves_the_allocator_alone(small_suite, options, monkeypatch):
    monkeypatch.setattr(earmark.runs.suite, "keep_freed_memory", lambda: pytest.fail("mallopt in the caller's process"))
    assert run_suite(plan_suite(small_suite.only(), options), options) == {}


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are found in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(tones, tmp_path, number):
    (tmp_path / "tones.toml").write_text(CONFIG.format(root=json.dumps(str(tones))), encoding="utf-8")
    arguments = ["suite", tmp_path / "tones.toml", "--runs", tmp_path / "runs", "--work", tmp_path / "work"]
    arguments += ["--threads", "1", "--jobs", "2", "--train.epochs", "100000"]
    with subprocess.Popen(
        [sys.executable, "-m", "earmark", *map(str, arguments)], stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_for(lambda: len(list((tmp_path / "runs").rglob("history.csv"))) == 2)
            workers = [pid for pid in children_of(process.pid) if is_alive(pid)]
            assert len(workers) >= 2
            process.send_signal(number)
            wait_for(lambda: not any(map(is_alive, workers)))
            assert process.wait(timeout=60) in (130, -signal.SIGKILL)
        finally:
            process.kill()


def wait_for(condition, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_learning_curve_keeps_test_clips_steps_and_the_data_of_the_ledger(small_suite, options):
    curve = {"folds": [1], "seeds": [1, 2], "train_fractions": [0.5], "train": {"batch_size": 5}}
    suite = merge(small_suite, curve)
    suite = dataclasses.replace(suite, variants={"knn": {"probe": {"kind": "knn"}}, "net": {}})
    planned = plan_suite(suite, options).runs
    by_name = {(run.config.variant, run.config.seed): run for run in planned}
    assert len(by_name) == 8 and len({run.id for run in planned}) == 8
    whole, half, other = by_name["net", 1], by_name["net-train0.5", 1], by_name["net-train0.5", 2]
    assert {run.split.test for run in planned} == {whole.split.test}
    assert set(half.split.train) < set(whole.split.train) and half.split.train != other.split.train
    assert half.split.train == by_name["knn-train0.5", 1].split.train, "all variants have the same draw"
    assert (whole.train.epochs, half.train.epochs) == (2, 6), "of 18 // 5 and of 9 // 5 steps"
    (one,) = plan_suite(suite.only("net-train0.5", 1, 2), options).runs
    assert one.id == other.id, "earmark train repeats a point by its name"

    probes = dataclasses.replace(suite, variants={"knn": {"probe": {"kind": "knn"}}})
    assert run_suite(plan_suite(probes, options), options) == {}
    looks = read_ledger(options.runs / "ledger.csv")
    assert len(looks) == 4 and count_configurations(looks) == 2
    assert len({(look.test_clips, look.test_audio, look.clips) for look in looks}) == 1
    result = aggregate(read_runs(options.runs))
    assert [v.variant for v in result.variants] == ["knn"] and len(result.curves) == 1


def test_a_point_of_a_learning_curve_trains_as_many_steps(small_suite, options):
    """Two epochs of 18 // 5 steps are six of 9 // 5: an incomplete batch is left out."""
    suite = merge(small_suite, {"train_fractions": [0.5], "train": {"batch_size": 5}}).only("plain-train0.5", 1)
    plan = plan_suite(suite, options)
    assert run_suite(plan, options) == {}
    (state,) = read_states(options.runs)
    assert (state.state, state.epochs) == ("finished", 6)
    result = json.loads((plan.runs[0].folder / "result.json").read_text(encoding="utf-8"))
    assert (result["kept_epoch"], result["epochs"]) == (6, 6)


def test_workers_go_from_plan_to_plan_and_delete_what_they_shared(small_suite, options, tmp_path, monkeypatch):
    """The folds of a search are several plans: no worker waits for the others at the end of one."""
    folds = [merge(small_suite, {"folds": [fold]}) for fold in (1, 2)]
    run_suites([plan_suite(suite, options) for suite in folds], options)
    two = Options(runs=tmp_path / "two", work=options.work, device="cpu", threads=1, jobs=2)
    plans = [plan_suite(suite, two) for suite in folds]
    start, started = earmark.runs.suite._start_worker, []
    monkeypatch.setattr(earmark.runs.suite, "_start_worker", lambda *given: started.append(given) or start(*given))
    run_suites(plans, two)
    assert len(started) == 2, "not two for each plan"
    assert results(two.runs) == results(options.runs)
    assert len(results(two.runs)) == 8
    assert not list(options.work.glob("shared-*"))


def test_shared_images_are_deleted_when_the_last_run_that_reads_them_has_ended(small_suite, options, monkeypatch):
    plans = [plan_suite(merge(small_suite, {"folds": [fold]}), options) for fold in (1, 2)]
    for plan in plans:
        prepare_suite(plan)
    files = [dict.fromkeys(plan.data, options.work / f"shared-{n}.bin") for n, plan in enumerate(plans)]
    there = []
    train = earmark.runs.suite.train_and_evaluate

    def note(*arguments):
        there.append(sorted(path.name for path in options.work.glob("shared-*.bin")))
        return train(*arguments)

    monkeypatch.setattr(earmark.runs.suite, "train_and_evaluate", note)
    assert train_missing(plans, options, files=files) == ({}, "")
    assert there == [["shared-0.bin"]] * 2 + [["shared-1.bin"]] * 2
