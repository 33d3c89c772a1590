"""The metrics of one variant over all its folds and seeds, as they are and with groups of clips drawn again.

A metric of many clips is a function of sums over them (right answers per class, clips per confidence bin ...).
With the sums kept per group, a bootstrap that draws whole groups is one matrix product. The area under the ROC
curve is no such function; its first-order expansion is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from earmark.analysis.metrics import (
    N_BINS,
    OF_PROBABILITIES,
    confidence_bins,
    in_top3,
    negative_log_likelihood,
    placements,
)
from earmark.analysis.paired_model import MIN_GROUPS
from earmark.analysis.records import RunRecord
from earmark.analysis.statistics import Interval, float_blocks, percentile_interval, resample_groups

N_RESAMPLES = 2000
RANDOM_SEED = 0
"""Of the bootstrap: the same runs give the same tables."""


class Resampling(NamedTuple):
    """The bootstrap's draws, one for all variants, so that differences are paired."""

    group_index: Mapping[str, int]
    weights: np.ndarray
    """uint8 (B, G) how often each group is drawn."""


def draw_groups(records: Sequence[RunRecord]) -> Resampling:
    """The groups of all runs, drawn again with replacement."""
    groups = sorted({group for r in records for group in r.groups})
    weights = resample_groups(len(groups), N_RESAMPLES, np.random.default_rng(RANDOM_SEED))
    return Resampling({group: row for row, group in enumerate(groups)}, weights)


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over clips per group (G,) and class (K,) or confidence bin."""

    right: np.ndarray
    """(G, K) right predictions by true class."""
    clips: np.ndarray
    """(G, K) clips by true class."""
    predicted: np.ndarray
    """(G, K) clips by predicted class."""
    top3: np.ndarray
    """(G, 1) clips whose class is among the three most probable."""
    nll: np.ndarray
    """(G, 1) negative log-likelihood in nats."""
    bin_clips: np.ndarray
    """(G, N_BINS) clips by confidence of the prediction."""
    bin_confidence: np.ndarray
    """(G, N_BINS) their confidence."""
    bin_right: np.ndarray
    """(G, N_BINS) right ones among them."""


@dataclass(frozen=True, eq=False)
class Pool:
    """The reported clips of one variant, all folds together."""

    mean: Sums
    """Averaged over the seeds of each fold."""
    seeds: tuple[Sums, ...]
    """Of each seed that has all folds."""
    aucs: np.ndarray
    """(S,) ROC-AUC of each of these seeds: the mean over folds, since scores of two networks have no common scale."""
    auc_influences: np.ndarray
    """(S, G) how that changes with the weight of each group."""


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
        return int(np.count_nonzero(self.pool.mean.clips.sum(axis=1)))

    def interval(self, metric: str) -> Interval | None:
        """95 % bootstrap interval over groups; None with too few of them or without the metric.

        The calibration error has none: resampling repeats clips, which raises the gap of each bin.
        """
        values = self.resampled[metric]
        if metric == "ece" or self.n_groups < MIN_GROUPS or np.isnan(values).all():
            return None
        return percentile_interval(values, self.n_groups)


def evaluate(runs: Iterable[RunRecord], resampling: Resampling) -> EvaluatedVariant:
    """Pool and resample the runs of one variant."""
    by_fold_seed = {record.fold_seed: record for record in runs}
    pool = pool_runs(list(by_fold_seed.values()), resampling.group_index)
    metrics = pooled_metrics(pool, np.ones((1, len(resampling.group_index))))
    blocks = [pooled_metrics(pool, weights) for weights in float_blocks(resampling.weights)]
    resampled = {name: np.concatenate([block[name] for block in blocks]) for name in metrics}
    if not all(record.has_probs for record in by_fold_seed.values()):
        for name in OF_PROBABILITIES:
            metrics[name], resampled[name] = metrics[name] * np.nan, resampled[name] * np.nan
    return EvaluatedVariant(by_fold_seed, pool, {name: float(value[0]) for name, value in metrics.items()}, resampled)


def pool_runs(records: Sequence[RunRecord], group_index: Mapping[str, int]) -> Pool:
    """Sum the clips of one variant's runs per group.

    Args:
        group_index: row of each group, for all variants the same.
    """
    columns = {record: _clip_columns(record) for record in records}
    n_seeds = Counter(record.config.fold for record in records)
    n_times = _n_partitions(records)
    fold_weights = {record: 1 / (n_seeds[record.config.fold] * n_times) for record in records}
    complete = complete_seeds(records)
    aucs = [_mean_auc(runs, group_index) for runs in complete]
    return Pool(
        _sums(records, columns, fold_weights, group_index),
        tuple(_sums(runs, columns, dict.fromkeys(runs, 1.0), group_index) for runs in complete),
        np.array([auc for auc, _ in aucs]),
        np.array([influence for _, influence in aucs]).reshape(len(aucs), len(group_index)),
    )


def _n_partitions(records: Sequence[RunRecord]) -> float:
    """In how many folds a clip is reported, on average; above 1 for repeated partitions."""
    by_fold = {record.config.fold: record.clip_ids for record in records}
    return sum(map(len, by_fold.values())) / len({clip_id for ids in by_fold.values() for clip_id in ids})


def complete_seeds(records: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """The runs of each seed that has all folds."""
    n_folds = len({record.config.fold for record in records})
    by_seed: dict[int, list[RunRecord]] = {}
    for record in records:
        by_seed.setdefault(record.config.seed, []).append(record)
    return [runs for runs in by_seed.values() if len(runs) == n_folds]


def _sums(
    records: Sequence[RunRecord],
    columns: Mapping[RunRecord, np.ndarray],
    weights: Mapping[RunRecord, float],
    group_index: Mapping[str, int],
) -> Sums:
    n_classes = len(records[0].class_names)
    widths = (n_classes, n_classes, n_classes, 1, 1, N_BINS, N_BINS, N_BINS)
    totals = np.zeros((len(group_index), sum(widths)))
    for record in records:
        rows = np.array([group_index[group] for group in record.groups])
        np.add.at(totals, rows, columns[record] * weights[record])
    return Sums(*np.split(totals, np.cumsum(widths)[:-1], axis=1))


def _clip_columns(record: RunRecord) -> np.ndarray:
    """What each clip adds to each sum, (N, C), in the order of `Sums`."""
    probs, targets, predictions = record.probs, record.targets, record.predictions
    one_hot = np.eye(probs.shape[1])
    right = (predictions == targets)[:, None]
    confidence = probs.max(axis=1)
    in_bin = np.eye(N_BINS)[confidence_bins(confidence)]
    columns = (
        one_hot[targets] * right,
        one_hot[targets],
        one_hot[predictions],
        in_top3(probs, targets)[:, None],
        negative_log_likelihood(probs, targets)[:, None],
        in_bin,
        in_bin * confidence[:, None],
        in_bin * right,
    )
    return np.concatenate(columns, axis=1)


def _mean_auc(runs: Sequence[RunRecord], group_index: Mapping[str, int]) -> tuple[float, np.ndarray]:
    """Mean over the runs that have one of the AUC, and its influence per group; NaN where none has."""
    aucs, influences = [], []
    for run in runs:
        auc, influence = auc_influence(run.probs, run.targets)
        if not np.isnan(auc):
            rows = [group_index[group] for group in run.groups]
            aucs.append(auc)
            influences.append(np.bincount(rows, weights=influence, minlength=len(group_index)))
    if not aucs:
        return float("nan"), np.full(len(group_index), np.nan)
    return float(np.mean(aucs)), np.mean(influences, axis=0)


def auc_influence(probs: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean one-against-rest AUC, and the derivative of it by the weight of each clip, (N,).

    The derivative comes from the placements of clips of the class among the others, and vice versa (DeLong, DeLong and
    Clarke-Pearson 1988; by group: Obuchowski 1997).
    """
    present = np.unique(targets)
    if len(present) < 2:
        return float("nan"), np.full(len(targets), np.nan)
    influence, total = np.zeros(len(targets)), 0.0
    for c in present:
        inside = targets == c
        below, above = placements(probs[:, c], inside)
        auc = below.mean()
        total += auc
        influence[inside] += (below - auc) / len(below)
        influence[~inside] += (above - auc) / len(above)
    return float(total / len(present)), influence / len(present)


