"""Scores of probes by the number of groups per class that they are fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from earmark.analysis.records import RunRecord
from earmark.analysis.verdicts import points


class ShotScore(NamedTuple):
    """The score with one number of groups per class."""

    shots: int
    n_clips: float
    """Training clips, mean over folds, seeds and draws."""
    mean: float
    """Of the folds, each the mean of its seeds and draws."""
    std: float
    """Standard deviation over draws, mean of the folds."""


def shot_curves(by_variant: Mapping[str, Sequence[RunRecord]], metric: str) -> dict[str, list[ShotScore]]:
    """The curve of each variant that has one: the number of groups per class in rising order.

    Args:
        by_variant: runs whose result.json may have the key `few_shots`.
        metric: `accuracy` or `uar`.
    """
    curves = {}
    for variant, runs in by_variant.items():
        entries = [(run.config.fold, entry) for run in runs for entry in run.result.get("few_shots", [])]
        if entries:
            numbers = sorted({entry["shots"] for _, entry in entries})
            curves[variant] = [_shot_score(n, [e for e in entries if e[1]["shots"] == n], metric) for n in numbers]
    return curves


def _shot_score(shots: int, entries: Sequence[tuple[int, dict[str, float]]], metric: str) -> ShotScore:
    by_fold: dict[int, list[float]] = {}
    for fold, entry in entries:
        by_fold.setdefault(fold, []).append(entry[metric])
    means, stds = [np.mean(v) for v in by_fold.values()], [np.std(v, ddof=min(len(v) - 1, 1)) for v in by_fold.values()]
    n_clips = float(np.mean([entry["n_clips"] for _, entry in entries]))
    return ShotScore(shots, n_clips, float(np.mean(means)), float(np.mean(stds)))


def last_gain(curve: Sequence[ShotScore], full: float, variant: str) -> str:
    """What is left to gain from the last number of groups to all of them."""
    last = curve[-1]
    return (
        f"{variant} gains {points(full - last.mean)} points from {last.shots} groups per class to all of them; "
        f"draws differ by {points(last.std)} points (standard deviation)."
    )
