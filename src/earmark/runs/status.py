"""The progress of a suite, read from its run folders alone, so that it can be asked for from anywhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.runtime.console import format_duration, pluralize
from earmark.runtime.errors import EarmarkError
from earmark.runtime.schema import SchemaError, read_json, read_table

ALIVE_SECONDS = 60.0
"""A run counts as training if it has written a file within this time plus that of three epochs."""


class StatusError(EarmarkError):
    """There is nothing to report on."""


@dataclass(frozen=True)
class RunState:
    """One run folder at a glance."""

    folder: Path
    state: str
    """`finished`, `training`, `stopped`, `failed` or `damaged`."""
    epoch: int
    epochs: int
    """0 for a run without epochs: a probe, or imported predictions."""
    detail: str = ""
    """Accuracy of a finished run, the error of a failed one, the time since the last update of the others."""


def read_states(runs: Path) -> list[RunState]:
    """The state of every run below a folder, in the order of the folder names.

    Raises:
        StatusError: there is no run.
    """
    folders = sorted(path.parent for path in runs.rglob("config.json"))
    if not folders:
        raise StatusError(f"{runs}: no runs here; `earmark suite` trains them")
    return [_read_state(folder) for folder in folders]


def _read_state(folder: Path) -> RunState:
    try:
        return _state(folder)
    except SchemaError as error:
        return RunState(folder, "damaged", 0, 0, f"{error}; remove the folder and repeat the run")


def _state(folder: Path) -> RunState:
    config = read_json(folder / "config.json", {"run": {"train": {"epochs": int}}})
    epochs, history = config["run"]["train"]["epochs"], _read_history(folder)
    epoch = len(history)
    if (folder / "result.json").is_file():
        result = read_json(folder / "result.json", {"metrics": {"accuracy": float}})
        epochs = 0 if result.get("imported") or "probe" in result else epochs
        return RunState(folder, "finished", epochs, epochs, f"accuracy {result['metrics']['accuracy']:.3f}")
    if (folder / "error.txt").is_file():
        lines = (folder / "error.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return RunState(folder, "failed", epoch, epochs, lines[-1] if lines else "")
    newest = max(path.stat().st_mtime for path in folder.iterdir() if path.suffix != ".tmp")
    silent = max(time.time() - newest, 0.0)
    patience = ALIVE_SECONDS + 3 * (history[-1] if history else 0.0)
    state = "training" if silent < patience else "stopped"
    return RunState(folder, state, epoch, epochs, f"last update {format_duration(silent)} ago")


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
    return f"{state.state:<9} {epochs} {state.folder.name}  {state.detail}"


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
