"""From finished runs to a compared result: summaries per variant, paired comparisons, and notes, as plain data.

`aggregate` computes what `earmark.analysis.tables` and `earmark.report` print. Which statistics, and why:
docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from earmark.analysis.bootstrap import EvaluatedVariant, Resampling, complete_seeds, draw_groups, evaluate
from earmark.analysis.breakdown import GroupSummary, ReliabilityBin, reliability_bins, summarize_groups
from earmark.analysis.comparable import check_comparable
from earmark.analysis.compare import COMPARED, Best, Comparison, compare_all, joint_model
from earmark.analysis.floor import Floor, find_floor
from earmark.analysis.joint_model import ROPE, JointModel, pairs_of
from earmark.analysis.learning_curve import LearningCurve, learning_curves, split_points
from earmark.analysis.looks import look_notes
from earmark.analysis.merge import pair_seeds
from earmark.analysis.metrics import guessing
from earmark.analysis.notes import flat_settings, floor_notes, notes_on
from earmark.analysis.plan_notes import plan_notes, planned_choice
from earmark.analysis.records import RunError, RunRecord, are_fixed, confusion_of, unfinished_beside
from earmark.analysis.slices import Column, Slices, find_slices
from earmark.analysis.statistics import average_ranks
from earmark.runtime.console import pluralize
from earmark.runtime.errors import suggest

METRICS = ("accuracy", "uar", "macro_f1", "top3_accuracy", "roc_auc", "nll", "ece")


@dataclass(frozen=True)
class MetricSummary:
    """One metric of one variant; None where it is not defined or there is too little to estimate it from."""

    mean: float | None
    """Of the runs: over the seeds of a fold, then over folds."""
    std_folds: float | None
    """Standard deviation over folds, each the mean of its seeds."""
    n_folds: int
    std_seeds: float | None
    """Standard deviation over seeds, each the mean of its folds; of seeds that have all folds."""
    n_seeds: int
    pooled: float | None
    """Of the clips of all folds taken together, averaged over seeds; ROC-AUC is averaged over folds as well."""
    low: float | None
    """95 % interval of `pooled`."""
    high: float | None

    @property
    def interval(self) -> tuple[float | None, float | None]:
        return self.low, self.high


@dataclass(frozen=True)
class Cost:
    """What the runs of a variant cost."""

    n_parameters: int | None
    """None where it is not known, as of imported predictions."""
    macs: int | None
    """Multiply-accumulate operations per window."""
    train_seconds: float | None
    """Mean over runs."""
    machines: tuple[str, ...]
    """Device and number of threads of the runs; times are comparable where there is one, the same for all."""


@dataclass(frozen=True)
class VariantSummary:
    """All that the runs of one variant say."""

    variant: str
    n_runs: int
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    n_clips: int
    metrics: dict[str, MetricSummary]
    recall: dict[str, float | None]
    """Per class, of the clips of all folds."""
    confusion: list[list[int]]
    """Clips by true (rows) and predicted class, summed over all runs."""
    groups: dict[str, GroupSummary]
    reliability: list[ReliabilityBin]
    cost: Cost
    leaks: tuple[str, ...]
    """What the splits of its runs leak; empty when they are sound."""
    waiver: str
    waived_groups: tuple[str, ...]
    """Groups that cross subsets by a published exception."""
    selected_on: tuple[str, ...]
    """What epochs and hyperparameters were chosen on: `none`, `valid` or, of imported runs, `unknown`."""
    labels_only: bool
    """Whether some of its runs have no probabilities, so that the metrics that need them are None."""
    ungrouped: bool
    """Whether the manifest declares no groups, so that each clip is one."""
    settings: dict[str, str]
    """What decides the result, apart from fold and seed, as `section.key`; empty where it is not known."""


@dataclass(frozen=True, repr=False)
class Aggregate:
    """A comparison of variants; `print` and a notebook show it as the terminal does."""

    name: str
    metric: str
    """What verdicts are about: one of `COMPARED`."""
    dataset: str
    split_kind: str
    selected_on: tuple[str, ...]
    """What the kept epochs of the trained runs were chosen on: `none` or `valid`; empty where no run has epochs."""
    class_names: tuple[str, ...]
    chance: float
    """Expected score on `metric` of guessing at random: 1 / K."""
    floor: float
    """Score on `metric` of always predicting the most frequent class."""
    references: Floor
    """What is scored without a network, and which variants beat it."""
    n_clips: int
    n_groups: int
    n_runs: int
    fixed: bool
    """Whether each variant is one network as it is, so that no other seeds and training sets are meant."""
    variants: tuple[VariantSummary, ...]
    comparisons: tuple[Comparison, ...]
    """For each of `COMPARED`; see `verdicts` for those on `metric`."""
    uncompared: tuple[tuple[str, str], ...]
    """Pairs that have no fold and seed in common."""
    best: Best | None
    """The variant with the highest score on `metric`; None for one alone and with too few groups."""
    ranks: dict[str, float]
    """Average rank of each variant on `metric` over the folds that all have; 1 is best."""
    n_ranked_folds: int
    curves: tuple[LearningCurve, ...]
    """Scores on `metric` by the number of training groups, of the variants that have them."""
    slices: Slices | None
    """Scores and comparisons in slices of the clips, where a column divides them."""
    unfinished: tuple[str, ...]
    """Run folders without a result."""
    notes: tuple[str, ...]
    """What a reader must know before believing the numbers."""

    def __repr__(self) -> str:
        from earmark.analysis.tables import terminal_text

        return terminal_text(self)

    @property
    def verdicts(self) -> tuple[Comparison, ...]:
        """The comparisons on `metric`."""
        return tuple(c for c in self.comparisons if c.metric == self.metric)

    @property
    def equal_machines(self) -> bool:
        """Whether all runs had the same device and number of threads, so that their times can be compared."""
        return len({machine for v in self.variants for machine in v.cost.machines}) == 1


def aggregate(
    records: Sequence[RunRecord],
    metric: str = "",
    baseline: str | None = None,
    rope: float = ROPE,
    by: Column | None = None,
) -> Aggregate:
    """Summarize and compare the variants of one suite; unfinished runs beside the records are named.

    Args:
        records: finished runs, from `read_runs`.
        metric: what verdicts are about, `accuracy` or `uar`; empty takes that of the plan, or else accuracy.
        baseline: the variant that all others are compared with; empty compares all pairs, None follows the plan.
        rope: largest difference that is equal for practical purposes, as a fraction (0.01 is one point).
        by: what divides the clips into slices that are scored and compared, too.

    Raises:
        RunError: runs that must not be put into one table (see `check_comparable`), or no such metric or baseline.
    """
    check_comparable(records)
    everything, (records, points) = records, split_points(records)
    metric, baseline = planned_choice(records, metric, baseline)
    _check_choice(metric, rope)
    by_variant = _by_variant(records, baseline)
    resampling = draw_groups(records)
    paired, seed_note = pair_seeds(by_variant)
    models = {m: joint_model(paired, m) for m in COMPARED}
    compared = {m: compare_all(paired, model, baseline, m, rope) for m, model in models.items()}
    own = {m: joint_model(by_variant, m) for m in COMPARED}  # a run that is paired several times is no further seed
    floor = find_floor(by_variant, metric)  # it predicts the same with every seed, so that none needs a partner
    unfinished, pairs = tuple(run.name for run in unfinished_beside(records)), pairs_of(list(by_variant), baseline)
    variants = tuple(_summary(name, evaluate(runs, resampling), resampling, own) for name, runs in by_variant.items())
    return Aggregate(
        **_shared(records, metric),
        **_ranks(by_variant, metric),
        references=floor,
        variants=variants,
        comparisons=tuple(c for found, _ in compared.values() for c in found),
        uncompared=tuple(sorted({*pairs} - {(c.variant, c.baseline) for c in compared[metric][0]})),
        best=compared[metric][1],
        curves=learning_curves(records, points, metric, rope),
        slices=find_slices(by, metric, own, models, pairs) if by else None,
        unfinished=unfinished,
        notes=(
            *plan_notes(everything, metric, baseline),
            *floor_notes(floor, metric),
            *notes_on(by_variant, len(resampling.group_index), unfinished, seed_note),
            *look_notes(everything, [v.metrics[metric].interval for v in variants], compared[metric][0]),
        ),
    )


def _shared(records: Sequence[RunRecord], metric: str) -> dict[str, Any]:
    """What an `Aggregate` says of all runs together."""
    selected_on = {r.result["selected_on"] for r in records if r.result["epochs"] is not None}
    targets = {clip_id: k for r in records for clip_id, k in zip(r.clip_ids, r.targets.tolist(), strict=True)}
    chance, majority = guessing(np.bincount([*targets.values()], minlength=len(records[0].class_names)), metric)
    return {
        "name": records[0].config.name,
        "metric": metric,
        "dataset": records[0].config.data.title,
        "split_kind": records[0].result["split"]["kind"],
        "selected_on": tuple(sorted(selected_on)),
        "class_names": records[0].class_names,
        "chance": chance,
        "floor": majority,
        "n_clips": len(targets),
        "n_groups": len({group for r in records for group in r.groups}),
        "n_runs": len(records),
        "fixed": are_fixed(records),
    }


def _check_choice(metric: str, rope: float) -> None:
    if metric not in COMPARED:
        raise RunError(f"metric = {metric!r}: not a metric for comparisons{suggest(metric, COMPARED)}")
    if not 0 < rope < 1:
        raise RunError(f"rope = {rope!r}: give a fraction between 0 and 1, for example 0.01 for one point")


def _by_variant(records: Sequence[RunRecord], baseline: str) -> dict[str, list[RunRecord]]:
    """Runs by variant, sorted by name with the baseline first; each sorted by fold and seed."""
    names = sorted({r.variant for r in records}, key=lambda name: (name != baseline, name))
    if baseline and baseline not in names:
        raise RunError(f"baseline = {baseline!r}: no variant of these runs{suggest(baseline, names)}")
    in_order = sorted(records, key=lambda r: r.fold_seed)
    return {name: [r for r in in_order if r.variant == name] for name in names}


def _ranks(by_variant: dict[str, list[RunRecord]], metric: str) -> dict[str, Any]:
    tables = [_fold_means(runs, metric) for runs in by_variant.values()]
    folds = sorted(set.intersection(*(set(table) for table in tables)))
    ranks = average_ranks(np.array([[table[fold] for table in tables] for fold in folds])) if folds else None
    found = {} if ranks is None else dict(zip(by_variant, ranks.tolist(), strict=True))
    return {"ranks": found, "n_ranked_folds": len(folds)}


def _fold_means(runs: Iterable[RunRecord], metric: str) -> dict[int, float]:
    """Mean over seeds per fold; folds without the metric are left out."""
    values: dict[int, list[float]] = {}
    for run in runs:
        if run.result["metrics"][metric] is not None:
            values.setdefault(run.config.fold, []).append(run.result["metrics"][metric])
    return {fold: float(np.mean(v)) for fold, v in values.items()}


def _summary(
    name: str, evaluated: EvaluatedVariant, resampling: Resampling, models: dict[str, JointModel]
) -> VariantSummary:
    runs, sums = list(evaluated.runs.values()), evaluated.pool.mean
    splits = [run.result["split"] for run in runs]
    recall = sums.right.sum(axis=0), sums.clips.sum(axis=0)
    return VariantSummary(
        variant=name,
        n_runs=len(runs),
        folds=tuple(sorted({run.config.fold for run in runs})),
        seeds=tuple(sorted({run.config.seed for run in runs})),
        n_clips=len({clip_id for run in runs for clip_id in run.clip_ids}),
        metrics={m: _metric_summary(m, evaluated, _interval(m, name, evaluated, models)) for m in METRICS},
        recall={c: float(r / n) if n else None for c, r, n in zip(runs[0].class_names, *recall, strict=True)},
        confusion=np.sum([confusion_of(run) for run in runs], axis=0).tolist(),
        groups=summarize_groups(evaluated, resampling),
        reliability=reliability_bins(evaluated) if all(run.has_probs for run in runs) else [],
        cost=_cost(runs),
        leaks=tuple(sorted({leak for split in splits for leak in split["leaks"]})),
        waiver=splits[0]["waiver"],
        waived_groups=tuple(sorted({group for split in splits for group in split["waived_groups"]})),
        selected_on=tuple(sorted({run.result["selected_on"] for run in runs})),
        labels_only=not all(run.has_probs for run in runs),
        ungrouped=any(run.ungrouped for run in runs),
        settings={} if runs[0].imported else flat_settings(runs[0].config),
    )


def _cost(runs: Sequence[RunRecord]) -> Cost:
    seconds = [run.timing["train_seconds"] for run in runs if "train_seconds" in run.timing]
    return Cost(
        n_parameters=runs[0].result["n_parameters"],
        macs=runs[0].result["macs"],
        train_seconds=float(np.mean(seconds)) if seconds else None,
        machines=tuple(sorted({_machine(run) for run in runs if not run.imported})),
    )


def _machine(run: RunRecord) -> str:
    device, threads = run.timing.get("device", "unknown device"), run.timing.get("threads")
    return device if threads is None else f"{device}, {pluralize(threads, 'thread')}"


def _interval(
    metric: str, name: str, evaluated: EvaluatedVariant, models: dict[str, JointModel]
) -> tuple[float | None, float | None]:
    """By the model where it knows the metric, else by the bootstrap over groups of clips."""
    if metric in models:
        score = models[metric].score(name)
        return (None, None) if score is None else (score.low, score.high)
    return evaluated.interval(metric) or (None, None)


def _metric_summary(
    metric: str, evaluated: EvaluatedVariant, interval: tuple[float | None, float | None]
) -> MetricSummary:
    runs = list(evaluated.runs.values())
    folds = list(_fold_means(runs, metric).values())
    of_seeds = [[run.result["metrics"][metric] for run in seed] for seed in complete_seeds(runs)]
    seeds = [float(np.mean(values)) for values in of_seeds if None not in values]
    pooled = evaluated.metrics[metric]
    return MetricSummary(
        mean=float(np.mean(folds)) if folds else None,
        std_folds=_std(folds),
        n_folds=len(folds),
        std_seeds=_std(seeds),
        n_seeds=len(seeds),
        pooled=None if np.isnan(pooled) else pooled,
        low=interval[0],
        high=interval[1],
    )


def _std(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
