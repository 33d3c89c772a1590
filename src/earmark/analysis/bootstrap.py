"""The clips of all folds taken together: sums per group, from which every metric follows.

A metric of many clips is a function of sums over them (right answers per class, clips per confidence bin ...).
With the sums kept per group, a bootstrap that draws whole groups is one matrix product. The area under the ROC
curve is no such function; its first-order expansion is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from earmark.analysis.metrics import N_BINS, confidence_bins, in_top_k, negative_log_likelihood
from earmark.analysis.records import RunRecord


@dataclass(frozen=True, eq=False)
class Pool:
    """The reported clips of one variant, all folds together, averaged over the seeds of each fold."""

    right: np.ndarray
    """(G, K) right predictions per group and true class."""
    clips: np.ndarray
    """(G, K) clips per group and true class."""
    predicted: np.ndarray
    """(G, K) clips per group and predicted class."""
    top3: np.ndarray
    """(G,) clips whose class is among the three most probable."""
    nll: np.ndarray
    """(G,) summed negative log-likelihood in nats."""
    bin_clips: np.ndarray
    """(G, N_BINS) clips by confidence of the prediction."""
    bin_confidence: np.ndarray
    """(G, N_BINS) their summed confidence."""
    bin_right: np.ndarray
    """(G, N_BINS) right ones among them."""
    auc: float
    """Mean over seeds; NaN where it is not defined or no seed has all folds."""
    auc_influence: np.ndarray
    """(G,) how the AUC changes with the weight of each group."""


def pool_runs(records: Sequence[RunRecord], group_index: Mapping[str, int]) -> Pool:
    """Sum the clips of one variant's runs per group; a fold's seeds count as one, by their mean.

    Args:
        group_index: row of each group, for all variants the same.
    """
    n_groups, n_classes = len(group_index), len(records[0].class_names)
    widths = (n_classes, n_classes, n_classes, 1, 1, N_BINS, N_BINS, N_BINS)
    totals = np.zeros((n_groups, sum(widths)))
    n_seeds = Counter(record.config.fold for record in records)
    for record in records:
        rows = np.array([group_index[group] for group in record.groups])
        np.add.at(totals, rows, _clip_columns(record) / n_seeds[record.config.fold])
    parts = np.split(totals, np.cumsum(widths)[:-1], axis=1)
    right, clips, predicted, top3, nll, *bins = parts
    return Pool(right, clips, predicted, top3[:, 0], nll[:, 0], *bins, *_pooled_auc(records, group_index))


def _clip_columns(record: RunRecord) -> np.ndarray:
    """What one clip adds to each sum, (N, C)."""
    probs, targets, predictions = record.probs, record.targets, record.predictions
    one_hot = np.eye(probs.shape[1])
    right = (predictions == targets)[:, None]
    confidence = probs.max(axis=1)
    in_bin = np.eye(N_BINS)[confidence_bins(confidence)]
    columns = (
        one_hot[targets] * right,
        one_hot[targets],
        one_hot[predictions],
        in_top_k(probs, targets, k=3)[:, None],
        negative_log_likelihood(probs, targets)[:, None],
        in_bin,
        in_bin * confidence[:, None],
        in_bin * right,
    )
    return np.concatenate(columns, axis=1)


def _pooled_auc(records: Sequence[RunRecord], group_index: Mapping[str, int]) -> tuple[float, np.ndarray]:
    """Mean over the seeds that have all folds of the AUC of all clips, and its influence per group."""
    folds = {record.config.fold for record in records}
    by_seed: dict[int, list[RunRecord]] = {}
    for record in records:
        by_seed.setdefault(record.config.seed, []).append(record)
    aucs, influences = [], []
    for runs in by_seed.values():
        if len(runs) == len(folds):
            probs, targets = (np.concatenate([getattr(r, name) for r in runs]) for name in ("probs", "targets"))
            auc, influence = auc_influence(probs, targets)
            rows = [group_index[group] for run in runs for group in run.groups]
            aucs.append(auc)
            influences.append(np.bincount(rows, weights=influence, minlength=len(group_index)))
    if not aucs:
        return float("nan"), np.full(len(group_index), np.nan)
    return float(np.mean(aucs)), np.mean(influences, axis=0)


def auc_influence(probs: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean one-against-rest AUC, and the derivative of it by the weight of each clip, (N,).

    The derivative comes from placement values: for a clip of the class, the share of other clips that score
    lower, and the other way round (DeLong, DeLong and Clarke-Pearson 1988; by group: Obuchowski 1997).
    """
    present = np.unique(targets)
    if len(present) < 2:
        return float("nan"), np.full(len(targets), np.nan)
    influence, total = np.zeros(len(targets)), 0.0
    for c in present:
        inside = targets == c
        n_inside, n_outside = inside.sum(), (~inside).sum()
        ranks = rankdata(probs[:, c])
        above = (ranks[inside] - rankdata(probs[inside, c])) / n_outside
        below = 1 - (ranks[~inside] - rankdata(probs[~inside, c])) / n_inside
        auc = above.mean()
        total += auc
        influence[inside] += (above - auc) / n_inside
        influence[~inside] += (below - auc) / n_outside
    return float(total / len(present)), influence / len(present)


def pooled_metrics(pool: Pool, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Every metric with each group counted `weights` times: (B, G) to arrays (B,).

    NaN where a metric is not defined. Weights of one give the metrics of the clips as they are.
    """
    right, clips, predicted = weights @ pool.right, weights @ pool.clips, weights @ pool.predicted
    n_clips = clips.sum(axis=1)
    gap = np.abs(weights @ pool.bin_right - weights @ pool.bin_confidence)
    return {
        "accuracy": _ratio(right.sum(axis=1), n_clips),
        "uar": _mean_ratio(right, clips),
        "macro_f1": _mean_ratio(2 * right, clips + predicted),
        "top3_accuracy": _ratio(weights @ pool.top3, n_clips),
        "roc_auc": np.minimum(pool.auc + weights @ pool.auc_influence, 1.0),
        "nll": _ratio(weights @ pool.nll, n_clips),
        "ece": _ratio(gap.sum(axis=1), n_clips),
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient; NaN where the denominator is 0."""
    out = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


def _mean_ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Mean quotient over the last axis, leaving out zero denominators."""
    return _ratio(np.nansum(_ratio(numerator, denominator), axis=-1), (denominator > 0).sum(axis=-1))
