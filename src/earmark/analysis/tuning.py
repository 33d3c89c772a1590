"""What a search has done: tuning.json and trials.csv in the folder `tuning` of its suite.

tuning.json says what was searched and what was chosen for each fold; trials.csv has a row per trial and number of
epochs. docs/tuning.md describes both.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import write_csv, write_json
from earmark.runtime.schema import SchemaError, check_schema, parse_json, read_json, read_table

FOLDER, FILE, TRIALS = "tuning", "tuning.json", "trials.csv"
CONFIG = "tuned.toml"
"""The config with the chosen settings, in the folder of the suite."""
FORMAT_VERSION = 1
ONCE = 0
"""The fold of a choice that all folds share."""


class TuningError(EarmarkError):
    """Files of a search that cannot be used."""


class DamagedTuningError(TuningError):
    """Files of a search that are damaged, and that the search writes again."""


@dataclass(frozen=True)
class TrialRow:
    """One trial, trained for some epochs and scored over the inner folds."""

    variant: str
    """Name of the variant in the config that was tuned."""
    fold: int
    """The fold in whose training subset it was scored; 0 for mode `once`."""
    trial: int
    """0 is the config as it is."""
    epochs: int
    score: float | None
    """The metric over all inner folds; None for a trial that failed."""
    nll: float | None
    """Log-loss."""
    seconds: float
    """Of training, all inner folds together."""
    failure: str
    settings: dict[str, Any]
    """What was searched, by name."""


@dataclass(frozen=True)
class Choice:
    """What was chosen for one variant and fold, and how much the choice was worth on the inner folds."""

    variant: str
    fold: int
    n_clips: int
    """Clips that the search could read."""
    n_groups: int
    n_trials: int
    """Trials that were trained for all epochs."""
    trial: int
    """The winner."""
    epochs: int
    settings: dict[str, Any]
    score: float
    default: float | None
    """Score of trial 0, the config as it is; None where it failed."""
    median: float
    """Of all trials with all epochs."""
    corrected: float | None
    """The winner's score on groups that did not choose it; None with too few groups to say."""


@dataclass(frozen=True)
class Tuning:
    """A search as it was declared, and what it has chosen so far."""

    suite: str
    """Name of the suite that trains the choices."""
    mode: str
    strategy: str
    metric: str
    inner_folds: int
    trials: int
    minutes: float
    seed: int
    search: str
    """Digest of the search."""
    space: dict[str, str]
    """By setting, its choices or its range in words."""
    finished: bool
    choices: tuple[Choice, ...]


CHOICE = {
    "variant": str,
    "fold": int,
    "n_clips": int,
    "n_groups": int,
    "n_trials": int,
    "trial": int,
    "epochs": int,
    "settings": dict,
    "score": float,
    "default": float | None,
    "median": float,
    "corrected": float | None,
}
SCHEMA = {
    "format_version": int,
    "suite": str,
    "mode": str,
    "strategy": str,
    "metric": str,
    "inner_folds": int,
    "trials": int,
    "minutes": float,
    "seed": int,
    "search": str,
    "space": {str: str},
    "finished": bool,
    "choices": [CHOICE],
}
WORDS = {"mode": ("nested", "once"), "strategy": ("random", "halving", "tpe"), "metric": ("accuracy", "uar")}
"""What some settings of a search may be."""
COLUMNS = tuple(f.name for f in dataclasses.fields(TrialRow))
REMEDY = "run `earmark tune` again, which writes it from its trials"


def write_tuning(folder: Path, tuning: Tuning, rows: list[TrialRow]) -> None:
    """Write both files into the folder `tuning` of a suite."""
    cells = [[_cell(getattr(row, name)) for name in COLUMNS] for row in rows]
    write_csv(folder / TRIALS, [COLUMNS, *cells])
    write_json(folder / FILE, {"format_version": FORMAT_VERSION, **dataclasses.asdict(tuning)})


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)


def read_tuning(folder: Path) -> Tuning | None:
    """The search of a suite; None where there was none.

    Args:
        folder: that of the suite.

    Raises:
        TuningError: tuning.json cannot be used.
    """
    path = folder / FOLDER / FILE
    if not path.is_file():
        return None
    try:
        content = read_json(path, SCHEMA)
    except SchemaError as error:
        raise DamagedTuningError(f"search {path}: {error}; {REMEDY}") from None
    if content.pop("format_version") != FORMAT_VERSION:
        raise TuningError(f"search {path}: was written by another version of earmark; use that one")
    unknown = [f"{name} = {content[name]!r}" for name, words in WORDS.items() if content[name] not in words]
    if unknown or any(content["space"].keys() - choice["settings"].keys() for choice in content["choices"]):
        raise DamagedTuningError(
            f"search {path}: {unknown[0] if unknown else 'a choice lacks a searched setting'}; {REMEDY}"
        )
    known = {f.name for f in dataclasses.fields(Choice)}
    choices = [Choice(**{k: v for k, v in c.items() if k in known}) for c in content["choices"]]
    fields = {f.name: content[f.name] for f in dataclasses.fields(Tuning)}
    return Tuning(**fields | {"choices": tuple(choices)})


def what_trains(folder: Path) -> str:
    """How a message ends that a folder has no results: the command that comes next, also after a search."""
    found = [*folder.glob(f"{FOLDER}/{FILE}"), *sorted(folder.glob(f"*/{FOLDER}/{FILE}"))]
    if not found:
        return "`earmark suite` trains runs and finishes them"
    suite = found[0].parent.parent
    try:
        search = read_tuning(suite)
    except DamagedTuningError:
        search = None
    if search and search.finished and (suite / CONFIG).is_file():
        return f"the choices of its search are not trained yet: `earmark suite {suite / CONFIG}`"
    return f"the search in {suite / FOLDER} is unfinished: repeat its `earmark tune`"


def read_trials(folder: Path) -> list[TrialRow]:
    """All trials of the search of a suite.

    Raises:
        TuningError: trials.csv cannot be used.
    """
    path = folder / FOLDER / TRIALS
    try:
        return [_trial(row) for row in read_table(path, COLUMNS)]
    except (SchemaError, ValueError) as error:
        raise DamagedTuningError(f"search {path}: {error}; {REMEDY}") from None


def _trial(row: dict[str, str]) -> TrialRow:
    settings = parse_json(row["settings"], TRIALS)
    check_schema(settings, dict, TRIALS)
    return TrialRow(
        variant=row["variant"],
        fold=int(row["fold"]),
        trial=int(row["trial"]),
        epochs=int(row["epochs"]),
        score=_number(row["score"]) if row["score"] else None,
        nll=_number(row["nll"]) if row["nll"] else None,
        seconds=float(row["seconds"]),
        failure=row["failure"],
        settings=settings,
    )


def _number(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text!r} is not a finite number")
    return float(text)
