"""Several variants at once: verdicts whose difference, interval, p and probabilities come from one distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, ndtri, stdtrit

from earmark.analysis.paired_model import (
    SEED_SCALE,
    SEED_SCALE_OF_SCORE,
    Components,
    Evidence,
    Posterior,
    infer,
    weigh,
)
from earmark.analysis.paired_runs import PairedRuns
from earmark.analysis.share_interval import share_interval, smallest_size
from earmark.analysis.step_down import LEVEL, Correction, step_down

POWER = 0.8
SHARED, UNLIKE = 0.5, 0.3
"""Weight of what other comparisons say about variances, and probability that it is unlike; see `share_evidence`."""
ROPE = 0.01
"""Differences up to one point are none for practical purposes."""
PRIOR_DF = 8
"""Degrees of freedom that the priors of seeds and training sets are worth, see `_known`."""
MOST = 100
"""Advice never asks for more than this many times the seeds, folds or groups."""


class Advice(NamedTuple):
    """How many of each, alone, detect the goal with 80 % power; None where 100 times as many do not."""

    goal: float
    seeds: int | None
    """Seeds per fold."""
    folds: int | None
    """Of whole partitions."""
    groups: int | None
    least_groups: int
    """Fewer do not, even if seeds and training sets mattered less by as much as groups do."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """Variant minus baseline. `low`, `high` and `p` account for all comparisons of the family."""

    variant: str
    baseline: str
    posterior: Posterior
    correction: Correction
    rope: float
    smallest: float = 1.0
    """See `smallest_size`."""

    @property
    def difference(self) -> float:
        return self.posterior.estimate

    @property
    def p(self) -> float:
        """Two-sided; below 0.05 exactly where the interval excludes 0."""
        return self.correction.p

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Simultaneous 95 % interval, within -1 to 1: a difference of two shares is never outside.

        A claim that only a later step of the step-down procedure makes has its end next to 0 from that step.
        """
        reach = self.posterior.half_width(self.correction.tail_all)
        near = reach
        if self.p < 1 - LEVEL and reach >= abs(self.difference):
            near = min(self.posterior.half_width(self.correction.tail), abs(self.difference) * (1 - 1e-9))
        return interval_around(self.difference, max(near, abs(self.difference) - self.smallest), reach)

    @property
    def low(self) -> float:
        return self.interval[0]

    @property
    def high(self) -> float:
        return self.interval[1]

    @property
    def p_better(self) -> float:
        """Probability that the variant is better by more than `rope`; not corrected, as the two below."""
        return 1 - self.posterior.below(self.rope)

    @property
    def p_worse(self) -> float:
        return self.posterior.below(-self.rope)

    @property
    def p_equal(self) -> float:
        """Probability that they differ by `rope` at most."""
        return 1 - self.p_better - self.p_worse

    @property
    def verdict(self) -> str:
        """`equal` where the whole interval is within `rope`; else `better` or `worse` where it excludes 0.

        Else `equal` where that is as probable as the simultaneous intervals take, or `undecided`.
        """
        within = -self.rope <= self.low and self.high <= self.rope
        if self.p < 1 - LEVEL and not within:
            return "better" if self.difference > 0 else "worse"
        return "equal" if within or self.p_equal >= 1 - self.correction.tail_all else "undecided"

    @property
    def components(self) -> Components:
        return self.posterior.components

    @property
    def training_set_assumed(self) -> bool:
        """Whether no run varied the training set, so that its part of the interval comes from the prior."""
        return self.posterior.training_set_assumed

    @cached_property
    def detectable(self) -> float:
        """The true difference that this verdict, corrected as it is, would claim in 4 of 5 such experiments."""
        return _detectable(self.posterior, self.correction.tail_all)

    def advice(self, goal: float | None = None) -> Advice:
        """What would find a true difference of `goal` (default `rope`), one thing changed at a time."""
        goal = self.rope if goal is None else goal
        c, post = self.components, self.posterior
        allowed = c.total * (goal / self.detectable) ** 2

        def times(reducible: float, now: float) -> int | None:
            rest = allowed - (c.total - reducible)
            factor = reducible / rest if rest > 0 else math.inf
            return None if factor > MOST else max(math.ceil(now), math.ceil(now * factor - 1e-9))

        folds = times(c.seeds + c.training_set, post.n_folds)
        seeds_known, training_known = _known(post.n_runs - post.n_folds), _known(post.n_folds - 1)
        fixed = seeds_known * (c.seeds - post.by_clip) + training_known * c.training_set
        return Advice(
            goal,
            times(c.seeds, post.n_runs / post.n_folds),
            folds and math.ceil(folds / post.folds_per_partition) * post.folds_per_partition,
            times(c.total - fixed, post.n_groups),
            math.ceil(post.n_groups * c.total / allowed - 1e-9),
        )


