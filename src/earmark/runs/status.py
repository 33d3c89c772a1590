"""The progress of suites, read from their plans and run folders, so that it can be asked for from anywhere."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.analysis.plan_file import FILE, DeclaredPlan, RunKey, read_plan
from earmark.analysis.tuning import FOLDER, TuningError, read_tuning, what_trains
from earmark.runs.failures import recorded_reason
from earmark.runtime.console import format_duration, pluralize
from earmark.runtime.errors import EarmarkError, did_you_mean
from earmark.runtime.files import is_abandoned, is_locked
from earmark.runtime.names import id_of, run_name
from earmark.runtime.schema import SchemaError, read_json, read_table

FORMAT_VERSION = 1
"""Of the JSON of `earmark status`."""
STATES = ("finished", "training", "waiting", "interrupted", "failed", "damaged")
SHOWN = {"accuracy": "accuracy", "uar": "UAR"}
ALIVE_SECONDS = 60.0
"""A run of another machine, whose lock says nothing here, counts as training if it has written a file within this time
plus that of three epochs."""


class StatusError(EarmarkError):
    """There is nothing to report on."""


@dataclass(frozen=True)
class RunState:
    """One run folder at a glance."""

    folder: Path
    state: str
    """`finished`, `training`, `waiting`, `interrupted`, `failed` or `damaged`."""
    epoch: int
    epochs: int
    """0 for a run without epochs: a probe, or imported predictions."""
    detail: str = ""
    """The metric of the plan (else accuracy) of a finished run, the error of a failed one, the time since the last
    update of the others."""


def read_states(runs: Path) -> list[RunState]:
    """The state of every run below a folder, started or only planned, in the order of the folder names.

    Raises:
        StatusError: there is no run.
        PlanError: the plan of a suite cannot be used.
    """
    folders = {path.parent for path in runs.rglob("config.json")}
    suites = {path.parent for path in (*folders, *runs.rglob(FILE))}
    plans = {suite: read_plan(suite) for suite in sorted(suites)}
    states = [_read_state(folder, plans[folder.parent]) for folder in sorted(folders)]
    below = {suite: plan for suite, plan in plans.items() if plan and suite.is_relative_to(runs)}  # not: a run itself
    states += [state for suite, plan in below.items() for state in _waiting(suite, plan, folders)]
    if not states:
        beside = [] if runs.exists() else [path.name for path in runs.parent.glob("*") if path.is_dir()]
        raise StatusError(f"{runs}: no runs here{did_you_mean(runs.name, beside) or f'; {what_trains(runs)}'}")
    return sorted(states, key=lambda state: state.folder)


def _waiting(suite: Path, plan: DeclaredPlan, started: Iterable[Path]) -> list[RunState]:
    """The runs of a suite that its plan lists and that have no folder yet."""
    ids = {id_of(folder) for folder in started if folder.parent == suite}
    return [
        RunState(suite / run_name(p.variant, p.fold, p.seed, run), "waiting", 0, epochs_of(plan, p))
        for run, p in plan.runs.items()
        if run not in ids
    ]


def epochs_of(plan: DeclaredPlan, place: RunKey) -> int:
    """The epochs that a planned run will train; 0 where the plan does not say."""
    entry = next((e for e in (plan.first, *plan.later) if place.variant in e.variants), plan.first)
    settings = entry.shared | entry.variants.get(place.variant, {})
    epochs = 0 if settings.get("train.keep_steps") else settings.get("train.epochs", 0)
    return epochs if isinstance(epochs, int) else 0


def summary_lines(states: Sequence[RunState]) -> list[str]:
    """For each suite, how many of its runs are in which state."""
    suites: dict[Path, list[RunState]] = {}
    for state in states:
        suites.setdefault(state.folder.parent, []).append(state)
    return [f"{suite}: {_counts(suite, members)}" for suite, members in suites.items()]


def _counts(suite: Path, states: Sequence[RunState]) -> str:
    count = Counter(state.state for state in states)
    others = [f"{n} {name}" for name in STATES[1:] if (n := count[name])]
    limits = _unfinished_search(suite) if suite.name == FOLDER else ""
    if limits:  # how many runs it will have depends on their scores
        return ", ".join([f"{limits}: {pluralize(count['finished'], 'run')} finished", *others])
    return ", ".join([f"{count['finished']} of {pluralize(len(states), 'run')} finished", *others])


def _unfinished_search(folder: Path) -> str:
    """That the search whose trials are in a folder is unfinished, and its limits; empty where it is finished."""
    try:
        search = read_tuning(folder.parent)
    except TuningError as error:
        return f"search unfinished ({error})"
    if search is None or search.finished:
        return ""
    minutes = f", {search.minutes:g} minutes" if search.minutes else ""
    trials = f"{pluralize(search.trials, 'trial')} for each variant and fold{minutes}"
    return f"search unfinished ({trials}; {search.inner_folds} inner folds)"


def states_json(states: Sequence[RunState]) -> dict[str, Any]:
    """The states as plain data, for programs."""
    runs = [dataclasses.asdict(state) | {"folder": state.folder.as_posix()} for state in states]
    return {"format_version": FORMAT_VERSION, "runs": runs}


def _read_state(folder: Path, plan: DeclaredPlan | None) -> RunState:
    try:
        return _state(folder, "uar" if plan and plan.last.metric == "uar" else "accuracy")
    except SchemaError as error:
        return RunState(folder, "damaged", 0, 0, f"{error}; remove the folder and repeat the run")


def _state(folder: Path, metric: str) -> RunState:
    config = read_json(folder / "config.json", {"run": {"train": {"epochs": int}}})
    epochs, history = config.get("epochs", config["run"]["train"]["epochs"]), _read_history(folder)
    epoch = len(history)
    if (folder / "result.json").is_file():
        result = read_json(folder / "result.json", {"metrics": {metric: float}})
        epochs = 0 if result.get("imported") or "probe" in result else epochs
        score = f"{SHOWN[metric]} {100 * result['metrics'][metric]:.1f} %"
        return RunState(folder, "finished", (epoch or epochs) if epochs else 0, epochs, score)
    failure = recorded_reason(folder)
    if failure:
        return RunState(folder, "failed", epoch, epochs, failure)
    silent = max(time.time() - _last_change(folder), 0.0)
    patience = ALIVE_SECONDS + 3 * (history[-1] if history else 0.0)
    alive = not is_abandoned(folder) if silent < patience else is_locked(folder)
    state = "training" if alive else "interrupted"
    return RunState(folder, state, epoch, epochs, f"last update {format_duration(silent)} ago")


def _last_change(folder: Path) -> float:
    """When a file of the run, not its lock, was last written; one may vanish, as a log does when a run resumes."""
    newest = (folder / "config.json").stat().st_mtime
    for path in folder.iterdir():
        if path.suffix != ".tmp" and path.name != ".lock":  # to ask whether it is locked may write that
            with contextlib.suppress(FileNotFoundError):
                newest = max(newest, path.stat().st_mtime)
    return newest


def _read_history(folder: Path) -> list[float]:
    """Seconds of each epoch so far."""
    path = folder / "history.csv"
    if not path.is_file():
        return []
    try:
        return [float(row["seconds"]) for row in read_table(path, ("seconds",))]
    except ValueError as error:
        raise SchemaError(str(error)) from None


def state_line(state: RunState) -> str:
    """The line that `earmark status` prints."""
    epochs = f"{state.epoch:>3}/{state.epochs:<3}" if state.epochs else f"{'–':>4}{'':3}"
    return f"{state.state:<11} {epochs} {state.folder.name}  {state.detail}"


def remaining_time(folders: Sequence[Path]) -> str:
    """How long the unfinished runs will take one after the other, estimated from the finished ones."""
    missing = [folder for folder in folders if not (folder / "result.json").is_file()]
    timings = [folder / "timing.json" for folder in folders if folder not in missing]
    seconds = [read_json(path, {"train_seconds": float})["train_seconds"] for path in timings if path.is_file()]
    if not missing:
        return "all runs are finished"
    if not seconds:
        return f"{pluralize(len(missing), 'run')} to do; no estimate before the first one is finished"
    mean = sum(seconds) / len(seconds)
    return f"{pluralize(len(missing), 'run')} to do, about {format_duration(mean * len(missing))} one after the other"


def time_left(seconds_each: float, n_left: int) -> str:
    """The end of the line that reports a finished run: the estimated time for the runs that are left."""
    return f", about {format_duration(seconds_each * n_left)} left" if n_left else ""
