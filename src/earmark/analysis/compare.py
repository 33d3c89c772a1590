"""Is one variant better than another? The paired answer, with what it rests on, and the same in words.

Two runs are a pair when they share fold and seed. A difference is claimed only when two tests agree: the
corrected t-test (would training again on other folds show it?) and the permutation test (would other groups of
clips show it?). So the p of a comparison is the larger of the two, and its interval spans both intervals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from earmark.analysis.bootstrap import Pool, pool_runs, pooled_metrics
from earmark.analysis.records import RunRecord
from earmark.analysis.statistics import (
    LEVEL,
    MIN_GROUPS,
    MIN_UNITS,
    Interval,
    corrected_t_test,
    holm,
    mcnemar_test,
    noncentrality,
    percentile_interval,
    permutation_test,
    runs_needed,
)

COMPARED = ("accuracy", "uar")
"""Metrics that variants are compared on."""
SMALLEST_DIFFERENCE = 0.01
"""The difference for which `Comparison.runs_needed` is given: one point."""


@dataclass(frozen=True)
class Comparison:
    """Variant minus baseline on one metric; None where there are too few runs or groups to say."""

    variant: str
    baseline: str
    metric: str
    n_pairs: int
    """Folds and seeds that both have."""
    n_folds: int
    n_groups: int
    difference: float
    """Of the metric of all clips of all folds, averaged over seeds."""
    low: float | None
    """Lower end of the 95 % interval: the lower one of the two below."""
    high: float | None
    clip_interval: Interval | None
    """95 % bootstrap interval over groups of clips."""
    fold_interval: Interval | None
    """95 % interval of the corrected t-test over folds (over seeds where there is one fold)."""
    t_p: float | None
    permutation_p: float | None
    mcnemar_p: float
    only_variant: int
    """Clips that the variant gets right in more seeds than the baseline."""
    only_baseline: int
    p: float | None
    """The larger one of `t_p` and `permutation_p`."""
    p_holm: float | None
    """`p` adjusted for all comparisons on this metric."""
    n_comparisons: int
    """How many that were."""
    detectable: float | None
    """The true difference that so many runs would find in 80 % of the cases."""
    runs_needed: int | None
    """Runs per variant that would find `SMALLEST_DIFFERENCE`; None where more seeds cannot."""
    runs_needed_is_minimum: bool
    """Whether that is a lower bound, because one seed per fold does not show the noise of seeds."""

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `no difference shown` or `not enough runs`."""
        if self.p_holm is None:
            return "not enough runs"
        if self.p_holm >= 1 - LEVEL:
            return "no difference shown"
        return "better" if self.difference > 0 else "worse"


class Resampling(NamedTuple):
    """The bootstrap's draws, one for all variants, so that differences are paired."""

    group_index: Mapping[str, int]
    weights: np.ndarray
    """(B, G) how often each group is drawn."""


@dataclass(frozen=True, eq=False)
class EvaluatedVariant:
    """The runs of one variant with their clips pooled and resampled."""

    runs: Mapping[tuple[int, int], RunRecord]
    """By fold and seed."""
    pool: Pool
    metrics: Mapping[str, float]
    resampled: Mapping[str, np.ndarray]
    """Each metric on each resample, (B,)."""

    @property
    def n_groups(self) -> int:
        return int(np.count_nonzero(self.pool.clips.sum(axis=1)))

    def interval(self, metric: str) -> Interval | None:
        """95 % bootstrap interval over groups; None with too few of them or without the metric."""
        values = self.resampled[metric]
        return None if np.isnan(values).all() else percentile_interval(values, self.n_groups)


def evaluate(runs: Iterable[RunRecord], resampling: Resampling) -> EvaluatedVariant:
    """Pool and resample the runs of one variant."""
    by_cell = {record.cell: record for record in runs}
    pool = pool_runs(list(by_cell.values()), resampling.group_index)
    metrics = pooled_metrics(pool, np.ones((1, len(resampling.group_index))))
    return EvaluatedVariant(
        by_cell,
        pool,
        {name: float(value[0]) for name, value in metrics.items()},
        pooled_metrics(pool, resampling.weights),
    )


