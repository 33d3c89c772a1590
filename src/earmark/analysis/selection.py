"""What the best of several variants would score again: its own score is too high, because luck chose it too.

The bootstrap bias correction of Tsamardinos, Greasidou and Borboudakis (2018), with two things drawn instead of one:
groups of clips and seeds. In each resample the best variant is chosen on the groups and seeds that were drawn and
scored on the groups and seeds that were not, so that neither lucky clips nor a lucky initialization is counted twice.
Only what it loses there to the variant that is best on all clips is taken off the score (a control variate), class by
class: the few clips that were not drawn may lack a class, and how hard that is has nothing to do with the choice.
The effect of a training set is common to all clips of its fold; it is corrected only as far as folds average it out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earmark.analysis.paired_model import MIN_GROUPS
from earmark.analysis.statistics import BLOCK_VALUES, RANK_DIGITS, resample_groups

MIN_RESAMPLES, MAX_RESAMPLES, DRAWN_GROUPS = 2000, 20_000, 400_000
"""Resamples, and groups that all of them together draw: few groups need more resamples."""
RANDOM_SEED = 0


@dataclass(frozen=True)
class Winner:
    """The variants with the highest score, chosen among `n_candidates`."""

    indices: tuple[int, ...]
    """One, or all that share the highest score."""
    n_candidates: int
    score: float
    corrected: float | None
    """What the choice is expected to score on new clips with new seeds, from the lowest score of a variant to the
    highest; None with too few groups to say."""


def best_of(
    right: np.ndarray,
    fold_of_run: np.ndarray,
    group_of_clip: np.ndarray,
    target_of_clip: np.ndarray | None = None,
    n_resamples: int = 0,
) -> Winner:
    """The best of several variants, and its score after the choice; deterministic.

    Args:
        right: float64 (V, R, N), 1 and 0; NaN where a run does not report a clip.
        fold_of_run: (R,) runs of one fold differ in their seed; which seeds of two folds belong together is not used.
        group_of_clip: (N,)
        target_of_clip: (N,) true classes, for the average recall; None for accuracy.
        n_resamples: 0 takes as many as the number of groups needs.
    """
    hits, counts = _sums(right, fold_of_run, group_of_clip, target_of_clip)
    n_seeds, n_groups = hits.shape[:2]
    scores = _score(_shares(hits.sum(axis=(0, 1)), counts.sum(axis=(0, 1))))
    best = _highest(scores[None])
    indices, score = tuple(np.flatnonzero(best).tolist()), float(scores.max())
    if len(scores) == 1 or n_groups < MIN_GROUPS:
        return Winner(indices, len(scores), score, score if len(scores) == 1 else None)
    n_resamples = n_resamples or min(max(DRAWN_GROUPS // n_groups, MIN_RESAMPLES), MAX_RESAMPLES)
    rng = np.random.default_rng(RANDOM_SEED)
    groups = resample_groups(n_groups, n_resamples, rng)
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n_resamples)
    unused = np.where((seeds > 0).all(axis=1, keepdims=True), 1, seeds == 0)
    chosen = _highest(_score(_recalls(hits, counts, seeds, groups)))
    outside = _recalls(hits, counts, unused, groups == 0)
    gain_BK = ((chosen - best)[:, :, None] * outside).sum(axis=1)
    known = np.isfinite(gain_BK)
    gain_K = np.where(known, gain_BK, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    corrected = float(np.clip(score + gain_K.mean(), scores.min(), score))
    return Winner(indices, len(scores), score, corrected)


def _highest(scores: np.ndarray) -> np.ndarray:
    """How much each variant counts among those that share the highest score, (B, V); rows sum to 1."""
    rounded = scores.round(RANK_DIGITS)
    highest = rounded == rounded.max(axis=1, keepdims=True)
    return highest / highest.sum(axis=1, keepdims=True)


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


def _recalls(hits: np.ndarray, counts: np.ndarray, seeds: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Recalls (B, V, K) with seeds counted (B, S) times and groups (B, G) times, some resamples at a time."""
    n_rows = max(1, BLOCK_VALUES // max(hits.shape[1], hits[:, 0].size))
    blocks = [slice(first, first + n_rows) for first in range(0, len(groups), n_rows)]
    return np.concatenate(
        [_shares(*(_weighted(sums, seeds[rows], groups[rows]) for sums in (hits, counts))) for rows in blocks]
    )


def _weighted(sums: np.ndarray, seeds: np.ndarray, groups: np.ndarray) -> np.ndarray:
    by_seed_BSVK = np.tensordot(groups.astype(np.float64), sums, axes=(1, 1))
    return np.einsum("bs,bsvk->bvk", seeds.astype(np.float64), by_seed_BSVK)


def _shares(hits: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """NaN where there are no clips."""
    return np.divide(hits, counts, out=np.full_like(hits, np.nan), where=counts > 0)


def _score(recalls: np.ndarray) -> np.ndarray:
    """Mean over the classes that are present; -1 where there are no clips."""
    present = np.isfinite(recalls).sum(axis=-1)
    return np.where(present > 0, np.nansum(recalls, axis=-1) / np.maximum(present, 1), -1.0)
