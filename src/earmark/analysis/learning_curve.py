"""Learning curves: the score of a variant by the number of its training groups. Would more recordings help?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.analysis.bootstrap import complete_seeds
from earmark.analysis.compare import Comparison, compare_all, joint_model
from earmark.analysis.joint_model import ROPE
from earmark.analysis.metrics import accuracy, unweighted_average_recall
from earmark.analysis.records import RunRecord, confusion_of
from earmark.config.learning_curve import is_curve_point, variant_of_point

HALF = 0.5
"""The answer is about the score with all groups against that with the nearest fraction to this one."""


@dataclass(frozen=True)
class CurvePoint:
    """The score with one fraction of the training groups."""

    fraction: float
    n_groups: float
    """Training groups, mean over runs."""
    n_clips: float
    """Training clips, mean over runs."""
    n_draws: int
    """Seeds, each of which draws other groups; those that have all folds."""
    mean: float
    """Of the draws, each the score of the clips of all folds together."""
    std: float | None
    """Standard deviation over draws; None for one draw."""


@dataclass(frozen=True)
class LearningCurve:
    """The scores of a variant, the smallest fraction first and all groups last."""

    variant: str
    points: tuple[CurvePoint, ...]
    gain: Comparison
    """All groups (the variant) against about half of them (the baseline), paired by fold and seed."""
    gain_fraction: float
    """The fraction of that comparison."""


def split_points(records: Sequence[RunRecord]) -> tuple[list[RunRecord], list[RunRecord]]:
    """The contestants, and the points of learning curves; points without any contestant are contestants."""
    points = [r for r in records if is_curve_point(r.config)]
    others = [r for r in records if not is_curve_point(r.config)]
    return (others, points) if others else (points, [])


def learning_curves(
    contestants: Sequence[RunRecord], points: Sequence[RunRecord], metric: str, rope: float = ROPE
) -> tuple[LearningCurve, ...]:
    """The curve of each variant that has points.

    Args:
        contestants: runs with all training groups.
        points: runs with a fraction of them.
        metric: `accuracy` or `uar`.
        rope: largest difference that is equal for practical purposes.
    """
    names = dict.fromkeys(sorted(variant_of_point(r.config) for r in points))
    curves = []
    for name in names:
        whole = [r for r in contestants if r.variant == name]
        runs = {1.0: whole} if whole else {}
        for record in points:
            if variant_of_point(record.config) == name:
                runs.setdefault(record.config.split.train_fraction, []).append(record)
        if whole:
            curves.append(_curve(name, runs, metric, rope))
    return tuple(curve for curve in curves if curve is not None)


def _curve(name: str, runs: dict[float, list[RunRecord]], metric: str, rope: float) -> LearningCurve | None:
    """None where no fold and seed has both all groups and the fraction nearest to half."""
    nearest = min((f for f in runs if f < 1), key=lambda f: (abs(f - HALF), f))
    by_variant = {runs[nearest][0].variant: runs[nearest], name: runs[1.0]}
    model = joint_model(by_variant, metric)
    found, _ = compare_all(by_variant, model, runs[nearest][0].variant, metric, rope)
    points = tuple(_point(fraction, runs[fraction], metric) for fraction in sorted(runs))
    return LearningCurve(name, points, found[0], nearest) if found else None


def _point(fraction: float, runs: Sequence[RunRecord], metric: str) -> CurvePoint:
    score = accuracy if metric == "accuracy" else unweighted_average_recall
    draws = complete_seeds(runs) or [list(runs)]
    means = [score(np.sum([confusion_of(run) for run in draw], axis=0)) for draw in draws]
    return CurvePoint(
        fraction=fraction,
        n_groups=float(np.mean([run.n_train_groups for run in runs])),
        n_clips=float(np.mean([run.n_train for run in runs])),
        n_draws=len(means),
        mean=float(np.mean(means)),
        std=float(np.std(means, ddof=1)) if len(means) > 1 else None,
    )
