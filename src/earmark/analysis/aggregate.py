"""From finished runs to a compared result: summaries per variant, paired comparisons, and what to be told.

`read_runs` reads a folder of runs, `aggregate` summarises them as plain data (`earmark.analysis.summary`), `write_tables`
writes what they say. Which statistics, and why: docs/statistics.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from earmark.analysis.compare import (
    COMPARED,
    Comparison,
    EvaluatedVariant,
    Resampling,
    compare,
    correct_family,
    evaluate,
)
from earmark.analysis.records import RunError, RunRecord, check_comparable, unfinished_beside
from earmark.analysis.statistics import average_ranks, resample_groups
from earmark.analysis.summary import METRICS, Aggregate, GroupSummary, MetricSummary, ReliabilityBin, VariantSummary
from earmark.analysis.verdicts import notes_on

N_RESAMPLES = 2000
RANDOM_SEED = 0
"""Of bootstrap and permutation: the same runs give the same tables."""


def aggregate(records: Sequence[RunRecord], metric: str = "accuracy", baseline: str = "") -> Aggregate:
    """Summarise and compare the variants of one comparison; unfinished runs beside the records are named.

    Args:
        records: finished runs, from `read_runs`.
        metric: what verdicts are about, `accuracy` or `uar`.
        baseline: the variant that all others are compared with; empty compares every two.

    Raises:
        RunError: runs that must not be put into one table (see `check_comparable`), or no such metric or baseline.
    """
    check_comparable(records)
    by_variant = _by_variant(records, baseline)
    if metric not in COMPARED:
        raise RunError(f"metric = {metric!r}: variants are compared on {' or '.join(COMPARED)}")
    resampling = _draw(records)
    evaluated = {name: evaluate(runs, resampling) for name, runs in by_variant.items()}
    ranks, n_ranked_folds = _ranks(by_variant, metric)
    first = records[0]
    unfinished = tuple(run.name for run in unfinished_beside(records))
    return Aggregate(
        name=first.config.name,
        metric=metric,
        dataset=first.config.data.dataset,
        split_kind=first.result["split"]["kind"],
        selected_on=tuple(sorted({r.result["selected_on"] for r in records})),
        class_names=first.class_names,
        n_clips=len({clip_id for r in records for clip_id in r.clip_ids}),
        n_groups=len(resampling.group_index),
        n_runs=len(records),
        variants=tuple(_summary(name, evaluated[name], resampling) for name in by_variant),
        comparisons=tuple(_comparisons(evaluated, baseline, resampling)),
        ranks=ranks,
        n_ranked_folds=n_ranked_folds,
        unfinished=unfinished,
        notes=tuple(notes_on(by_variant, len(resampling.group_index), unfinished)),
    )


def _by_variant(records: Sequence[RunRecord], baseline: str) -> dict[str, list[RunRecord]]:
    """Runs by variant, in the order of names, the baseline first; each sorted by fold and seed."""
    names = sorted({r.variant for r in records}, key=lambda name: (name != baseline, name))
    if baseline and baseline not in names:
        close = difflib.get_close_matches(baseline, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there is {', '.join(names)}"
        raise RunError(f"baseline = {baseline!r}: no variant of these runs; {hint}")
    in_order = sorted(records, key=lambda r: r.cell)
    return {name: [r for r in in_order if r.variant == name] for name in names}


def _draw(records: Sequence[RunRecord]) -> Resampling:
    groups = sorted({group for r in records for group in r.groups})
    rng = np.random.default_rng(RANDOM_SEED)
    weights = resample_groups(len(groups), N_RESAMPLES, rng)
    return Resampling({group: row for row, group in enumerate(groups)}, weights)


def _comparisons(evaluated: dict[str, EvaluatedVariant], baseline: str, resampling: Resampling) -> list[Comparison]:
    if baseline:
        pairs = [(name, baseline) for name in evaluated if name != baseline]
    else:
        pairs = [(later, earlier) for earlier, later in combinations(evaluated, 2)]
    result = []
    for metric in COMPARED:
        rng = np.random.default_rng(RANDOM_SEED)
        found = [compare(evaluated[a], evaluated[b], metric, resampling, rng) for a, b in pairs]
        result += correct_family([c for c in found if c is not None])
    return result


def _ranks(by_variant: dict[str, list[RunRecord]], metric: str) -> tuple[dict[str, float], int]:
    tables = [_fold_means(runs, metric) for runs in by_variant.values()]
    folds = sorted(set.intersection(*(set(table) for table in tables)))
    if not folds:
        return {}, 0
    ranks = average_ranks(np.array([[table[fold] for table in tables] for fold in folds]))
    return dict(zip(by_variant, ranks.tolist(), strict=True)), len(folds)


def _fold_means(runs: Iterable[RunRecord], metric: str) -> dict[int, float]:
    """Mean over seeds per fold; folds without the metric are left out."""
    values: dict[int, list[float]] = {}
    for run in runs:
        if run.result["metrics"][metric] is not None:
            values.setdefault(run.config.fold, []).append(run.result["metrics"][metric])
    return {fold: float(np.mean(v)) for fold, v in values.items()}


def _summary(name: str, evaluated: EvaluatedVariant, resampling: Resampling) -> VariantSummary:
    runs, pool = list(evaluated.runs.values()), evaluated.pool
    splits = [run.result["split"] for run in runs]
    seconds = [run.timing["train_seconds"] for run in runs if "train_seconds" in run.timing]
    recall = pool.right.sum(axis=0), pool.clips.sum(axis=0)
    return VariantSummary(
        variant=name,
        n_runs=len(runs),
        folds=tuple(sorted({run.config.fold for run in runs})),
        seeds=tuple(sorted({run.config.seed for run in runs})),
        n_clips=len({clip_id for run in runs for clip_id in run.clip_ids}),
        metrics={metric: _metric_summary(metric, evaluated) for metric in METRICS},
        recall={c: float(r / n) if n else None for c, r, n in zip(runs[0].class_names, *recall, strict=True)},
        confusion=np.sum([run.result["confusion"] for run in runs], axis=0).tolist(),
        groups=_group_summaries(evaluated, resampling),
        reliability=_reliability(evaluated),
        n_parameters=runs[0].result["n_parameters"],
        multiply_adds=runs[0].result["multiply_adds"],
        train_seconds=float(np.mean(seconds)) if seconds else None,
        devices=tuple(sorted({run.timing["device"] for run in runs if "device" in run.timing})),
        leaks=tuple(sorted({leak for split in splits for leak in split["leaks"]})),
        waiver=splits[0]["waiver"],
        waived_groups=tuple(sorted({group for split in splits for group in split["waived_groups"]})),
    )


def _metric_summary(metric: str, evaluated: EvaluatedVariant) -> MetricSummary:
    runs = evaluated.runs.values()
    folds = list(_fold_means(runs, metric).values())
    n_folds = len({run.config.fold for run in runs})
    by_seed: dict[int, list[float]] = {}
    for run in runs:
        by_seed.setdefault(run.config.seed, []).append(run.result["metrics"][metric])
    complete = [v for v in by_seed.values() if len(v) == n_folds and None not in v]
    seeds = [float(np.mean(v)) for v in complete]
    pooled, interval = evaluated.metrics[metric], evaluated.interval(metric)
    return MetricSummary(
        mean=float(np.mean(folds)) if folds else None,
        std_folds=_std(folds),
        n_folds=len(folds),
        std_seeds=_std(seeds),
        n_seeds=len(seeds),
        pooled=None if np.isnan(pooled) else pooled,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
    )


def _std(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _group_summaries(evaluated: EvaluatedVariant, resampling: Resampling) -> dict[str, GroupSummary]:
    right, clips = evaluated.pool.right, evaluated.pool.clips
    return {
        group: GroupSummary(
            n_clips=round(clips[row].sum()),
            accuracy=float(right[row].sum() / clips[row].sum()),
            uar=float(np.mean(right[row, clips[row] > 0] / clips[row, clips[row] > 0])),
        )
        for group, row in resampling.group_index.items()
        if clips[row].sum() > 0
    }


def _reliability(evaluated: EvaluatedVariant) -> list[ReliabilityBin]:
    pool = evaluated.pool
    sums = (pool.bin_confidence.sum(axis=0), pool.bin_right.sum(axis=0), pool.bin_clips.sum(axis=0))
    return [ReliabilityBin(float(c / n), float(r / n), float(n)) for c, r, n in zip(*sums, strict=True) if n > 0]
