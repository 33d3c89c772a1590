"""Learning curves: history.csv of every run, averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from earmark.analysis.history import read_history
from earmark.analysis.records import RunRecord
from earmark.report.axes import color
from earmark.report.html import Html
from earmark.report.plots import Curve, curves_plot
from earmark.runtime.console import format_names

QUANTITIES = {
    "train_loss": ("Training loss", "Cross-entropy, nats", 1),
    "valid_loss": ("Loss on valid", "Cross-entropy, nats", 1),
    "valid_accuracy": ("Accuracy on valid", "Accuracy, %", 100),
    "valid_uar": ("Average recall on valid", "UAR, %", 100),
}
"""Column of history.csv: title, unit, factor."""


def learning_curves(records: Sequence[RunRecord], index_of: Mapping[str, int]) -> tuple[list[Html], str]:
    """One plot per quantity that the runs have, and a sentence on what its lines and bands are.

    Args:
        index_of: place of each variant, for its color.
    """
    histories = {record: read_history(record.folder) for record in records}
    over_seeds = len({r.config.seed for r in records}) > 1
    plots = []
    for column, (title, unit, factor) in QUANTITIES.items():
        curves = []
        for variant, index in index_of.items():
            runs = {r.fold_seed: factor * histories[r][column] for r in records if r.variant == variant}
            if all(len(h) and np.isfinite(h).all() for h in runs.values()):
                mean, std = mean_and_spread(runs, over_seeds)
                curves.append(Curve(variant, color(index), mean, std))
        if curves:
            plots.append(curves_plot(title, unit, curves, _percent if factor == 100 else _loss))
    return plots, _lead(records, over_seeds) + _cut_note(records, histories)


def _lead(records: Sequence[RunRecord], over_seeds: bool) -> str:
    over_folds = len({r.config.fold for r in records}) > 1
    units = "seeds, each the mean of its folds" if over_seeds else "folds" if over_folds else ""
    return f"Mean of the runs; the band is one standard deviation over {units}." if units else "One run each."


def _cut_note(records: Sequence[RunRecord], histories: Mapping[RunRecord, Mapping[str, np.ndarray]]) -> str:
    """Which variants have runs of several lengths, whose curves end with the shortest."""
    lengths: dict[str, set[int]] = {}
    for record in records:
        lengths.setdefault(record.variant, set()).add(len(histories[record]["train_loss"]))
    cut = [variant for variant, several in lengths.items() if len(several) > 1]
    return f" Runs of {format_names(cut)} differ in length: their curve ends with the shortest." if cut else ""


def mean_and_spread(
    runs: Mapping[tuple[int, int], np.ndarray], over_seeds: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean over all runs and standard deviation over seeds (each the mean of its folds) or over folds.

    Args:
        runs: (E,) arrays by fold and seed; they are cut to the shortest.
    """
    n_epochs = min(map(len, runs.values()))
    units: dict[int, list[np.ndarray]] = {}
    for (fold, seed), values in runs.items():
        units.setdefault(seed if over_seeds else fold, []).append(values[:n_epochs])
    means = np.array([np.mean(values, axis=0) for values in units.values()])
    return means.mean(axis=0), means.std(axis=0, ddof=1) if len(means) > 1 else None


def _percent(value: float) -> str:
    return f"{value:.4g}"


def _loss(value: float) -> str:
    return f"{value:.3g}"
