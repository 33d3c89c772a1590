"""predictions.csv: one row per reported clip, with its predicted label and, where they are known, all probabilities."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from earmark.runtime.console import format_names
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import write_csv
from earmark.runtime.schema import check_size

COLUMNS = ("clip_id", "group", "label", "prediction")
EMBEDDING_CSV = "embedding.csv"
"""Of a probe: clip_id, x and y of the reported clips in the plane of two principal components."""
PROBABILITY = "prob:"
"""Prefix of the column of a class."""


class PredictionsError(EarmarkError):
    """A predictions.csv that cannot be used."""


class LabeledClip(Protocol):
    """What is written of a clip."""

    @property
    def clip_id(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def label(self) -> str: ...


class Predictions(NamedTuple):
    """The content of a predictions.csv, sorted by clip id."""

    clip_ids: tuple[str, ...]
    groups: tuple[str, ...]
    targets: np.ndarray
    """(N,) index of each label among the classes."""
    predictions: np.ndarray
    """(N,) index of each predicted label."""
    probs: np.ndarray
    """float64 (N, K); 1 for the predicted label where the file has labels only."""
    has_probs: bool


def probability_columns(class_names: Sequence[str]) -> list[str]:
    """The column of each class."""
    return [PROBABILITY + name for name in class_names]


def write_predictions(
    path: Path,
    clips: Sequence[LabeledClip],
    class_names: Sequence[str],
    predicted: Sequence[int],
    probs_NK: np.ndarray | None = None,
    digits: int = 9,
) -> None:
    """Write one row per clip: its id, group and label, the predicted label, and every probability that is known.

    Args:
        predicted: (N,) index of each predicted label.
        probs_NK: (N, K) probabilities; None writes labels only.
        digits: significant digits of a probability.
    """
    rows = [[c.clip_id, c.group, c.label, class_names[int(k)]] for c, k in zip(clips, predicted, strict=True)]
    columns = list(COLUMNS)
    if probs_NK is not None:
        columns += probability_columns(class_names)
        rows = [[*row, *(f"{p:.{digits}g}" for p in probs)] for row, probs in zip(rows, probs_NK, strict=True)]
    write_csv(path, [columns, *rows])


def read_predictions(path: Path, class_names: Sequence[str]) -> Predictions:
    """Read what `write_predictions` wrote.

    Raises:
        PredictionsError: columns, labels or probabilities cannot be used.
    """
    check_size(path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    expected = [[*COLUMNS, *probability_columns(class_names)], list(COLUMNS)]
    if len(rows) < 2 or rows[0] not in expected:
        raise PredictionsError(f"{path.name} has no rows, or its columns are not those of the classes in config.json")
    width, rows = len(rows[0]), sorted(rows[1:])
    if any(len(row) != width for row in rows):
        raise PredictionsError(f"{path.name} has a row that has not {width} cells")
    index = {name: k for k, name in enumerate(class_names)}
    unknown = {name for row in rows for name in row[2:4] if name not in index}
    if unknown or len(index) != len(class_names):
        raise PredictionsError(
            f"{path.name} has labels that config.json does not list once: {format_names(sorted(unknown))}"
        )
    predicted = np.array([index[row[3]] for row in rows])
    has_probs = width > len(COLUMNS)
    return Predictions(
        clip_ids=tuple(row[0] for row in rows),
        groups=tuple(row[1] for row in rows),
        targets=np.array([index[row[2]] for row in rows]),
        predictions=predicted,
        probs=_read_probs(rows, path.name) if has_probs else np.eye(len(class_names))[predicted],
        has_probs=has_probs,
    )


def _read_probs(rows: Sequence[Sequence[str]], file: str) -> np.ndarray:
    try:
        probs = np.array([row[len(COLUMNS) :] for row in rows], dtype=np.float64)
    except ValueError as error:
        raise PredictionsError(f"{file}: {error}") from None
    good = np.isfinite(probs).all(axis=1) & (probs >= 0).all(axis=1) & (np.abs(probs.sum(axis=1) - 1) < 1e-3)
    if not good.all():
        clip_id = rows[int(np.argmin(good))][0]
        raise PredictionsError(
            f"{file}: the probabilities of clip {clip_id} are not finite, negative or do not sum to 1"
        )
    return probs
