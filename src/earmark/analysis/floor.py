"""The references of a suite, read from its folder: what is scored without a network, and which variants beat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from earmark.analysis.compare import joint_model
from earmark.analysis.metrics import accuracy, unweighted_average_recall
from earmark.analysis.records import RunError, RunRecord, confusion_of
from earmark.runtime.schema import SchemaError, read_json, read_table

FLOOR_CSV, FLOOR_JSON = "floor.csv", "floor.json"
REFERENCES = {
    "majority": "most frequent class",
    "band_statistics": "band statistics",
    "shortcuts": "shortcuts",
}
"""Column of floor.csv, and its name in tables."""
REFERENCE_LEGEND = (
    "References need no network and are not ranked. Most frequent class: of the training subset. Band statistics: "
    "logistic regression on mean and standard deviation of each mel bin of the images. Shortcuts: a decision tree on "
    "length, level and codec of the files."
)
Labels = Mapping[tuple[int, str], str]
"""By fold and clip id."""


@dataclass(frozen=True)
class Reference:
    """One reference, scored on the clips of all folds together."""

    name: str
    accuracy: float
    uar: float

    def score(self, metric: str) -> float:
        """`accuracy` or `uar`."""
        return self.accuracy if metric == "accuracy" else self.uar


@dataclass(frozen=True)
class FloorCheck:
    """A variant minus the best reference, on the metric of the verdicts."""

    variant: str
    reference: str
    difference: float
    low: float | None
    """95 % interval, for all variants together; None with too few groups of clips."""
    high: float | None

    @property
    def beaten(self) -> bool | None:
        """Whether the variant is better than the reference; None where this cannot be decided."""
        if self.low is None:
            return None if self.difference > 0 else False
        return self.low > 0

    @property
    def worse(self) -> bool:
        """Whether the variant is worse than the reference."""
        return self.high is not None and self.high < 0


@dataclass(frozen=True)
class Floor:
    """The references under a comparison; without any where no folder has the predictions of all its clips."""

    references: tuple[Reference, ...] = ()
    checks: tuple[FloorCheck, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why a reference is missing, by its name."""

    @property
    def unbeaten(self) -> bool:
        """Whether no variant is shown to beat the best reference."""
        return bool(self.checks) and all(check.beaten is False for check in self.checks)

    def best(self, metric: str) -> Reference | None:
        """The reference with the highest score."""
        return max(self.references, key=lambda r: r.score(metric), default=None)

    def highest(self, metric: str) -> float:
        """Its score; -1 without references."""
        return max((reference.score(metric) for reference in self.references), default=-1.0)


def find_floor(by_variant: Mapping[str, Sequence[RunRecord]], metric: str) -> Floor:
    """The references of the folder whose best one is highest, and which variants beat that one.

    Folders of the same clips may differ in their images, and so in what is scored without a network.

    Args:
        by_variant: the runs; seeds need not be shared, and a run must not stand for several.
        metric: `accuracy` or `uar`.

    Raises:
        RunError: a floor.csv cannot be read.
    """
    records = [run for runs in by_variant.values() for run in runs]
    by_fold = {run.config.fold: run for run in records}
    floors = [_floor_of(folder, by_fold) for folder in sorted({run.folder.parent for run in records})]
    floor, labels = max(floors, key=lambda found: found[0].highest(metric))
    best = floor.best(metric)
    return replace(floor, checks=_checks(by_variant, best.name, labels[best.name], metric)) if best else Floor()


def _floor_of(folder: Path, by_fold: Mapping[int, RunRecord]) -> tuple[Floor, dict[str, Labels]]:
    """The references of a folder that predict all clips, unchecked, and their predictions."""
    labels, missing = _read_floor(folder)
    found = {REFERENCES[n]: p for n, p in labels.items() if all(_covers(p, run) for run in by_fold.values())}
    return Floor(tuple(_score(name, p, by_fold) for name, p in found.items()), (), missing), found


def _read_floor(folder: Path) -> tuple[dict[str, Labels], dict[str, str]]:
    """The predictions of each reference, and why others are missing."""
    if not (folder / FLOOR_CSV).is_file():
        return {}, {}
    try:
        missing = read_json(folder / FLOOR_JSON, {"missing": {str: str}})["missing"]
        rows = read_table(folder / FLOOR_CSV, ("fold", "clip_id", *REFERENCES))
        labels: dict[str, Labels] = {
            name: {(int(row["fold"]), row["clip_id"]): row[name] for row in rows if row[name]} for name in REFERENCES
        }
    except (SchemaError, ValueError) as error:
        raise RunError(
            f"{folder / FLOOR_CSV}: cannot be read ({error}); delete it, `earmark floor` writes it again"
        ) from None
    return labels, missing


def _covers(labels: Labels, run: RunRecord) -> bool:
    """Whether there is a usable prediction of every reported clip."""
    return all(labels.get((run.config.fold, clip_id)) in run.class_names for clip_id in run.clip_ids)


def _predictions(labels: Labels, run: RunRecord) -> np.ndarray:
    """(N,) what a reference predicts for the clips of a run."""
    return np.array([run.class_names.index(labels[run.config.fold, clip_id]) for clip_id in run.clip_ids])


def _score(name: str, labels: Labels, by_fold: Mapping[int, RunRecord]) -> Reference:
    runs = [replace(run, predictions=_predictions(labels, run)) for run in by_fold.values()]
    matrix = np.sum([confusion_of(run) for run in runs], axis=0)
    return Reference(name, accuracy(matrix), unweighted_average_recall(matrix))


def _checks(
    by_variant: Mapping[str, Sequence[RunRecord]], name: str, labels: Labels, metric: str
) -> tuple[FloorCheck, ...]:
    """Each variant against a reference, which predicts the same with every seed."""
    seeds = {run.fold_seed: run for runs in by_variant.values() for run in runs}
    key = f"reference_{name.replace(' ', '_')}"
    reference = [
        replace(r, config=replace(r.config, variant=key), predictions=_predictions(labels, r)) for r in seeds.values()
    ]
    model = joint_model({**by_variant, key: reference}, metric)
    verdicts = {v.variant: v for v in model.compare([(variant, key) for variant in by_variant])}
    checks = []
    for variant in by_variant:
        verdict = verdicts.get(variant)
        difference = model.runs.mean(model.runs.difference(variant, key)) if verdict is None else verdict.difference
        low, high = (None, None) if verdict is None else map(float, verdict.interval)
        checks.append(FloorCheck(variant, name, float(difference), low, high))
    return tuple(checks)
