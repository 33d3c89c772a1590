"""The verdict as it was before: corrected t-test over folds and permutation test over groups, Holm's correction.

Compact, for `verdict.py` only. A difference was claimed when both tests agreed, so p was the larger one and the
interval spanned both intervals; here with 999 permutations and 500 bootstrap resamples.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats
from simulated_runs import Experiment

N_PERMUTATIONS = 999
N_RESAMPLES = 500


def before(e: Experiment, a: int, b: int, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Difference, p and the interval of variant `a` minus `b`, as `earmark` gave them."""
    difference = e.right[a] - e.right[b]
    group_part = pooled_contributions(difference, e)
    t_p, low, high = t_test(fold_differences(e.right[a], e.right[b], e), 1 / max(np.ptp(e.fold), 4))
    p = max(t_p, permutation_p(group_part, rng))
    spread = group_part.sum() + bootstrap(group_part, rng)
    n_groups = len(group_part)
    tail = stats.norm.cdf(stats.t.ppf(0.025, n_groups - 1) * math.sqrt(n_groups / (n_groups - 1)))
    clip_low, clip_high = np.quantile(spread, [tail, 1 - tail])
    return float(group_part.sum()), p, min(low, clip_low), max(high, clip_high)


def pooled_contributions(difference: np.ndarray, e: Experiment) -> np.ndarray:
    """What each group adds to the pooled difference, (G,)."""
    n = np.isfinite(difference).sum(axis=0)
    mean = np.nansum(difference, axis=0) / n
    weight = np.full(len(mean), 1 / len(mean))
    if e.target is not None:
        n_class = np.bincount(e.target)
        weight = 1 / n_class[e.target] / np.count_nonzero(n_class)
    return np.bincount(np.unique(e.group, return_inverse=True)[1], weight * mean)


def fold_differences(a: np.ndarray, b: np.ndarray, e: Experiment) -> np.ndarray:
    """One difference per fold, seeds averaged; per seed where there is one fold."""
    runs = np.array([metric(x, e) - metric(y, e) for x, y in zip(a, b, strict=True)])
    if e.fold.max() == e.fold.min():
        return runs
    return np.array([runs[e.fold == fold].mean() for fold in np.unique(e.fold)])


def metric(right: np.ndarray, e: Experiment) -> float:
    there = np.isfinite(right)
    if e.target is None:
        return float(right[there].mean())
    n_class = np.bincount(e.target[there])
    return float((np.bincount(e.target[there], right[there])[n_class > 0] / n_class[n_class > 0]).mean())


def t_test(units: np.ndarray, ratio: float) -> tuple[float, float, float]:
    """p and interval of the corrected resampled t-test; p = 1 where there is no spread."""
    n, mean, std = len(units), units.mean(), units.std(ddof=1) if len(units) > 1 else 0.0
    if n < 3 or std < 1e-12:
        return 1.0, -1.0, 1.0
    error = std * math.sqrt(1 / n + ratio)
    reach = stats.t.ppf(0.975, n - 1) * error
    return float(2 * stats.t.sf(abs(mean) / error, n - 1)), mean - reach, mean + reach


def permutation_p(values: np.ndarray, rng: np.random.Generator) -> float:
    values = values[values != 0]
    observed = abs(values.sum()) - 1e-9
    if len(values) <= 12:
        signs = 1 - 2 * (np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1)
        return float(np.mean(np.abs(signs @ values) >= observed))
    signs = 2 * rng.integers(0, 2, size=(N_PERMUTATIONS, len(values)), dtype=np.int8) - 1
    return float((1 + np.count_nonzero(np.abs(signs @ values) >= observed)) / (1 + N_PERMUTATIONS))


def bootstrap(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Deviations of resampled sums over groups, (B,); the size of groups is taken as fixed."""
    n = len(values)
    return rng.multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES) @ (values - values.mean())


def holm(p_values: np.ndarray) -> np.ndarray:
    order, n = np.argsort(p_values), len(p_values)
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(1, np.maximum.accumulate((n - np.arange(n)) * p_values[order]))
    return adjusted


def bbc(right: np.ndarray, e: Experiment, rng: np.random.Generator, n_resamples: int = 200) -> float:
    """The winner's score out of the bag (Tsamardinos et al. 2018), groups and seeds drawn, accuracy only."""
    groups = np.unique(e.group, return_inverse=True)[1]
    n_groups, scores = int(groups.max()) + 1, []
    seeds = np.unique(e.seed)
    by_seed = np.array([np.nansum(right[:, e.seed == s], axis=1) for s in seeds])  # (S, V, N)
    sums = np.array([[np.bincount(groups, row) for row in seed] for seed in by_seed])  # (S, V, G)
    sizes = np.bincount(groups)
    for _ in range(n_resamples):
        weights = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups))
        drawn = rng.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)))
        if weights.min() > 0:
            continue
        out, unused = weights == 0, drawn == 0 if (drawn == 0).any() else np.ones(len(seeds), bool)
        winner = np.argmax(np.tensordot(drawn, sums, 1) @ weights)
        scores.append(sums[unused][:, winner][:, out].mean(axis=0).sum() / sizes[out].sum())
    return float(np.mean(scores))