def compare(
    variant: EvaluatedVariant, baseline: EvaluatedVariant, metric: str, resampling: Resampling, rng: np.random.Generator
) -> Comparison | None:
    """Compare two variants on the folds and seeds that both have; None where there are none."""
    cells = sorted(variant.runs.keys() & baseline.runs.keys())
    if not cells:
        return None
    ours, theirs = (_restricted(e, cells, resampling) for e in (variant, baseline))
    enough_groups = ours.n_groups >= MIN_GROUPS
    spread = ours.resampled[metric] - theirs.resampled[metric]
    clip_interval = percentile_interval(spread, ours.n_groups)
    permutation_p = permutation_test(_contributions(ours.pool, theirs.pool, metric), rng)
    over_folds = _over_folds(ours, theirs, metric)
    only_ours, only_theirs = _discordant_clips(ours, theirs)
    intervals = [i for i in (clip_interval, over_folds["fold_interval"]) if i]
    testable = over_folds["t_p"] is not None and enough_groups
    p = max(over_folds["t_p"], permutation_p) if testable else None
    return Comparison(
        variant=_name(ours),
        baseline=_name(theirs),
        metric=metric,
        n_pairs=len(cells),
        n_folds=len({fold for fold, _ in cells}),
        n_groups=ours.n_groups,
        difference=ours.metrics[metric] - theirs.metrics[metric],
        low=min((i.low for i in intervals), default=None),
        high=max((i.high for i in intervals), default=None),
        clip_interval=clip_interval,
        permutation_p=permutation_p if enough_groups else None,
        mcnemar_p=mcnemar_test(only_ours, only_theirs),
        only_variant=only_ours,
        only_baseline=only_theirs,
        p=p,
        p_holm=p,
        n_comparisons=1,
        **over_folds,
    )


def _name(evaluated: EvaluatedVariant) -> str:
    return next(iter(evaluated.runs.values())).variant


def _restricted(
    evaluated: EvaluatedVariant, cells: Sequence[tuple[int, int]], resampling: Resampling
) -> EvaluatedVariant:
    if len(cells) == len(evaluated.runs):
        return evaluated
    return evaluate([evaluated.runs[cell] for cell in cells], resampling)


def _contributions(ours: Pool, theirs: Pool, metric: str) -> np.ndarray:
    """What each group adds to the difference of accuracy or of average recall, (G,)."""
    per_class = ours.clips.sum(axis=0)
    if metric == "accuracy":
        weights = np.full(len(per_class), 1 / per_class.sum())
    else:
        present = per_class > 0
        weights = np.where(present, 1 / np.where(present, per_class, 1) / present.sum(), 0.0)
    return (ours.right - theirs.right) @ weights


def _over_folds(ours: EvaluatedVariant, theirs: EvaluatedVariant, metric: str) -> dict[str, Any]:
    """The corrected t-test over folds, seeds averaged (over seeds where there is one fold), and its power."""
    cells = _differences(ours, theirs, metric)
    units = np.nanmean(cells, axis=1) if len(cells) > 1 else cells[0]
    found = {
        "t_p": None,
        "fold_interval": None,
        "detectable": None,
        "runs_needed": None,
        "runs_needed_is_minimum": len(cells) > 1 and cells.shape[1] == 1,
    }
    if len(units) < MIN_UNITS:
        return found
    ratio = float(np.mean([len(r.targets) / r.n_train for r in ours.runs.values()]))
    test = corrected_t_test(units, ratio)
    if not np.isnan(test.p):
        found["t_p"] = float(test.p)
    if not np.isnan(test.standard_error):
        found["fold_interval"] = Interval(float(test.low), float(test.high))
        found["detectable"] = noncentrality(len(units)) * float(test.standard_error)
        found["runs_needed"] = runs_needed(cells, ratio, SMALLEST_DIFFERENCE)
    return found


def _differences(ours: EvaluatedVariant, theirs: EvaluatedVariant, metric: str) -> np.ndarray:
    """Differences of the runs' metric, (folds, most seeds of a fold); NaN fills rows with fewer seeds."""
    rows: dict[int, list[float]] = {}
    for cell, run in sorted(ours.runs.items()):
        difference = run.result["metrics"][metric] - theirs.runs[cell].result["metrics"][metric]
        rows.setdefault(cell[0], []).append(difference)
    width = max(map(len, rows.values()))
    return np.array([row + [math.nan] * (width - len(row)) for row in rows.values()])


def _discordant_clips(ours: EvaluatedVariant, theirs: EvaluatedVariant) -> tuple[int, int]:
    """Clips that one variant gets right in more seeds than the other; with one seed, McNemar's two counts."""
    votes: dict[int, np.ndarray] = {}
    for cell, run in ours.runs.items():
        other = theirs.runs[cell]
        right = (run.predictions == run.targets).astype(int) - (other.predictions == other.targets)
        votes[cell[0]] = votes.get(cell[0], 0) + right
    signs = np.sign(np.concatenate(list(votes.values())))
    return int(np.count_nonzero(signs > 0)), int(np.count_nonzero(signs < 0))


def correct_family(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons on one metric with Holm's correction over those that have a p."""
    adjusted = iter(holm([c.p for c in comparisons if c.p is not None]))
    n = sum(c.p is not None for c in comparisons)
    return [replace(c, p_holm=None if c.p is None else next(adjusted), n_comparisons=max(n, 1)) for c in comparisons]
