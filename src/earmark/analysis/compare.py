"""Is one variant better than another? One estimate, one interval and one p for each pair, from one model.

Two runs are a pair when they share fold and seed. The differences of all clips in all pairs go through
`earmark.analysis.paired_model`; verdict, interval, p and probabilities are all read off its posterior, so that they
cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from earmark.analysis.bootstrap import EvaluatedVariant
from earmark.analysis.clip_table import difference_table
from earmark.analysis.paired_model import Components, Posterior
from earmark.analysis.records import RunRecord
from earmark.analysis.statistics import LEVEL

COMPARED = ("accuracy", "uar")
"""Metrics that variants are compared on."""
ROPE = 0.01
"""Differences up to this are equal for practical purposes: one point."""


@dataclass(frozen=True)
class Comparison:
    """Variant minus baseline on one metric; None where there are too few groups of clips to say."""

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
    """Lower end of the 95 % interval, which holds for all comparisons of this metric together."""
    high: float | None
    p: float | None
    """Two-sided, adjusted for all comparisons of this metric: below 0.05 exactly where the interval excludes 0."""
    n_comparisons: int
    """How many these are."""
    rope: float
    """Half-width of the region of practical equivalence."""
    probability_better: float | None
    """That the variant is better by more than `rope`."""
    probability_equal: float | None
    """That the difference is within `rope`."""
    probability_worse: float | None
    detectable: float | None
    """The true difference that such an experiment finds with a probability of 80 %."""
    components: Components | None
    """Variance of the difference by its source."""
    only_variant: int
    """Clips that the variant gets right in more seeds than the baseline."""
    only_baseline: int

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `practically equal`, `undecided` or `too few groups`."""
        if self.low is None or self.high is None:
            return "too few groups"
        if -self.rope <= self.low and self.high <= self.rope:
            return "practically equal"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "undecided"

    @property
    def probabilities(self) -> tuple[float, float, float] | None:
        """Better, practically equal, worse; they sum to 1."""
        if self.probability_better is None or self.probability_equal is None or self.probability_worse is None:
            return None
        return self.probability_better, self.probability_equal, self.probability_worse


def compare_all(
    evaluated: dict[str, EvaluatedVariant], baseline: str, metric: str, rope: float = ROPE
) -> list[Comparison]:
    """Compare every two variants, or all with the baseline, on the folds and seeds that both have."""
    if baseline:
        names = [(name, baseline) for name in evaluated if name != baseline]
    else:
        names = [(later, earlier) for earlier, later in combinations(evaluated, 2)]
    pairs = [_pair(evaluated[a], evaluated[b], metric) for a, b in names]
    found = [pair for pair in pairs if pair is not None]
    n_comparisons = max(sum(pair.posterior is not None for pair in found), 1)
    return [_comparison(pair, n_comparisons, rope) for pair in found]


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two variants on the folds and seeds that both have."""

    metric: str
    ours: Sequence[RunRecord]
    theirs: Sequence[RunRecord]
    n_groups: int
    difference: float
    posterior: Posterior | None


def _pair(variant: EvaluatedVariant, baseline: EvaluatedVariant, metric: str) -> _Pair | None:
    """None where the two have no fold and seed in common."""
    keys = sorted(variant.runs.keys() & baseline.runs.keys())
    if not keys:
        return None
    ours, theirs = ([e.runs[key] for key in keys] for e in (variant, baseline))
    table = difference_table(ours, theirs, metric)
    posterior, difference = table.posterior(metric), table.estimate(metric)
    return _Pair(metric, ours, theirs, len(set(table.group_of_clip)), difference, posterior)


def _comparison(pair: _Pair, n_comparisons: int, rope: float) -> Comparison:
    only_ours, only_theirs = _discordant_clips(pair.ours, pair.theirs)
    return Comparison(
        variant=pair.ours[0].variant,
        baseline=pair.theirs[0].variant,
        metric=pair.metric,
        n_pairs=len(pair.ours),
        n_folds=len({run.config.fold for run in pair.ours}),
        n_groups=pair.n_groups,
        difference=pair.difference,
        n_comparisons=n_comparisons,
        rope=rope,
        only_variant=only_ours,
        only_baseline=only_theirs,
        **_judgment(pair.posterior, n_comparisons, rope),
    )


def _judgment(posterior: Posterior | None, n_comparisons: int, rope: float) -> dict[str, Any]:
    """What the posterior says, with the interval and p widened for the number of comparisons."""
    if posterior is None:
        keys = ("low", "high", "p", "probability_better", "probability_equal", "probability_worse", "detectable")
        return dict.fromkeys((*keys, "components"))
    tail = (1 - LEVEL) / n_comparisons
    half, worse, better = posterior.half_width(tail), posterior.below(-rope), 1 - posterior.below(rope)
    return {
        "low": posterior.estimate - half,
        "high": posterior.estimate + half,
        "p": min(1.0, n_comparisons * posterior.p),
        "probability_better": better,
        "probability_equal": max(0.0, 1 - better - worse),
        "probability_worse": worse,
        "detectable": half * 1.43,
        "components": posterior.components,
    }


def _discordant_clips(ours: Sequence[RunRecord], theirs: Sequence[RunRecord]) -> tuple[int, int]:
    """Clips that one variant gets right in more seeds than the other."""
    votes: dict[str, int] = {}
    for run, other in zip(ours, theirs, strict=True):
        signs = (run.predictions == run.targets).astype(int) - (other.predictions == other.targets)
        for clip_id, sign in zip(run.clip_ids, signs.tolist(), strict=True):
            votes[clip_id] = votes.get(clip_id, 0) + sign
    counts = np.array(list(votes.values()))
    return int(np.count_nonzero(counts > 0)), int(np.count_nonzero(counts < 0))