def pooled_metrics(pool: Pool, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Every metric with each group weighted by `weights`: (B, G) to arrays (B,).

    NaN where a metric is not defined. Weights of one give the metrics of the clips as they are.
    """
    sums = pool.mean
    clips = weights @ sums.clips
    n_clips = clips.sum(axis=1)
    right = weights @ sums.right
    return {
        "accuracy": _ratio(right.sum(axis=1), n_clips),
        "uar": _mean_ratio(right, clips),
        "macro_f1": _mean_over_seeds([_macro_f1(seed, weights) for seed in pool.seeds], len(weights)),
        "top3_accuracy": _ratio((weights @ sums.top3)[:, 0], n_clips),
        "roc_auc": _mean_over_seeds(
            [
                shift_auc(auc, weights @ influence)
                for auc, influence in zip(pool.aucs, pool.auc_influences, strict=True)
            ],
            len(weights),
        ),
        "nll": _ratio((weights @ sums.nll)[:, 0], n_clips),
        "ece": _mean_over_seeds([_calibration_error(seed, weights) for seed in pool.seeds], len(weights)),
    }


def shift_auc(auc: float, changes: np.ndarray) -> np.ndarray:
    """An AUC after first-order changes, which are made to its logit: it stays below 1, near which it is skewed."""
    if not 0 < auc < 1:
        return np.full(len(changes), auc)
    return np.asarray(expit(logit(auc) + changes / (auc * (1 - auc))))


def _macro_f1(sums: Sums, weights: np.ndarray) -> np.ndarray:
    return _mean_ratio(2 * weights @ sums.right, weights @ sums.clips + weights @ sums.predicted)


def _calibration_error(sums: Sums, weights: np.ndarray) -> np.ndarray:
    gap = np.abs(weights @ sums.bin_right - weights @ sums.bin_confidence)
    return _ratio(gap.sum(axis=1), (weights @ sums.bin_clips).sum(axis=1))


def _mean_over_seeds(values: Sequence[np.ndarray], n_rows: int) -> np.ndarray:
    return np.mean(values, axis=0) if len(values) else np.full(n_rows, np.nan)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient; NaN where the denominator is 0."""
    out = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


def _mean_ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Mean quotient over the last axis, leaving out zero denominators."""
    return _ratio(np.nansum(_ratio(numerator, denominator), axis=-1), (denominator > 0).sum(axis=-1))
