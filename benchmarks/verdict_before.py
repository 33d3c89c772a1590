"""The verdict as it was before: corrected t-test over folds and permutation test over groups, Holm's correction.

Compact, for `verdict.py` only. A difference was claimed when both tests agreed, so p was the larger one and the
interval spanned both intervals. Here with 999 permutations, and the expanded percentile interval over groups by the
normal approximation that it was made to match.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import stdtr, stdtrit
from simulated_runs import Experiment

N_PERMUTATIONS = 999


def before(e: Experiment, a: int, b: int, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Difference, p and the interval of variant `a` minus `b`, as `earmark` gave them."""
    difference = e.right[a] - e.right[b]
    group_part = pooled_contributions(difference, e)
    ratio = e.ratio - 1 if e.ratio > 1 else e.ratio  # test clips of one run over its training clips
    t_p, low, high = t_test(fold_differences(e.right[a], e.right[b], e), ratio)
    p = max(t_p, permutation_p(group_part, rng))
    n_groups = len(group_part)
    reach = stdtrit(n_groups - 1, 0.975) * group_part.std(ddof=1) * math.sqrt(n_groups)
    center = group_part.sum()
    return float(center), p, min(low, center - reach), max(high, center + reach)


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
    reach = stdtrit(n - 1, 0.975) * error
    return float(2 * stdtr(n - 1, -abs(mean) / error)), mean - reach, mean + reach


def permutation_p(values: np.ndarray, rng: np.random.Generator) -> float:
    values = values[values != 0]
    observed = abs(values.sum()) - 1e-9
    if len(values) <= 12:
        signs = 1 - 2 * (np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1)
        return float(np.mean(np.abs(signs @ values) >= observed))
    signs = 2 * rng.integers(0, 2, size=(N_PERMUTATIONS, len(values)), dtype=np.int8) - 1
    return float((1 + np.count_nonzero(np.abs(signs @ values) >= observed)) / (1 + N_PERMUTATIONS))


def holm(p_values: np.ndarray) -> np.ndarray:
    order, n = np.argsort(p_values), len(p_values)
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(1, np.maximum.accumulate((n - np.arange(n)) * p_values[order]))
    return adjusted
