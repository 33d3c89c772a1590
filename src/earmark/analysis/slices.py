"""Scores and comparisons in slices of the clips: by site, device, gender or class.

That one variant is better in one slice and undecided in another is no evidence that the slice matters; the two
differences have to be compared (Gelman and Stern 2006). So there are four kinds of estimates. Scores have an interval
each; the intervals of a kind of differences hold for all of them together (Šidák 1967, conservative where they depend
on one another).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from earmark.analysis.joint_model import JointModel
from earmark.analysis.paired_model import Posterior
from earmark.analysis.paired_runs import PairedRuns
from earmark.analysis.records import RunRecord
from earmark.analysis.step_down import LEVEL

MIN_GROUPS_OF_SIDE = 5
"""Groups that a slice, and all others, need to be compared with each other."""
LABEL = "label"
"""The column that every run knows."""


Pair = tuple[str, str]
"""Variant and baseline; an empty baseline stands for the variant alone."""
Sides = tuple[np.ndarray, np.ndarray]
"""Which clips are on either side of a contrast, (N,) each."""


class Column(NamedTuple):
    """What divides the clips."""

    name: str
    value_of_clip: Mapping[str, str]
    """A clip with an empty value is in no slice."""


class Slice(NamedTuple):
    """The clips with one value."""

    value: str
    n_clips: int
    n_groups: int


class Estimate(NamedTuple):
    """A score or a difference; without an interval where there are too few groups of clips."""

    value: str
    variant: str
    baseline: str
    """Empty for one variant alone."""
    estimate: float
    low: float | None = None
    high: float | None = None

    @property
    def shown(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Slices:
    """All slices of one column."""

    column: str
    metric: str
    """`accuracy`, also where a slice is a class, of which it is the recall; or `uar`, over the classes of the slice."""
    n_unknown: int
    """Clips without a value."""
    slices: tuple[Slice, ...]
    scores: tuple[Estimate, ...]
    """Each variant in each slice."""
    differences: tuple[Estimate, ...]
    """Each pair of variants in each slice."""
    gaps: tuple[Estimate, ...]
    """Each variant, in the slice minus in all other slices. Average recall is over the classes that both have."""
    changes: tuple[Estimate, ...]
    """Each pair: its difference in the slice minus that in all other slices."""


def labels_of(records: Sequence[RunRecord]) -> dict[str, str]:
    """The label of each clip of finished runs."""
    return {i: r.class_names[k] for r in records for i, k in zip(r.clip_ids, r.targets.tolist(), strict=True)}


def find_slices(
    column: Column,
    metric: str,
    single: Mapping[str, JointModel],
    paired: Mapping[str, JointModel],
    pairs: Sequence[Pair],
) -> Slices:
    """Score and compare variants in each slice.

    Args:
        column: what divides the clips.
        metric: `accuracy` or `uar`.
        single: the variants by metric, see `compare.joint_model`.
        paired: the same with paired seeds.
        pairs: each variant and baseline to compare.
    """
    metric = "accuracy" if column.name == LABEL else metric
    runs, together = single[metric].runs, paired[metric].runs
    values = np.array([column.value_of_clip[clip_id] for clip_id in runs.clip_ids])
    members = {value: values == value for value in sorted({*values.tolist()} - {""})}
    others = {value: (values != "") & ~mask for value, mask in members.items()}
    contrasted = list(members)[: 1 if len(members) == 2 else None]  # of two slices, each is all others of the other
    sides = {v: _comparable(runs, members[v], others[v]) for v in contrasted}
    alone = [(name, "") for name in runs.names]
    return Slices(
        column=column.name,
        metric=metric,
        n_unknown=int(np.count_nonzero(values == "")),
        slices=tuple(Slice(v, int(mask.sum()), len(np.unique(runs.group[mask]))) for v, mask in members.items()),
        scores=tuple(_scores(runs, members)),
        differences=tuple(_differences(together, members, pairs)),
        gaps=tuple(_contrasts(runs, sides, alone)),
        changes=tuple(_contrasts(together, sides, pairs)),
    )


def _comparable(runs: PairedRuns, mask: np.ndarray, others: np.ndarray) -> Sides:
    """The two masks; for the average recall, on the classes that both have."""
    if runs.target is None:
        return mask, others
    common = np.isin(runs.target, np.intersect1d(runs.target[mask], runs.target[others]))
    return mask & common, others & common


def _scores(runs: PairedRuns, members: Mapping[str, np.ndarray]) -> Iterator[Estimate]:
    for value, mask in members.items():
        model = JointModel(runs.inside(mask))
        for name, right in zip(model.runs.names, model.runs.right, strict=True):
            if np.isfinite(right).any():
                score = model.score(name)
                yield Estimate(value, name, "", *(score or (model.runs.mean(right),)))


def _differences(runs: PairedRuns, members: Mapping[str, np.ndarray], pairs: Sequence[Pair]) -> Iterator[Estimate]:
    tail = _tail(len(members) * len(pairs))
    for value, mask in members.items():
        model = JointModel(runs.inside(mask))
        for pair in pairs:
            values = model.runs.difference(*pair)
            if np.isfinite(values).any():
                yield Estimate(value, *pair, *(model.difference(*pair, tail) or (model.runs.mean(values),)))


def _contrasts(runs: PairedRuns, slices: Mapping[str, Sides], pairs: Sequence[Pair]) -> Iterator[Estimate]:
    """Scores or differences on some clips minus those on others.

    That is twice an average recall whose classes are those of the clips and those of the others, and in which what the
    others contribute counts -1. The degrees of freedom are at most those of two means (Welch 1947), as the side with
    fewer groups often has most of the variance.
    """
    tail = _tail(len(slices) * len(pairs))
    classes = 0 if runs.target is None else runs.target
    for value, masks in slices.items():
        sides = [runs.inside(mask) for mask in masks]
        sign = np.where(masks[0], 1.0, np.where(masks[1], -1.0, np.nan))
        n, m = (int(mask.sum()) for mask in masks)
        ratio = runs.test_train_ratio and runs.test_train_ratio * n * m / max(n + m, 1) ** 2  # by the harmonic mean
        signed = replace(runs, right=runs.right * sign, target=2 * classes + masks[0], test_train_ratio=ratio)
        model = JointModel(signed)
        for pair in pairs:
            found = [side for inside in sides if (side := _side(inside, pair)) is not None]
            if len(found) == 2:
                posterior = None if min(s.n_groups for s in found) < MIN_GROUPS_OF_SIDE else model.posterior(*pair)
                reach = None if posterior is None else _reach(posterior, found, tail)
                yield _estimate(value, pair, found[0].mean - found[1].mean, reach, 2.0 if pair[1] else 1.0)


class _Side(NamedTuple):
    """One of the two that a contrast is of."""

    mean: float
    n_groups: int
    n_effective: float
    """Groups of equal size that say as much (Kish 1965)."""
    smallest: float
    """The least variance of a mean of as many clips."""


def _side(runs: PairedRuns, pair: Pair) -> _Side | None:
    """Of the clips of one side; None where no run of the pair reports any of them.

    A variance of 0 stands for that of two clips, as in the model; that of a score is at least a binomial one, with one
    group added that is right and one that is wrong (Agresti and Caffo 2000).
    """
    values = runs.difference(*pair) if pair[1] else runs.right[runs.names.index(pair[0])]
    sizes = np.unique(runs.group[np.isfinite(values).any(axis=0)], return_counts=True)[1]
    if not len(sizes):
        return None
    mean, n_clips, n_effective = runs.mean(values), sizes.sum(), sizes.sum() ** 2 / np.sum(sizes**2)
    share = (mean * n_effective + 1) / (n_effective + 2)
    smallest = 2 / n_clips**2 if pair[1] else share * (1 - share) / n_clips
    return _Side(mean, len(sizes), float(n_effective), float(smallest))


def _reach(posterior: Posterior, sides: Sequence[_Side], tail: float) -> float:
    """Half the width of the interval of a contrast."""
    variances = [1 / side.n_effective for side in sides]
    df = sum(variances) ** 2 / sum(v**2 / (1 / v - 1) for v in variances)
    critical, own = -stdtrit([df, posterior.effective_df], tail / 2)
    reach = 2 * posterior.half_width(tail) * max(1.0, critical / own)
    return float(max(reach, critical * math.sqrt(sum(side.smallest for side in sides))))


def _estimate(value: str, pair: Pair, estimate: float, reach: float | None, limit: float) -> Estimate:
    if reach is None:
        return Estimate(value, *pair, estimate)
    return Estimate(value, *pair, estimate, max(estimate - reach, -limit), min(estimate + reach, limit))


def _tail(n: int) -> float:
    """Of each of n intervals that hold together."""
    return 1 - LEVEL ** (1 / max(n, 1))
