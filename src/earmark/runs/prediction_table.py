"""Read and check a table of predictions that any tool has made."""

from __future__ import annotations

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark.analysis.predictions import PROBABILITY, probability_columns
from earmark.datasets.clip_finder import ClipFinder
from earmark.datasets.manifest import Clip, class_names
from earmark.datasets.rows import not_utf8, path_column, standard_columns
from earmark.runs.table_remedies import LAYOUTS, no_prediction, of_number, of_sum
from earmark.runtime.console import brief, format_names
from earmark.runtime.errors import EarmarkError, did_you_mean, suggest
from earmark.runtime.names import nfc
from earmark.runtime.schema import SchemaError, check_size, csv_reader, decimal_number

SUM_TOLERANCE = 1e-2
"""Written probabilities are rounded: a row may miss a sum of 1 by this much, and is normalized."""
MAX_SUM_ERROR = 0.2
"""The same for many classes that are rounded to two or three decimals."""
COLUMNS = ("clip_id", "label", "prediction", "variant", "fold", "seed")
"""Columns that may be written in capitals, too."""
MAX_TIE = 1e-6
"""Difference of two probabilities that are the same."""
MAX_SUGGESTED = 10_000
"""The nearest name is searched among at most this many clips."""


class PredictionTableError(EarmarkError):
    """A table of predictions that cannot be imported; the message names the row or the clips, and the remedy."""


@dataclass(frozen=True, eq=False)
class PredictedRun:
    """The predictions of one variant, fold and seed, sorted by clip id."""

    variant: str
    fold: int
    seed: int
    clip_ids: tuple[str, ...]
    predicted: np.ndarray
    """(N,) index of each predicted label among the class names."""
    probs: np.ndarray | None
    """float64 (N, K) over the class names; None where the table has labels only."""
    unanswered: tuple[str, ...] = ()
    """The clips that the tool gave no answer for, and that count as one class."""

    @property
    def name(self) -> str:
        """Which run it is, for messages."""
        return f"{self.variant}, fold {self.fold}, seed {self.seed}"


@dataclass(frozen=True)
class _Row:
    clip_id: str
    predicted: int
    probs: tuple[float, ...]
    answered: bool


def read_prediction_table(
    source: Any,
    clips: Sequence[Clip],
    variant: str = "",
    fold: int | None = None,
    seed: int | None = None,
    names: Sequence[str] = (),
    missing: str = "",
    unnamed: str = "",
) -> list[PredictedRun]:
    """Read the runs in a table of predictions.

    Columns, in any case: `clip_id` or `path` (or one of `file` and `filename`); `prob:<class>` for every class, or
    `prediction`; and, unless given as arguments, `variant`, `fold` and `seed`. A column `label` is compared with the
    manifest; a prediction beside probabilities must be the most probable class.

    Args:
        source: path of a CSV file, a pandas DataFrame, or a dict of columns, in which `probs` may stand for all
            probability columns: an array (N, K) over the sorted class names.
        clips: the manifest, which knows the classes.
        variant: name of all rows; empty takes the column `variant`, or else `unnamed`.
        fold: fold of all rows; None takes the column `fold`, or else the published fold of each clip.
        seed: seed of all rows; None takes the column `seed`, or else 0.
        names: the classes, sorted, where the clips are not of all of them.
        missing: the class that a row with an empty prediction counts as; without it such a row is refused.
        unnamed: name of the variant where neither argument nor column names it; empty takes that of the file.

    Raises:
        PredictionTableError: a column, a clip, a class or a number is missing or cannot be used.
    """
    names = tuple(names) or class_names(clips)
    unnamed = unnamed or (Path(source).stem if isinstance(source, str | Path) else "imported")
    where, rows = _rows(source, names)
    columns = _probability_columns(where, rows[0][1].keys(), names)
    _check_missing(missing, names, columns)
    _check_variant(variant, where, [row for _, row in rows])
    finder = ClipFinder(clips)
    runs: dict[tuple[str, int, int], list[_Row]] = defaultdict(list)
    clips_of = _find_clips(rows, finder, where)
    for (place, row), clip in zip(rows, clips_of, strict=True):
        at = f"{where}, {place}"
        probs = _probs(row, columns, at) if columns else ()
        answered = bool(columns) or not missing or bool(_text(row, "prediction"))
        predicted = _most_probable(row, names, probs, at) if columns else _class_index(row, names, at, missing)
        name = variant or _text(row, "variant") or unnamed
        seed_of_row = _whole(_value(row, "seed") or 0, "seed", at, 0) if seed is None else seed
        runs[name, _fold(row, clip, fold, at), seed_of_row].append(_Row(clip.clip_id, predicted, probs, answered))
    return [_run(key, run, where) for key, run in sorted(runs.items())]


