"""What a suite planned before it trained: plan.json in its folder, with its history.

Each entry says what was planned at one time and how many results existed then. As long as there is no result, a new
plan replaces the one before; later entries add runs, and are named in every table and report.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import write_json
from earmark.runtime.schema import SchemaError, read_json

FILE = "plan.json"
FORMAT_VERSION = 1
RUN = {"id": str, "variant": str, "fold": int, "seed": int}
ENTRY = {
    "time": str,
    "n_results": int,
    "metric": str,
    "baseline": str,
    "shared": dict,
    "variants": {str: dict},
    "runs": [RUN],
}
SCHEMA = {"format_version": int, "entries": [ENTRY]}


class PlanError(EarmarkError):
    """A plan.json that cannot be read."""


class RunKey(NamedTuple):
    """What a run is in a comparison."""

    variant: str
    fold: int
    seed: int


@dataclass(frozen=True)
class PlanEntry:
    """What was planned at one time."""

    time: str
    """UTC, ISO 8601."""
    n_results: int
    """Runs of the suite that had been scored then."""
    metric: str
    baseline: str
    """Empty: all pairs of variants are compared."""
    shared: dict[str, Any]
    """Settings that all variants share, as `section.key`."""
    variants: dict[str, dict[str, Any]]
    """The other settings of each variant."""
    runs: dict[str, RunKey]
    """By run id; after the first results, those alone that were added."""

    def settings(self, variant: str) -> dict[str, Any]:
        """All settings of a variant."""
        return self.shared | self.variants[variant]


@dataclass(frozen=True)
class DeclaredPlan:
    """A plan with its history."""

    first: PlanEntry
    """The plan before the first result."""
    later: tuple[PlanEntry, ...]
    """What was planned when results existed."""

    @property
    def runs(self) -> dict[str, RunKey]:
        """All planned runs, by id."""
        return {run: place for entry in (self.first, *self.later) for run, place in entry.runs.items()}

    @property
    def last(self) -> PlanEntry:
        return (self.first, *self.later)[-1]


def read_plan(folder: Path) -> DeclaredPlan | None:
    """The plan of the suite in a folder; None where there is none.

    Raises:
        PlanError: plan.json cannot be used.
    """
    entries = _read_entries(folder / FILE)
    if not entries:
        return None
    start = max((i for i, entry in enumerate(entries) if entry.n_results == 0), default=0)
    return DeclaredPlan(entries[start], tuple(entries[start + 1 :]))


def _read_entries(path: Path) -> list[PlanEntry]:
    if not path.is_file():
        return []
    try:
        content = read_json(path, SCHEMA)
    except SchemaError as error:
        raise PlanError(f"plan {path}: {error}; restore the file or move it away") from None
    if content["format_version"] != FORMAT_VERSION:
        raise PlanError(
            f"plan {path}: format_version = {content['format_version']}, and this version of earmark reads "
            f"{FORMAT_VERSION}; use the version that wrote it"
        )
    return [_entry(entry) for entry in content["entries"]]


def _entry(content: dict[str, Any]) -> PlanEntry:
    runs = {run["id"]: RunKey(run["variant"], run["fold"], run["seed"]) for run in content["runs"]}
    return PlanEntry(**{f.name: content[f.name] for f in dataclasses.fields(PlanEntry)} | {"runs": runs})


def extend_plan(folder: Path, entry: PlanEntry) -> None:
    """Add what is new in an entry to the plan of a suite; writes nothing where nothing is new.

    Args:
        folder: that of the suite; it is created.
        entry: all runs that the suite is to have now.

    Raises:
        PlanError: plan.json cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{FILE}.lock"):
        entries, known = _read_entries(folder / FILE), read_plan(folder)
        if known is not None:
            new = {run: place for run, place in entry.runs.items() if run not in known.runs}
            narrower = entry.n_results == 0 and len(entry.runs) < len(known.runs)
            choices_kept = (entry.metric, entry.baseline) == (known.last.metric, known.last.baseline)
            if choices_kept and not new and not narrower:
                return
            if entry.n_results > 0:
                entry = dataclasses.replace(entry, runs=new)
        _write(folder / FILE, [*entries, entry])


def _write(path: Path, entries: Sequence[PlanEntry]) -> None:
    content = [
        {
            **dataclasses.asdict(entry),
            "runs": [{"id": run, **place._asdict()} for run, place in entry.runs.items()],
        }
        for entry in entries
    ]
    write_json(path, {"format_version": FORMAT_VERSION, "entries": content})
