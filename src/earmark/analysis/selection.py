"""What the best of several variants would score again: its own score is too high, because luck chose it too.

The bootstrap bias correction of Tsamardinos, Greasidou and Borboudakis (2018), with two things drawn instead of one:
groups of clips and seeds. In each resample the best variant is chosen on the groups and seeds that were drawn and
scored on the groups and seeds that were not, so that neither lucky clips nor a lucky initialization is counted twice.
The effect of a training set is common to all clips of its fold; it is corrected only as far as folds average it out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earmark.analysis.paired_model import MIN_GROUPS
from earmark.analysis.statistics import float_blocks, resample_groups

N_RESAMPLES = 500
RANDOM_SEED = 0


@dataclass(frozen=True)
class Winner:
    """The variant with the highest score, chosen among `n_candidates`."""

    index: int
    n_candidates: int
    score: float
    corrected: float | None
    """What the choice is expected to score on new clips with new seeds; None with too few groups to say."""


def best_of(
    right: np.ndarray,
    fold_of_run: np.ndarray,
    group_of_clip: np.ndarray,
    target_of_clip: np.ndarray | None = None,
    n_resamples: int = N_RESAMPLES,
) -> Winner:
    """The best of several variants, and its score after the choice; deterministic.

    Args:
        right: float64 (V, R, N), 1 and 0; NaN where a run does not report a clip.
        fold_of_run: (R,) runs of one fold differ in their seed; which seeds of two folds belong together is not used.
        group_of_clip: (N,)
        target_of_clip: (N,) true classes, for the average recall; None for accuracy.
    """
    hits, counts = _sums(right, fold_of_run, group_of_clip, target_of_clip)
    n_seeds, n_groups = hits.shape[:2]
    scores = _score(hits.sum(axis=(0, 1)), counts.sum(axis=(0, 1)))
    index = int(np.argmax(scores))
    score = float(scores[index])
    if len(scores) == 1 or n_groups < MIN_GROUPS:
        return Winner(index, len(scores), score, score if len(scores) == 1 else None)
    rng = np.random.default_rng(RANDOM_SEED)
    groups = resample_groups(n_groups, n_resamples, rng)
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n_resamples)
    unused = np.where((seeds > 0).all(axis=1, keepdims=True), 1, seeds == 0)
    chosen = np.argmax(_resampled(hits, counts, seeds, groups), axis=1)
    outside = _resampled(hits, counts, unused, groups == 0)[np.arange(n_resamples), chosen]
    return Winner(index, len(scores), score, min(score, float(outside[outside >= 0].mean())))


def _sums(
    right: np.ndarray, folds: np.ndarray, groups: np.ndarray, targets: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Right answers and answers per seed, group, variant and class, (S, G, V, K); the n-th run of a fold is seed n."""
    groups = np.unique(groups, return_inverse=True)[1]
    classes = np.zeros(len(groups), int) if targets is None else np.unique(targets, return_inverse=True)[1]
    n_groups, n_classes = int(groups.max()) + 1, int(classes.max()) + 1
    rank = np.array([np.count_nonzero(folds[:run] == fold) for run, fold in enumerate(folds)])
    cells = groups * n_classes + classes
    shape = (int(rank.max()) + 1, n_groups, len(right), n_classes)
    hits, counts = np.zeros(shape), np.zeros(shape)
    for v, runs in enumerate(right):
        for seed, row in zip(rank, runs, strict=True):
            there = np.isfinite(row)
            for total, weights in ((hits, row[there]), (counts, None)):
                part = np.bincount(cells[there], weights, n_groups * n_classes)
                total[seed, :, v] += part.reshape(n_groups, n_classes)
    return hits, counts


def _resampled(hits: np.ndarray, counts: np.ndarray, seeds: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Scores (B, V) with seeds counted (B, S) times and groups (B, G) times."""
    parts = []
    for sums in (hits, counts):
        by_seed_BSVK = np.concatenate([np.tensordot(block, sums, axes=(1, 1)) for block in float_blocks(groups)])
        parts.append(np.einsum("bs,bsvk->bvk", seeds.astype(np.float64), by_seed_BSVK))
    return _score(*parts)


def _score(hits: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that are present; -1 where there are no clips."""
    shares = np.divide(hits, counts, out=np.zeros_like(hits), where=counts > 0)
    present = (counts > 0).sum(axis=-1)
    return np.where(present > 0, shares.sum(axis=-1) / np.maximum(present, 1), -1.0)