def _known(df: int) -> float:
    """How much of an effect is taken as shown, by the degrees of freedom of its estimate, and not as assumed.

    What is assumed of seeds and training sets goes with what groups do, and so becomes less with more of them.
    """
    return df / (df + PRIOR_DF)


def interval_around(difference: float, near: float, far: float) -> tuple[float, float]:
    """From as much as `near` on the side of 0 to `far` on the other one, within -1 to 1."""
    below, above = (near, far) if difference > 0 else (far, near)
    return max(difference - below, -1.0), min(difference + above, 1.0)


def _detectable(posterior: Posterior, tail: float) -> float:
    """By the usual normal approximation of the noncentral t, at the mixture's effective degrees of freedom."""
    df = posterior.effective_df
    critical = float(-stdtrit(df, tail / 2))
    shift = critical * (1 - 1 / (4 * df)) + float(ndtri(POWER)) * math.sqrt(1 + critical**2 / (2 * df))
    return posterior.half_width(tail) / critical * shift


class Score(NamedTuple):
    """The metric of one variant, or a difference, with its interval over groups, seeds and training sets."""

    estimate: float
    low: float
    high: float


def pairs_of(names: Sequence[str], baseline: str) -> list[tuple[str, str]]:
    """Each variant with the baseline, or all pairs where that is empty, as (variant, baseline)."""
    if baseline:
        return [(name, baseline) for name in names if name != baseline]
    return [(later, earlier) for earlier, later in combinations(names, 2)]


@dataclass(frozen=True, eq=False)
class JointModel:
    """Scores and comparisons of the variants of one metric."""

    runs: PairedRuns

    def score(self, name: str) -> Score | None:
        """One variant's metric and interval; None with too few groups."""
        evidence = self._evidence(name)
        return None if evidence is None else Score(evidence.estimate, *share_interval(evidence))

    def difference(self, variant: str, baseline: str, tail: float) -> Score | None:
        """Of one pair alone, with the interval that the truth is outside of with probability `tail`."""
        evidence = self._evidence(variant, baseline)
        if evidence is None:
            return None
        size, reach = abs(evidence.estimate), infer(evidence).half_width(tail)
        near = max(reach, size - smallest_size(evidence, tail))
        return Score(evidence.estimate, *interval_around(evidence.estimate, near, reach))

    def posterior(self, variant: str, baseline: str = "") -> Posterior | None:
        """Of one variant's metric, or of its difference from a baseline, not corrected; None with too few groups."""
        evidence = self._evidence(variant, baseline)
        return None if evidence is None else infer(evidence)

    def compare(self, pairs: Sequence[tuple[str, str]], rope: float = ROPE) -> tuple[Verdict, ...]:
        """The given pairs (variant, baseline) as one family; those that cannot be compared are left out."""
        weighed = [(a, b, own) for a, b in pairs if (own := self._evidence(a, b)) is not None]
        if not weighed:
            return ()
        evidence = [evidence for *_, evidence in weighed]
        shared = share_evidence(evidence, len({name for a, b, _ in weighed for name in (a, b)}))
        posteriors = [infer(own, others) for own, others in zip(evidence, shared, strict=True)]
        fitted = [(a, b, posterior) for (a, b, _), posterior in zip(weighed, posteriors, strict=True)]
        corrections = step_down(posteriors, self._correlation(fitted))
        least = [smallest_size(*one) for one in zip(evidence, (c.tail_all for c in corrections), shared, strict=True)]
        found = zip(fitted, corrections, least, strict=True)
        return tuple(Verdict(a, b, post, c, rope, smallest) for (a, b, post), c, smallest in found)

    def _correlation(self, fitted: Sequence[tuple[str, str, Posterior]]) -> np.ndarray:
        """Of the differences, (m, m)."""
        if len(fitted) == 1:
            return np.ones((1, 1))
        contrasts = np.zeros((len(fitted), len(self.runs.names)))
        for row, (a, b, _) in enumerate(fitted):
            contrasts[row, self._index(a)] += 1
            contrasts[row, self._index(b)] -= 1
        covariance = contrasts @ self.error_covariance([post for _, _, post in fitted]) @ contrasts.T
        scale = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
        return covariance / np.outer(scale, scale)

    def error_covariance(self, posteriors: Sequence[Posterior]) -> np.ndarray:
        """Covariance of the variants' scores around their truths, (V, V); only that of differences is meant.

        Groups of clips are shared by the variants: their covariance is that of the groups' influences, drawn
        towards equal variances and equal covariances by V / (V + G), since few groups say little about many
        covariances. Seeds and training sets are taken as each variant's own, with the same variance for all: half of
        what pairs of them have on average.
        """
        influences = self._group_influences()
        n_variants, n_groups = influences.shape
        shared = influences @ influences.T
        centering = np.eye(n_variants) - 1 / n_variants
        equal = np.trace(centering @ shared) / max(n_variants - 1, 1) * np.eye(n_variants)
        weight = n_variants / (n_variants + n_groups)
        own = np.mean([p.components.seeds + p.components.training_set for p in posteriors]) / 2
        return (1 - weight) * shared + weight * equal + own * np.eye(n_variants)

    def _group_influences(self) -> np.ndarray:
        """What each group adds to the deviation of each variant's score, (V, G)."""
        groups = np.unique(self.runs.group, return_inverse=True)[1]
        influences = [_clip_influences(right, self.runs.target) for right in self.runs.right]
        return np.array([np.bincount(groups, influence) for influence in influences])

    def _index(self, name: str) -> int:
        return self.runs.names.index(name)

    def _difference(self, variant: str, baseline: str) -> np.ndarray:
        """(R, N) of each run; a fold in which both have a single seed has one run, not as many as others have there."""
        difference = self.runs.difference(variant, baseline)
        for fold in self._repeated(variant) & self._repeated(baseline):
            difference[np.flatnonzero(self.runs.fold == fold)[1:]] = np.nan
        return difference

    def _repeated(self, name: str) -> set[int]:
        """The folds in which a single seed of a variant stands in several runs."""
        return {fold for variant, fold in self.runs.repeated if variant == name}

    def _evidence(self, variant: str, baseline: str = "") -> Evidence | None:
        if not baseline:
            return self._weigh(self.runs.right[self._index(variant)], SEED_SCALE_OF_SCORE)
        repeated = self._repeated(variant) != self._repeated(baseline)
        return self._weigh(self._difference(variant, baseline), repeated=repeated)

    def _weigh(self, values: np.ndarray, seed_scale: float = SEED_SCALE, repeated: bool = False) -> Evidence | None:
        reported = float(np.isfinite(values).any(axis=0).mean())  # less than 1 where a variant lacks folds
        if not reported:
            return None
        r = self.runs
        ratio = r.test_train_ratio and r.test_train_ratio * reported
        return weigh(values, r.fold, r.group, r.target, ratio, seed_scale, r.fixed, repeated)


