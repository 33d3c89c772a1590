"""Intervals and tests for comparing classifiers, as functions of arrays; sources in docs/statistics.md.

Two things vary when an experiment is repeated: the clips that are scored and the training that is scored on
them. Resampling groups of clips speaks about the first, the t-test over folds about the second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

LEVEL = 0.95
"""Confidence of every interval; a test is called significant below 1 - LEVEL."""
POWER = 0.8
"""How often a difference must be found to count as one that an experiment can show."""
MIN_UNITS = 3
"""Folds (or seeds, where there is one fold) that the t-test needs."""
MIN_GROUPS = 6
"""Groups that the permutation test and the bootstrap need: with 5, the smallest p is 2 / 2**5 > 0.05."""
EXACT_GROUPS = 12
"""Up to this many groups that differ, the permutation test goes through all sign patterns."""


class Interval(NamedTuple):
    low: float
    high: float


class TTest(NamedTuple):
    """Result of `corrected_t_test`; arrays where it was given several experiments."""

    difference: float
    standard_error: float
    p: float
    low: float
    high: float


def resample_groups(n_groups: int, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each group is drawn in each bootstrap resample, float64 (B, G); rows sum to G."""
    return rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_resamples).astype(np.float64)


def percentile_interval(values: np.ndarray, n_groups: int) -> Interval | None:
    """The expanded percentile interval (Hesterberg 2015) of a bootstrap over `n_groups` groups.

    The plain percentile interval of few groups is too narrow; its quantiles are moved outwards by as much as
    makes the interval of a mean that of Student's t. None with fewer than `MIN_GROUPS` groups, and where all
    resamples agree (no clip wrong, for example): what was never seen cannot be drawn.

    Args:
        values: (B,) the statistic on each resample; NaN where it is not defined.
    """
    if n_groups < MIN_GROUPS or np.nanmax(values) - np.nanmin(values) < 1e-12:
        return None
    t = stats.t.ppf((1 - LEVEL) / 2, n_groups - 1)
    tail = stats.norm.cdf(t * math.sqrt(n_groups / (n_groups - 1)))
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))


def corrected_t_test(differences: np.ndarray, test_train_ratio: float) -> TTest:
    """The corrected resampled t-test of Nadeau and Bengio (2003), two-sided, with its interval.

    Differences of overlapping training sets are correlated, so that their mean varies more than the plain
    t-test thinks: the variance s^2 / J becomes s^2 (1 / J + n_test / n_train).

    Args:
        differences: (..., J) one difference per fold; leading dimensions are separate experiments.
        test_train_ratio: number of test clips over number of training clips.

    Returns:
        Where the differences do not vary, the spread is unknown: p is 1 if they are all 0, else NaN, and so is
        the interval (equal scores of a few folds are evidence of nothing but of coarse scores).
    """
    n_units = differences.shape[-1]
    mean = differences.mean(axis=-1)
    std = differences.std(axis=-1, ddof=1)
    std = np.where(std > 1e-12, std, np.nan)
    error = std * math.sqrt(1 / n_units + test_train_ratio)
    p = 2 * stats.t.sf(np.abs(mean) / error, n_units - 1)
    p = np.where(np.isnan(error) & (np.abs(mean) < 1e-12), 1.0, p)
    reach = stats.t.ppf((1 + LEVEL) / 2, n_units - 1) * error
    return TTest(mean, error, p, mean - reach, mean + reach)


def permutation_test(contributions: np.ndarray, rng: np.random.Generator, n_permutations: int = 9999) -> float:
    """Two-sided p of a difference that is a sum over groups, if either variant could have made either part.

    Under the null hypothesis the two variants' predictions on a group can be exchanged, which turns the sign
    of its contribution; all clips, folds and seeds of a group are exchanged together. All sign patterns are
    gone through where `EXACT_GROUPS` or fewer groups contribute, else `n_permutations` random ones.

    Args:
        contributions: (G,) what each group adds to the difference.
    """
    values = contributions[contributions != 0]
    observed = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    if len(values) <= EXACT_GROUPS:
        patterns = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float(np.mean(np.abs((1 - 2 * patterns) @ values) >= observed))
    as_extreme = 0
    for start in range(0, n_permutations, 1000):
        signs = rng.integers(0, 2, size=(min(1000, n_permutations - start), len(values)), dtype=np.int8)
        as_extreme += int(np.count_nonzero(np.abs((1 - 2 * signs) @ values) >= observed))
    return (1 + as_extreme) / (1 + n_permutations)


