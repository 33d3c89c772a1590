"""What `earmark status` prints for run folders in every state."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import run
from earmark.analysis.tuning import Tuning, write_tuning
from earmark.config.sections import Options
from earmark.runs.plan import plan_suite
from earmark.runs.status import StatusError, read_states, remaining_time, state_line, summary_lines
from earmark.runs.train import locked
from earmark.runtime.console import format_duration
from run_folders import write_suite


def write_run(folder: Path, *, epochs_done: int, finished: bool = False, error: str = "", age: float = 0.0) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"run": {"train": {"epochs": 8}}}))
    rows = [f"{i + 1},2.0" for i in range(epochs_done)]
    (folder / "history.csv").write_text("\n".join(["epoch,seconds", *rows]) + "\n")
    if finished:
        (folder / "result.json").write_text(json.dumps({"metrics": {"accuracy": 0.875}}))
        (folder / "timing.json").write_text(json.dumps({"train_seconds": 120.0}))
    if error:
        (folder / "error.txt").write_text(f"Traceback ...\nValueError: {error}\n")
    for file in folder.iterdir():
        os.utime(file, (time.time() - age,) * 2)
    return folder


def test_every_state_is_reported(tmp_path):
    write_run(tmp_path / "a", epochs_done=8, finished=True)
    write_run(tmp_path / "b", epochs_done=3)
    write_run(tmp_path / "c", epochs_done=3, age=3600)
    write_run(tmp_path / "d", epochs_done=0, error="loss = nan in epoch 1")
    states = read_states(tmp_path)
    assert [state.state for state in states] == ["finished", "training", "interrupted", "failed"]
    assert [state.epoch for state in states] == [8, 3, 3, 0]
    assert "accuracy 87.5 %" in state_line(states[0])
    assert "60 min ago" in state_line(states[2])
    assert "loss = nan" in state_line(states[3])


def test_a_finished_run_shows_the_epochs_that_it_trained(tmp_path):
    write_run(tmp_path / "a", epochs_done=5, finished=True)
    assert [(s.epoch, s.epochs) for s in read_states(tmp_path)] == [(5, 8)], "early stopping ended it"


@pytest.mark.parametrize("mark", ["imported", "probe"])
def test_a_run_without_epochs_shows_none(tmp_path, mark):
    folder = write_run(tmp_path / "a", epochs_done=0, finished=True)
    (folder / "result.json").write_text(json.dumps({"metrics": {"accuracy": 0.875}, mark: True}))
    (state,) = read_states(tmp_path)
    assert (state.epoch, state.epochs) == (0, 0) and "/" not in state_line(state).split(" a ")[0]


def test_a_long_first_epoch_is_not_called_interrupted(tmp_path):
    folder = write_run(tmp_path / "a", epochs_done=0, age=3600)
    with locked(folder):
        os.utime(folder / ".lock", (0, 0))
        assert [state.state for state in read_states(tmp_path)] == ["training"]
    assert [state.state for state in read_states(tmp_path)] == ["interrupted"]


def test_an_interrupted_run_is_called_that_at_once(tmp_path):
    folder = write_run(tmp_path / "a", epochs_done=1)
    with locked(folder):
        assert [state.state for state in read_states(tmp_path)] == ["training"]
    assert [state.state for state in read_states(tmp_path)] == ["interrupted"]
    (folder / ".holder").write_text(".abcdef")  # another machine: its lock is not seen here
    assert [state.state for state in read_states(tmp_path)] == ["training"]


def test_a_killed_run_is_called_interrupted_at_once(tmp_path):
    folder = write_run(tmp_path / "a", epochs_done=1)
    code = f"from pathlib import Path; from earmark.runs.train import locked\nwith locked(Path({str(folder)!r})):"
    code += "\n print('locked', flush=True); import time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        training = [state.state for state in read_states(tmp_path)]
        process.kill()
    assert training == ["training"]
    assert [state.state for state in read_states(tmp_path)] == ["interrupted"]


def test_a_look_at_the_lock_is_no_update(tmp_path):
    folder = write_run(tmp_path / "a", epochs_done=1, age=3600)
    (folder / ".lock").touch()  # some versions of filelock do so when they are asked
    assert [state.state for state in read_states(tmp_path)] == ["interrupted"]


def test_a_finished_run_has_the_metric_of_its_plan(tmp_path):
    folder = write_run(tmp_path / "own" / "a", epochs_done=8, finished=True)
    (folder / "result.json").write_text(json.dumps({"metrics": {"accuracy": 0.875, "uar": 0.75}}))
    entry = {"time": "", "n_results": 0, "metric": "uar", "baseline": "", "shared": {"train.epochs": 2}}
    planned = {"variants": {"se": {}}, "runs": [{"id": "9", "variant": "se", "fold": 1, "seed": 1}]}
    (tmp_path / "own" / "plan.json").write_text(json.dumps({"format_version": 1, "entries": [entry | planned]}))
    assert [(s.state, s.detail) for s in read_states(tmp_path)] == [("finished", "UAR 75.0 %"), ("waiting", "")]
    assert [s.detail for s in read_states(folder)] == ["UAR 75.0 %"], "the runs that wait are not below it"


def test_the_command_writes_json_and_its_exit_status_is_1_after_a_failure(tmp_path, capsys):
    write_run(tmp_path / "x" / "a", epochs_done=8, finished=True)
    write_run(tmp_path / "x" / "b", epochs_done=3, age=3600)
    target = tmp_path / "states.json"
    assert run("status", tmp_path / "x", "--json", target) == 0, "an interrupted run can be resumed"
    runs = json.loads(target.read_text())["runs"]
    assert [(Path(r["folder"]).name, r["state"], r["epoch"], r["epochs"]) for r in runs] == [
        ("a", "finished", 8, 8),
        ("b", "interrupted", 3, 8),
    ]
    write_run(tmp_path / "x" / "c", epochs_done=0, error="loss = nan in epoch 1")
    assert run("status", tmp_path / "x", "--json", target) == 1
    (tmp_path / "x" / "c" / "config.json").write_text("{")
    assert run("status", tmp_path / "x") == 1 and ", 1 interrupted, 1 damaged" in capsys.readouterr().out
    target.write_text('{"format_version": 1, "name": "mine"}')
    assert run("status", tmp_path / "x", "--json", target) == 2


def search(folder: Path, finished: bool) -> None:
    tuning = Tuning("x", "nested", "random", "accuracy", 2, 3, 1.5, 0, "abc", {}, finished, ())
    (folder / "tuning").mkdir(parents=True, exist_ok=True)
    write_tuning(folder / "tuning", tuning, [])


def test_a_search_that_is_unfinished_has_no_total(tmp_path):
    """Later trials depend on the scores of earlier ones, so that 1 of 1 would read as the end."""
    search(tmp_path, finished=False)
    with pytest.raises(StatusError, match=r"no runs here; the search in .*tuning is unfinished: repeat its"):
        read_states(tmp_path)
    write_run(tmp_path / "tuning" / "a", epochs_done=8, finished=True)
    write_run(tmp_path / "tuning" / "b", epochs_done=3, age=3600)
    limits = "3 trials for each variant and fold, 1.5 minutes; 2 inner folds"
    line = f"{tmp_path / 'tuning'}: search unfinished ({limits}): 1 run finished, 1 interrupted"
    assert summary_lines(read_states(tmp_path)) == [line]
    search(tmp_path, finished=True)
    assert summary_lines(read_states(tmp_path)) == [f"{tmp_path / 'tuning'}: 1 of 2 runs finished, 1 interrupted"]
    (tmp_path / "tuning" / "tuning.json").write_text("{")
    (line,) = summary_lines(read_states(tmp_path))
    assert "search unfinished (search " in line and "run `earmark tune` again" in line


def test_time_left_is_estimated_from_finished_runs(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    assert remaining_time(folders) == "3 runs to do; no estimate before the first one is finished"
    write_run(folders[0], epochs_done=8, finished=True)
    assert remaining_time(folders) == "2 runs to do, about 4 min one after the other"
    assert remaining_time(folders[:1]) == "all runs are finished"


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(StatusError, match="no runs here"):
        read_states(tmp_path)
    write_run(tmp_path / "own-optimism" / "a", epochs_done=1)
    with pytest.raises(StatusError, match="no runs here; did you mean 'own-optimism'"):
        read_states(tmp_path / "own")


def test_durations_are_as_people_say_them():
    assert [format_duration(s) for s in (5, 89, 90, 600, 5400, 9000)] == [
        "5 s",
        "89 s",
        "2 min",
        "10 min",
        "1.5 h",
        "2.5 h",
    ]


def test_a_retry_is_not_reported_as_failed(tmp_path):
    """Whoever holds the run folder, also the driver of Ray, clears the failure of the earlier attempt."""
    folder = write_run(tmp_path / "a", epochs_done=1, error="loss = nan in epoch 1")
    with locked(folder):
        assert [state.state for state in read_states(tmp_path)] == ["training"]


def test_what_is_planned_and_not_started_waits(small_suite, tmp_path):
    options = Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu")
    plan = plan_suite(small_suite, options)
    folder = plan.runs[0].folder.parent
    runs = [{"id": r.id, "variant": r.config.variant, "fold": r.config.fold, "seed": r.config.seed} for r in plan.runs]
    entry = {"time": "", "n_results": 0, "metric": "accuracy", "baseline": "", "shared": {"train.epochs": 2}}
    entry |= {"variants": {"plain": {}, "dropped": {}}, "runs": runs}
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"format_version": 1, "entries": [entry]}))
    write_run(plan.runs[0].folder, epochs_done=8, finished=True)
    write_run(plan.runs[1].folder, epochs_done=1, age=3600)
    states = read_states(tmp_path / "runs")
    assert sorted(state.state for state in states) == ["finished", "interrupted", "waiting", "waiting"]
    assert {state.epochs for state in states if state.state == "waiting"} == {2}
    assert summary_lines(states) == [f"{folder}: 1 of 4 runs finished, 2 waiting, 1 interrupted"]


def test_suites_are_counted_apart_and_a_damaged_run_is_one_line(tmp_path):
    write_run(tmp_path / "one" / "a", epochs_done=8, finished=True)
    (write_run(tmp_path / "two" / "b", epochs_done=8) / "config.json").write_text("{")
    states = read_states(tmp_path)
    assert "config.json is not JSON" in state_line(states[1])
    assert summary_lines(states) == [
        f"{tmp_path / 'one'}: 1 of 1 run finished",
        f"{tmp_path / 'two'}: 0 of 1 run finished, 1 damaged",
    ]


def test_a_file_that_vanishes_meanwhile_is_no_failure(tmp_path):
    folder = write_suite(tmp_path, {"none": 1.0}, 1, (1,), finished=False)
    (run,) = folder.iterdir()
    (run / "gone").symlink_to("nowhere")  # listed, but there is nothing to look at
    (state,) = read_states(folder)
    assert state.state == "training"