def _rows(source: Any, names: Sequence[str]) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    """The name of a table, and its rows as dicts, each with where it is."""
    if hasattr(source, "to_dict") and hasattr(source, "columns"):
        where, rows = "predictions (DataFrame)", _numbered(source.to_dict("records"))
    elif isinstance(source, Mapping):
        where, rows = "predictions (columns)", _numbered(_rows_of_columns(source, names))
    elif isinstance(source, str | Path):
        where, rows = f"predictions {source}", _read_csv(Path(source))
    else:
        raise PredictionTableError(
            f"predictions: are of type {type(source).__name__}; give the path of a CSV file, a DataFrame or a dict of "
            "columns, such as {'clip_id': ids, 'probs': array of shape (N, K)}"
        )
    if not rows:
        raise PredictionTableError(f"{where}: has no rows; write one row per clip")
    columns = standard_columns((name for _, row in rows for name in map(str, row)), COLUMNS)
    path = path_column(columns)
    name_of = {column: "path" if column == path else nfc(known) for column, known in columns.items()}
    return where, [(place, {name_of[str(column)]: value for column, value in row.items()}) for place, row in rows]


def _numbered(rows: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"row {number}", row) for number, row in enumerate(rows, start=1)]


def _rows_of_columns(columns: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    content = {name: list(values) for name, values in columns.items() if name != "probs"}
    if "probs" in columns:
        probs_NK = np.asarray(columns["probs"], dtype=np.float64)
        if probs_NK.ndim != 2 or probs_NK.shape[1] != len(names):
            raise PredictionTableError(
                f"predictions (columns): probs has shape {probs_NK.shape}; give one row per clip and a column for "
                f"each of the {len(names)} classes in sorted order"
            )
        content |= dict(zip(probability_columns(names), probs_NK.T.tolist(), strict=True))
    lengths = {name: len(values) for name, values in content.items()}
    if len(set(lengths.values())) > 1:
        raise PredictionTableError(f"predictions (columns): different lengths {lengths}; give one value per clip")
    return [dict(zip(content, values, strict=True)) for values in zip(*content.values(), strict=True)]


def _read_csv(path: Path) -> list[tuple[str, dict[str, Any]]]:
    try:
        check_size(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv_reader(file)
            rows = [(f"line {reader.line_num}", row) for row in reader]
            header = Counter(map(nfc, reader.fieldnames or []))
    except UnicodeDecodeError as error:
        raise PredictionTableError(f"predictions {path}: {not_utf8(error)}") from None
    except (OSError, SchemaError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise PredictionTableError(f"predictions {path}: cannot be read ({reason}); give a CSV file in UTF-8") from None
    twice = [name for name, n in header.items() if n > 1]
    if twice:
        raise PredictionTableError(f"predictions {path}: has the column {twice[0]!r} twice; rename or delete one")
    for place, row in rows:
        if None in row:
            remedy = "put cells with commas in quotes"
            raise PredictionTableError(f"predictions {path}, {place}: more cells than columns; {remedy}")
    return rows


def _value(row: Mapping[str, Any], column: str) -> Any:
    """A cell; None where it is empty, missing or NaN."""
    value = row.get(column)
    empty = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
    return None if empty else value


def _text(row: Mapping[str, Any], column: str) -> str:
    """A cell as text with composed letters, the number 0 too; empty where it is empty, missing or NaN."""
    value = _value(row, column)
    return "" if value is None else nfc(str(value))


def _probability_columns(where: str, columns: Iterable[Any], names: Sequence[str]) -> list[str]:
    """The probability columns in the order of the classes; empty where the table has predicted labels only."""
    columns = [str(column) for column in columns]
    if "clip_id" not in columns and "path" not in columns:
        raise PredictionTableError(
            f"{where}: has neither a column 'clip_id' nor 'path' among {brief(', '.join(columns))}; {LAYOUTS}"
        )
    given = [column.removeprefix(PROBABILITY) for column in columns if column.startswith(PROBABILITY)]
    for name in given:
        if name not in names:
            remedy = of_number(name, names) or suggest(name, names)
            raise PredictionTableError(f"{where}: column {PROBABILITY + name!r} is not a class{remedy}")
    missing = [name for name in names if name not in given]
    if given and missing:
        raise PredictionTableError(
            f"{where}: no column for class {format_names(missing)}; give {PROBABILITY}<class> for each class"
        )
    if not given and "prediction" not in columns:
        raise PredictionTableError(f"{where}: {no_prediction(columns, names)}")
    return probability_columns(names) if given else []


def _check_missing(missing: str, names: Sequence[str], columns: Sequence[str]) -> None:
    if missing and nfc(missing) not in names:
        raise PredictionTableError(f"--missing {missing!r}: is not a class{suggest(missing, names)}")
    if missing and columns:
        raise PredictionTableError(
            f"--missing {missing!r}: is for predicted labels, and the table has probabilities; add a row for every clip"
        )


def _check_variant(variant: str, where: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse one name for the rows of several variants."""
    named = list(dict.fromkeys(name for row in rows if (name := _text(row, "variant"))))
    if variant and len(named) > 1:
        raise PredictionTableError(
            f"--variant {variant!r}: {where} has {len(named)} variants in its column ({format_names(named)}); leave "
            "the option out, or import a table of one variant"
        )


def _find_clips(rows: Sequence[tuple[str, Mapping[str, Any]]], finder: ClipFinder, where: str) -> list[Clip]:
    """The clip of each row; a row of another clip is refused with the number of such rows."""
    names = [_text(row, "clip_id") or _text(row, "path") for _, row in rows]
    found = [finder.find(name) for name in names]
    lost = [i for i, clip in enumerate(found) if clip is None]
    if lost:
        at, name = f"{where}, {rows[lost[0]][0]}", names[lost[0]]
        several = f", as {len(lost)} of {len(rows)} rows" if len(lost) > 1 else ""
        close = did_you_mean(name, list(finder.by_id)[:MAX_SUGGESTED]) if len(lost) in (1, len(rows)) else ""
        remedy = close or "; give ids or paths of the manifest, and leave out rows of other clips"
        raise PredictionTableError(f"{at}: {name!r} is not a clip of the manifest{several}{remedy}")
    known = [clip for clip in found if clip is not None]
    for (place, row), clip in zip(rows, known, strict=True):
        label = _text(row, "label") or clip.label
        if label != clip.label:
            raise PredictionTableError(
                f"{where}, {place}: {clip.clip_id} has label {label!r}, but {clip.label!r} in the manifest; correct one"
            )
    finder.warn_of_other_folders(where)
    return known


def _probs(row: Mapping[str, Any], columns: Sequence[str], at: str) -> tuple[float, ...]:
    probs = np.array([_number(row[column], column, at) for column in columns])
    total = probs.sum()
    if probs.min() < 0 or abs(total - 1) > _sum_tolerance(probs):
        raise PredictionTableError(
            f"{at}: probabilities sum to {total:.4g}, the smallest is {probs.min():.4g}; {of_sum(probs)}"
        )
    return tuple((probs / probs.sum()).tolist())


def _number(value: Any, column: str, at: str) -> float:
    try:
        number = decimal_number(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        text = "" if value is None else str(value)
        problem = f"{text!r} is not a number" if text.strip() else "is empty"
        remedy = "write 0.123 for 12.3%" if text.strip().endswith("%") else "give a probability for every class"
        raise PredictionTableError(f"{at}: {column} {problem}; {remedy}")
    return number


def _sum_tolerance(probs_K: np.ndarray) -> float:
    """How far a sum may be from 1: what rounding to two or three decimals can do, but no less than `SUM_TOLERANCE`."""
    if abs(probs_K.sum() - 1) <= SUM_TOLERANCE:
        return SUM_TOLERANCE
    rounded = [d for d in (2, 3) if np.allclose(probs_K, probs_K.round(d), rtol=0, atol=1e-9)]
    error = 0.5 * 10.0 ** -rounded[0] * len(probs_K) if rounded else 0.0
    return min(max(SUM_TOLERANCE, error + 1e-9), MAX_SUM_ERROR)


def _class_index(row: Mapping[str, Any], names: Sequence[str], at: str, missing: str) -> int:
    label = _text(row, "prediction") or nfc(missing)
    if not label:
        raise PredictionTableError(f"{at}: prediction is empty; fill it in, or give --missing LABEL, a class for it")
    if label not in names:
        no_answer = "; where it means that there was no answer, leave it empty and give --missing LABEL"
        remedy = of_number(label, names) or did_you_mean(label, names) or suggest(label, names) + no_answer
        raise PredictionTableError(f"{at}: prediction {label!r} is not a class{remedy}")
    return list(names).index(label)


def _most_probable(row: Mapping[str, Any], names: Sequence[str], probs: Sequence[float], at: str) -> int:
    """The class with the highest probability; of several, the one in the column `prediction`, if there is one."""
    best = int(np.argmax(probs))
    stated = _class_index(row, names, at, "") if _text(row, "prediction") else best
    if probs[stated] < probs[best] - MAX_TIE:
        raise PredictionTableError(
            f"{at}: prediction is {names[stated]!r}, but {names[best]!r} is more probable; delete the column prediction"
        )
    return stated


def _fold(row: Mapping[str, Any], clip: Clip, fold: int | None, at: str) -> int:
    if fold is not None:
        return fold
    value = _value(row, "fold")
    if value is not None:
        return _whole(value, "fold", at, 1)
    if clip.fold is None:
        raise PredictionTableError(
            f"{at}: no fold; add a column 'fold', the number of the fold that tests the clip, or give --fold or "
            "--split (in Python: fold= or split=)"
        )
    return clip.fold


def _whole(value: Any, name: str, at: str, smallest: int) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not smallest <= number < 2**32 or number != int(number):
        raise PredictionTableError(f"{at}: {name} {value!r}; give whole numbers from {smallest}")
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
    clip_ids, predicted = tuple(row.clip_id for row in rows), np.array([row.predicted for row in rows])
    unanswered = tuple(row.clip_id for row in rows if not row.answered)
    return PredictedRun(variant, fold, seed, clip_ids, predicted, probs_NK, unanswered)