def mcnemar_test(n_first: int, n_second: int) -> float:
    """Two-sided mid-p of McNemar's test from the clips that only one of two variants gets right.

    The mid-p version holds its level without being as conservative as the exact one (Fagerland, Lydersen and
    Laake 2013). It takes clips as independent.
    """
    n, fewer = n_first + n_second, min(n_first, n_second)
    if n == 0:
        return 1.0
    exact = min(1.0, 2 * stats.binom.cdf(fewer, n, 0.5))
    half = 0.5 if n_first == n_second else 1.0
    return float(exact - half * stats.binom.pmf(fewer, n, 0.5))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values of one family so that a false claim among them is as rare as one alone (Holm 1979)."""
    n = len(p_values)
    adjusted = [0.0] * n
    highest = 0.0
    for rank, index in enumerate(sorted(range(n), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (n - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def average_ranks(scores: np.ndarray) -> np.ndarray:
    """Mean rank of each variant over folds, (V,); 1 is the highest score, ties share a rank (Demšar 2006).

    Args:
        scores: (J, V) one row per fold.
    """
    return stats.rankdata(-scores, axis=1).mean(axis=0)


def noncentrality(n_units: int) -> float:
    """The true difference, in standard errors, that the t-test finds with probability `POWER`."""
    df = n_units - 1
    critical = stats.t.ppf((1 + LEVEL) / 2, df)
    return float(optimize.brentq(lambda nc: stats.nct.sf(critical, df, nc) - POWER, 0.1, 4 * critical + 10))


class Variance(NamedTuple):
    """Where paired differences get their spread from; `seeds` is NaN when every fold has one seed."""

    folds: float
    seeds: float


def variance_components(differences: np.ndarray) -> Variance:
    """Split the variance of differences into that between folds and that between seeds (one-way ANOVA).

    Args:
        differences: (J, S) folds by seeds, NaN where a run is missing; each fold has one at least.
    """
    n_seeds = np.count_nonzero(~np.isnan(differences), axis=1)
    means = np.nanmean(differences, axis=1)
    freedom = (n_seeds - 1).sum()
    within = np.nansum((differences - means[:, None]) ** 2) / freedom if freedom else math.nan
    if len(means) == 1:
        return Variance(0.0, float(within))
    between = means.var(ddof=1)
    noise = within * np.mean(1 / n_seeds) if freedom else 0.0
    return Variance(max(0.0, float(between - noise)), float(within))


def runs_needed(differences: np.ndarray, test_train_ratio: float, smallest: float) -> int | None:
    """Runs per variant (folds times seeds) with which a true difference `smallest` would be found.

    The folds stay as they are and seeds are added. None where no number of seeds would do, because the folds
    themselves differ too much: then only more clips help. Where every fold has one seed, all spread is taken
    for seed noise, so that the answer is a lower bound.

    Args:
        differences: as for `variance_components`; `MIN_UNITS` folds, or one fold with that many seeds.
    """
    n_folds = len(differences)
    variance = variance_components(differences)
    if n_folds == 1:
        return _seeds_of_one_fold(variance.seeds, test_train_ratio, smallest)
    if math.isnan(variance.seeds):
        variance = Variance(0.0, variance.folds)
    allowed = (smallest / noncentrality(n_folds)) ** 2 / (1 / n_folds + test_train_ratio)
    if allowed <= variance.folds:
        return None
    return n_folds * max(1, math.ceil(variance.seeds / (allowed - variance.folds)))


def _seeds_of_one_fold(variance: float, test_train_ratio: float, smallest: float, limit: int = 1000) -> int | None:
    def enough(n: int) -> bool:
        return noncentrality(n) * math.sqrt(variance * (1 / n + test_train_ratio)) <= smallest

    if not enough(limit):
        return None
    low, high = MIN_UNITS - 1, limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
