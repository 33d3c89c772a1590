"""Predictions of any tool as finished runs, judged beside the runs that earmark trained.

`read_table` reads a CSV or a pandas DataFrame, `import_predictions` checks it against the manifest and writes the run
folders. Nothing is trained. A run whose test clips are incomplete, duplicated or unknown is refused by name.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from earmark.datasets.manifest import Clip, class_names
from earmark.runtime.console import format_names, pluralize
from earmark.runtime.errors import EarmarkError, suggest
from earmark.splits.io import clip_of_file
from earmark.splits.split import Split, check_split, find_leaks, waived_groups

PROBABILITY = "prob:"
"""Prefix of a column of class probabilities."""
SUM_TOLERANCE = 1e-2
"""Written probabilities are rounded: a row may miss a sum of 1 by this much, and is normalized."""
SelectedOn = Literal["none", "valid", "unknown"]


class PredictionTableError(EarmarkError):
    """A table of predictions that cannot be imported; the message names the row or the clips, and the remedy."""


@dataclass(frozen=True, eq=False)
class PredictedRun:
    """The predictions of one variant, fold and seed."""

    variant: str
    fold: int
    seed: int
    clip_ids: tuple[str, ...]
    labels: tuple[str, ...]
    """The predicted label of each clip."""
    probs_NK: np.ndarray | None
    """float64 (N, K) over the sorted class names; None where the table has labels only."""


@dataclass(frozen=True)
class _Row:
    line: int
    clip_id: str
    label: str
    probs: tuple[float, ...]


def read_table(
    source: Any, clips: Sequence[Clip], variant: str, fold: int | None = None, seed: int | None = None
) -> list[PredictedRun]:
    """Read the runs in a table of predictions.

    Columns: `clip_id` or `path`; `prob:<class>` for every class, or `prediction`; and, unless given as arguments,
    `variant`, `fold` and `seed`.

    Args:
        source: path of a CSV file, or a pandas DataFrame.
        clips: the manifest, which knows the classes.
        variant: name of the variant where the table has no column `variant`.
        fold: fold of all rows; None takes the column `fold`, or else the published fold of each clip.
        seed: seed of all rows; None takes the column `seed`, or else 0.

    Raises:
        PredictionTableError: a column, a clip, a class or a number is missing or cannot be used.
    """
    where, rows = _rows(source)
    names = class_names(clips)
    columns = _check_columns(where, rows[0].keys(), names)
    by_id = {clip.clip_id: clip for clip in clips}
    runs: dict[tuple[str, int, int], list[_Row]] = defaultdict(list)
    for line, row in enumerate(rows, start=2):
        clip = _clip_of(row, by_id, f"{where}, line {line}")
        probs = _probs(row, columns, f"{where}, line {line}") if columns else ()
        label = names[int(np.argmax(probs))] if columns else _label(row, names, f"{where}, line {line}")
        key = (
            str(row.get("variant") or variant),
            _fold(row, clip, fold, f"{where}, line {line}"),
            _whole(row.get("seed") or 0, "seed", f"{where}, line {line}") if seed is None else seed,
        )
        runs[key].append(_Row(line, clip.clip_id, label, probs))
    return [_run(key, run, where) for key, run in sorted(runs.items())]


def _rows(source: Any) -> tuple[str, list[dict[str, Any]]]:
    """The name of a table and its rows as dicts."""
    if hasattr(source, "to_dict") and hasattr(source, "columns"):
        where, rows = "predictions (DataFrame)", source.to_dict("records")
    else:
        where = f"predictions {source}"
        try:
            with Path(source).open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise PredictionTableError(f"{where}: cannot be read ({reason}); give a CSV file in UTF-8") from None
    if not rows:
        raise PredictionTableError(f"{where}: has no rows; write one row per clip")
    return where, rows


def _check_columns(where: str, columns: Iterable[Any], names: Sequence[str]) -> list[str]:
    """The probability columns in the order of the classes; empty where the table has predicted labels only."""
    columns = [str(column) for column in columns]
    if "clip_id" not in columns and "path" not in columns:
        raise PredictionTableError(f"{where}: has neither a column 'clip_id' nor 'path'; add one")
    given = [column.removeprefix(PROBABILITY) for column in columns if column.startswith(PROBABILITY)]
    for name in given:
        if name not in names:
            raise PredictionTableError(f"{where}: column {PROBABILITY + name!r} is no class{suggest(name, names)}")
    missing = [name for name in names if name not in given]
    if given and missing:
        raise PredictionTableError(
            f"{where}: no column for class {format_names(missing)}; give {PROBABILITY}<class> for each class"
        )
    if not given and "prediction" not in columns:
        raise PredictionTableError(f"{where}: give a column {PROBABILITY}<class> for each class, or 'prediction'")
    return [PROBABILITY + name for name in names] if given else []


def _clip_of(row: Mapping[str, Any], by_id: Mapping[str, Clip], where: str) -> Clip:
    name = str(row.get("clip_id") or row.get("path") or "")
    clip_id = name if name in by_id else clip_of_file(name, by_id)
    if clip_id is None:
        raise PredictionTableError(f"{where}: {name!r} is no clip of the manifest{suggest(name, list(by_id)[:10_000])}")
    label = str(row.get("label") or by_id[clip_id].label)
    if label != by_id[clip_id].label:
        raise PredictionTableError(
            f"{where}: {clip_id} has label {label!r}, but {by_id[clip_id].label!r} in the manifest; correct one"
        )
    return by_id[clip_id]


def _probs(row: Mapping[str, Any], columns: Sequence[str], where: str) -> tuple[float, ...]:
    try:
        probs = np.array([float(row[column]) for column in columns])
    except (TypeError, ValueError):
        raise PredictionTableError(f"{where}: a probability is no number; give one for every class") from None
    if not np.isfinite(probs).all() or probs.min() < 0 or abs(probs.sum() - 1) > SUM_TOLERANCE:
        raise PredictionTableError(
            f"{where}: probabilities sum to {probs.sum():.4g}; give values from 0 to 1 that sum to 1 (softmax of logits)"
        )
    return tuple((probs / probs.sum()).tolist())


def _label(row: Mapping[str, Any], names: Sequence[str], where: str) -> str:
    label = str(row.get("prediction") or "")
    if label not in names:
        raise PredictionTableError(f"{where}: prediction {label!r} is no class{suggest(label, names)}")
    return label


def _fold(row: Mapping[str, Any], clip: Clip, fold: int | None, where: str) -> int:
    if fold is not None:
        return fold
    if row.get("fold") not in (None, ""):
        return _whole(row["fold"], "fold", where)
    if clip.fold is None:
        raise PredictionTableError(f"{where}: no fold; add a column 'fold', or give --fold or --split")
    return clip.fold


def _whole(value: Any, name: str, where: str) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if number < 0 or number != int(number):
        raise PredictionTableError(f"{where}: {name} {value!r} is no whole number from 0; correct it")
    return int(number)


def _run(key: tuple[str, int, int], rows: Sequence[_Row], where: str) -> PredictedRun:
    variant, fold, seed = key
    twice = [clip_id for clip_id, n in Counter(row.clip_id for row in rows).items() if n > 1]
    if twice:
        raise PredictionTableError(
            f"{where}: {variant}, fold {fold}, seed {seed} has more than one row for {format_names(twice)}; keep one"
        )
    rows = sorted(rows, key=lambda row: row.clip_id)
    probs_NK = np.array([row.probs for row in rows]) if rows[0].probs else None
    clip_ids, labels = tuple(row.clip_id for row in rows), tuple(row.label for row in rows)
    return PredictedRun(variant, fold, seed, clip_ids, labels, probs_NK)


def splits_of(runs: Sequence[PredictedRun], clips: Sequence[Clip], split: Split | None, waiver: str) -> dict[int, Split]:
    """The split of every fold that the runs report, checked for leaks.

    Without a given split, a clip is tested in the fold of its row (the published fold, where the manifest has one) and
    trains in all other folds.

    Raises:
        PredictionTableError: a run lacks a test clip or has one too many; they are named.
        LeakageError: a group is in two folds.
    """
    splits = {run.fold: split for run in runs} if split else _splits_by_fold(runs, clips, waiver)
    for run in runs:
        expected = set(splits[run.fold].test)
        missing, extra = sorted(expected - set(run.clip_ids)), sorted(set(run.clip_ids) - expected)
        name = f"{run.variant}, fold {run.fold}, seed {run.seed}"
        if missing:
            raise PredictionTableError(
                f"{name}: {pluralize(len(missing), 'test clip')} without a prediction ({format_names(missing)}); "
                "every clip of the test subset needs one"
            )
        if extra:
            raise PredictionTableError(
                f"{name}: predicts {format_names(extra)}, not in its test subset; leave training clips out"
            )
    return splits


def _splits_by_fold(runs: Sequence[PredictedRun], clips: Sequence[Clip], waiver: str) -> dict[int, Split]:
    published = {clip.clip_id: clip.fold for clip in clips if clip.fold is not None}
    fold_of = dict(published)
    for run in runs:
        for clip_id in run.clip_ids:
            if fold_of.setdefault(clip_id, run.fold) != run.fold:
                raise PredictionTableError(
                    f"{run.variant}, seed {run.seed}: {clip_id} is predicted in fold {run.fold}, but belongs to fold "
                    f"{fold_of[clip_id]}; a clip is tested in one fold (give --split for a split of another kind)"
                )
    splits = {}
    for fold in sorted({run.fold for run in runs}):
        test = tuple(sorted(clip_id for clip_id, number in fold_of.items() if number == fold))
        train = tuple(sorted(clip.clip_id for clip in clips if clip.clip_id not in set(test)))
        made = Split(train, (), test, "folds" if published else "files", fold, waiver=waiver)
        made = replace(made, waived_groups=waived_groups(made, clips))
        check_split(made, clips)
        splits[fold] = made
    return splits


def import_predictions(
    runs: Sequence[PredictedRun],
    clips: Sequence[Clip],
    folder: Path,
    *,
    split: Split | None = None,
    waiver: str = "",
    selected_on: SelectedOn = "unknown",
    dataset: str = "manifest",
) -> list[Path]:
    """Write one finished run folder per run into `folder`; the last part of `folder` is the suite's name.

    Args:
        runs: what `read_table` returned, of any number of tables.
        clips: the manifest.
        split: of all runs, where they were not made by the folds of the table.
        waiver: name of a published exception to group-disjointness.
        selected_on: what the tool chose its epoch or hyperparameters on; `unknown` is marked in every table.
        dataset: the manifest's layout, which runs of one comparison share.

    Returns:
        The run folders.

    Raises:
        PredictionTableError: a run is incomplete.
        LeakageError: a group is both trained and tested.
    """
    splits = splits_of(runs, clips, split, waiver)
    return [_write_run(run, splits[run.fold], clips, folder, selected_on, dataset) for run in runs]


def _write_run(
    run: PredictedRun, split: Split, clips: Sequence[Clip], folder: Path, selected_on: str, dataset: str
) -> Path:
    """Write the files of a run, result.json last."""
    names = class_names(clips)
    by_id = {clip.clip_id: clip for clip in clips}
    tested = [by_id[clip_id] for clip_id in run.clip_ids]
    rows = _prediction_rows(run, tested, names)
    identity = digest(json.dumps([run.variant, run.fold, run.seed, rows]), 10)
    target = folder / f"{run.variant}-fold{run.fold}-seed{run.seed}-{identity}"
    target.mkdir(parents=True, exist_ok=True)
    config = replace(
        RunConfig(name=folder.name, variant=run.variant, fold=max(run.fold, 1), seed=run.seed),
        data=DataConfig(dataset=dataset),
        split=SplitConfig(kind=split.kind, waiver=split.waiver),
    )
    fingerprint = digest(json.dumps(sorted((c.clip_id, c.label, c.group) for c in clips)))
    content = {"id": identity, "run": to_dict(config), "class_names": names, "data_fingerprint": fingerprint}
    write_json(target / "config.json", {**content, "imported": True, "earmark": earmark.__version__})
    write_split(split, clips, target)
    write_csv(target / "predictions.csv", [prediction_columns(names), *rows])
    write_json(target / "result.json", {**_result(run, split, tested, names, selected_on), "id": identity})
    return target
