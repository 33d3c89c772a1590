"""What happened in training, epoch by epoch: history.csv, and whether the loss was still falling at the end."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from earmark.analysis.records import RunError, RunRecord
from earmark.runtime.schema import SchemaError, check_size

COLUMNS = ("train_loss", "valid_loss", "valid_accuracy", "valid_uar")
LAST_FRACTION = 0.2
"""The slope of the loss is taken over this fraction of the epochs, the last ones, at least `MIN_EPOCHS`."""
MIN_EPOCHS = 3
FALLING = 0.05
"""A loss that falls by more than this fraction over these epochs has not converged."""


def read_history(folder: Path) -> dict[str, np.ndarray]:
    """The columns of history.csv as arrays over epochs, NaN where a cell is empty; without rows if there is no file.

    Raises:
        RunError: the file is no table of numbers.
    """
    path = folder / "history.csv"
    if not path.is_file():
        return {name: np.zeros(0) for name in COLUMNS}
    try:
        check_size(path)
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = {name: np.array([float(row[name] or "nan") for row in rows]) for name in COLUMNS}
    except KeyError as error:
        raise RunError(f"run {folder}: history.csv lacks the column {error}; repeat the run") from None
    except (OSError, ValueError, TypeError, csv.Error, SchemaError) as error:
        raise RunError(f"run {folder}: history.csv cannot be read ({error}); repeat the run") from None
    return {name: np.where(np.abs(values) < 1e12, values, np.nan) for name, values in columns.items()}


def loss_decrease(losses: np.ndarray) -> float:
    """By which fraction of itself a loss (E,) falls over its last epochs, by a straight line through them; else 0."""
    n = max(MIN_EPOCHS, round(LAST_FRACTION * len(losses)))
    last = losses[-n:]
    if len(last) < MIN_EPOCHS or not np.isfinite(last).all() or last.mean() <= 0:
        return 0.0
    slope = np.polyfit(np.arange(len(last)), last, 1)[0]
    return max(0.0, float(-slope * (len(last) - 1) / last.mean()))


def mean_losses(by_variant: Mapping[str, Sequence[RunRecord]]) -> dict[str, np.ndarray]:
    """The training loss (E,) of each variant, the mean of its runs, over the epochs that all have."""
    found = {}
    for name, runs in by_variant.items():
        losses = [read_history(run.folder)["train_loss"] for run in runs]
        n_epochs = min(map(len, losses))
        found[name] = np.mean([loss[:n_epochs] for loss in losses], axis=0)
    return found