def _clip_influences(right: np.ndarray, target: np.ndarray | None) -> np.ndarray:
    """What each clip adds to the deviation of the metric of (R, N), (N,); 0 for clips not reported."""
    count = np.isfinite(right).sum(axis=0)
    there = count > 0
    means = np.nansum(right, axis=0) / np.maximum(count, 1)
    classes = np.zeros(len(means), int) if target is None else np.unique(target, return_inverse=True)[1]
    n_class = np.bincount(classes, there)
    class_means = np.bincount(classes, there * means) / np.maximum(n_class, 1)
    weights = there / np.maximum(n_class, 1)[classes] / np.count_nonzero(n_class)
    return weights * (means - class_means[classes])


def share_evidence(evidence: Sequence[Evidence], n_variants: int) -> list[np.ndarray | float]:
    """What each comparison learns from the others about the ratios of variances, as log weights of its grid, (M,).

    The likelihoods of the others count `SHARED` (a power prior, Ibrahim and Chen 2000) of the V - 2 independent
    differences that V variants have besides one, all together at most as one comparison. With probability `UNLIKE` they
    do not apply (a robust prior, Schmidli et al. 2014): many variants without an effect do not overrule one with it.
    """
    learned: list[np.ndarray | float] = []
    for own in evidence:
        others = [e.log_likelihood for e in evidence if e is not own and e.grid is own.grid]
        if others:
            log_weight = min(SHARED * (n_variants - 2), 1.0) * np.mean(others, axis=0)
            log_mean = logsumexp(own.grid.log_prior + log_weight) - logsumexp(own.grid.log_prior)
            log_weight = np.logaddexp(log_weight - log_mean + math.log(1 - UNLIKE), math.log(UNLIKE))
        learned.append(log_weight if others else 0.0)
    return learned
