"""Is one variant better than another? The comparisons of finished runs, as plain data.

Two runs are a pair when they share fold and seed. What every clip got right in every run goes through
`earmark.analysis.joint_model`; verdict, interval, p and probabilities are all read off its distribution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.analysis.joint_model import ROPE, JointModel, Verdict, pairs_of
from earmark.analysis.paired_model import Components
from earmark.analysis.paired_runs import align_runs
from earmark.analysis.records import RunRecord, are_fixed
from earmark.analysis.selection import best_of

COMPARED = ("accuracy", "uar")
"""Metrics that variants are compared on."""
Runs = Mapping[str, Sequence[RunRecord]]
"""The runs of each variant."""


@dataclass(frozen=True)
class Judgment:
    """What the model says about a difference; interval and p account for all comparisons of a metric."""

    verdict: str
    """`practically equal` where the whole interval is within `Comparison.rope`; else `better` or `worse` where it
    excludes 0; else `practically equal` where that is probable enough, or `undecided`."""
    low: float
    """Lower end of the simultaneous 95 % interval."""
    high: float
    p: float
    """Two-sided; below 0.05 exactly where the interval excludes 0."""
    probability_better: float
    """That the variant is better by more than `Comparison.rope`; not corrected, as the two below."""
    probability_equal: float
    probability_worse: float
    detectable: float
    """Minimum detectable effect: the true difference that such an experiment finds with a power of 80 %."""
    goal: float
    """A difference, and below how many of each, alone, would detect it; None where 100 times as many would not."""
    needed_seeds: int | None
    """Seeds per fold."""
    needed_folds: int | None
    needed_groups: int | None
    least_groups: int
    """Fewer groups would not, even if seeds and training sets mattered less by as much as groups do."""
    training_set_assumed: bool
    """Whether there is one training set, so that its part of the interval comes from the prior."""
    seeds_assumed: bool
    """Whether every fold has one seed, so that the prior alone tells seeds and training sets apart."""
    variance: Components


@dataclass(frozen=True)
class Comparison:
    """Variant minus baseline on one metric."""

    variant: str
    baseline: str
    metric: str
    n_pairs: int
    """Folds and seeds that both have."""
    n_folds: int
    n_groups: int
    n_comparisons: int
    """How many are made on this metric."""
    rope: float
    """Differences up to this are practically equal."""
    difference: float
    """Of the metric of all clips of all folds, averaged over seeds."""
    only_variant: int
    """Clips that the variant gets right in more seeds than the baseline."""
    only_baseline: int
    differing_groups: int
    """Groups of clips that these are in."""
    judgment: Judgment | None
    """None with too few groups of clips."""

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `practically equal`, `undecided` or `too few groups`."""
        return "too few groups" if self.judgment is None else self.judgment.verdict

    @property
    def not_inferior(self) -> bool:
        """Whether the variant is at most as much worse than the baseline as is practically equal."""
        return self.judgment is not None and self.judgment.low >= -self.rope


@dataclass(frozen=True)
class Best:
    """The variant with the highest score, and what that is worth after the choice (`earmark.analysis.selection`)."""

    variant: str
    tied: tuple[str, ...]
    """Others with the same score."""
    n_candidates: int
    score: float
    corrected: float
    """What it is expected to score on new clips with new seeds."""


def joint_model(by_variant: Runs, metric: str) -> JointModel:
    """The right answers of all variants on one grid of runs and clips."""
    records = [run for runs in by_variant.values() for run in runs]
    groups = {clip_id: group for r in records for clip_id, group in zip(r.clip_ids, r.groups, strict=True)}
    targets = {clip_id: k for r in records for clip_id, k in zip(r.clip_ids, r.targets.tolist(), strict=True)}
    hits = {
        name: {run.fold_seed: (run.clip_ids, run.predictions == run.targets) for run in runs}
        for name, runs in by_variant.items()
    }
    n_train = [run.n_train for run in records if run.training_subset_known and run.n_train]
    ratio = len(groups) / float(np.mean(n_train)) if n_train else None
    times = Counter((name, run.config.fold, run.id) for name, runs in by_variant.items() for run in runs)
    repeated = frozenset((name, fold) for (name, fold, _), n in times.items() if n > 1)
    classes = targets if metric == "uar" else None
    return JointModel(align_runs(hits, groups, classes, ratio, repeated, are_fixed(records)))


def compare_all(
    by_variant: Runs, model: JointModel, baseline: str, metric: str, rope: float = ROPE
) -> tuple[list[Comparison], Best | None]:
    """Compare all pairs of variants, or all with the baseline, on the folds and seeds that both have.

    Returns:
        The comparisons, and the variant with the highest score where several were compared.
    """
    pairs = pairs_of(list(by_variant), baseline)
    verdicts = model.compare(pairs, rope)
    judged = {(verdict.variant, verdict.baseline): verdict for verdict in verdicts}
    found = [_comparison(by_variant, pair, model, metric, rope, judged.get(pair), len(verdicts)) for pair in pairs]
    return [c for c in found if c is not None], _best(model)


def _comparison(
    by_variant: Runs,
    pair: tuple[str, str],
    model: JointModel,
    metric: str,
    rope: float,
    verdict: Verdict | None,
    n_comparisons: int,
) -> Comparison | None:
    """None where the two have no fold and seed in common."""
    theirs = {run.fold_seed: run for run in by_variant[pair[1]]}
    ours = [run for run in by_variant[pair[0]] if run.fold_seed in theirs]
    if not ours:
        return None
    shared = [(run, theirs[run.fold_seed]) for run in ours]
    only_ours, only_theirs, differing = _discordant_clips(shared)
    return Comparison(
        variant=pair[0],
        baseline=pair[1],
        metric=metric,
        n_pairs=len({(run.id, other.id) for run, other in shared}),
        n_folds=len({run.config.fold for run in ours}),
        n_groups=len({group for run in ours for group in run.groups}),
        n_comparisons=max(n_comparisons, 1),
        rope=rope,
        difference=model.runs.mean(model.runs.difference(*pair)) if verdict is None else verdict.difference,
        only_variant=only_ours,
        only_baseline=only_theirs,
        differing_groups=differing,
        judgment=None if verdict is None else _judgment(verdict),
    )


def _judgment(verdict: Verdict) -> Judgment:
    advice = verdict.advice(max(abs(verdict.difference), verdict.rope))
    variance = verdict.components
    return Judgment(
        verdict="practically equal" if verdict.verdict == "equal" else verdict.verdict,
        low=float(verdict.low),
        high=float(verdict.high),
        p=float(verdict.p),
        probability_better=float(verdict.p_better),
        probability_equal=float(verdict.p_equal),
        probability_worse=float(verdict.p_worse),
        detectable=float(verdict.detectable),
        goal=float(advice.goal),
        needed_seeds=advice.seeds,
        needed_folds=advice.folds,
        needed_groups=advice.groups,
        least_groups=advice.least_groups,
        training_set_assumed=verdict.training_set_assumed,
        seeds_assumed=verdict.posterior.seeds_assumed,
        variance=Components(float(variance.groups), float(variance.seeds), float(variance.training_set)),
    )


def _best(model: JointModel) -> Best | None:
    """The highest score over the folds and seeds that all variants have; None with too few groups, or for one alone."""
    runs = model.runs
    common = np.isfinite(runs.right).any(axis=2).all(axis=0)
    if len(runs.names) < 2 or not common.any():
        return None
    right = runs.right[:, common]
    there = np.isfinite(right).any(axis=(0, 1))
    target = None if runs.target is None else runs.target[there]
    winner = best_of(right[:, :, there], runs.fold[common], runs.group[there], target)
    if winner.corrected is None:
        return None
    first, *tied = (runs.names[index] for index in winner.indices)
    return Best(first, tuple(tied), winner.n_candidates, winner.score, winner.corrected)


def _discordant_clips(pairs: Sequence[tuple[RunRecord, RunRecord]]) -> tuple[int, int, int]:
    """Clips that one variant gets right in more seeds than the other and the reverse, and the groups of both."""
    votes: dict[tuple[str, str], int] = {}
    for run, other in pairs:
        signs = (run.predictions == run.targets).astype(int) - (other.predictions == other.targets)
        for *clip, sign in zip(run.clip_ids, run.groups, signs.tolist(), strict=True):
            votes[clip[0], clip[1]] = votes.get((clip[0], clip[1]), 0) + sign
    counts = np.array(list(votes.values()))
    groups = {group for (_, group), sign in votes.items() if sign}
    return int(np.count_nonzero(counts > 0)), int(np.count_nonzero(counts < 0)), len(groups)
