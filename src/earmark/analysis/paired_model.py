"""The one model of a comparison: how far a difference of two variants may be from the truth, and why.

Two variants are scored on the same clips by runs of the same folds and seeds. The difference of clip i in run r,
which belongs to the training set of fold t and whose clip belongs to group g, is

    d[i, r] = delta + group[g] + clip[i] + training_set[t] + seed[r] + rest[i, r].

The estimate of delta is the difference of the metric of all clips of all folds, averaged over seeds. Its variance is
v (groups and clips) + tau^2 sum_t W_t^2 (training sets) + sigma^2 sum_r w_r^2 (seeds), where W and w are the
weights of a fold and of a run in the estimate. v is estimated from groups within folds, sigma from runs within folds,
tau from what folds differ by beyond that; where that says little, a weakly informative prior on tau does. Given the
ratios tau / sqrt(v) and sigma / sqrt(v), the scale v integrates out in closed form (Box and Tiao 1973, chapter 5). The
distribution of delta is a mixture of Student's t over a grid of the two ratios: no random numbers anywhere. This is
the Bayesian random-effects meta-analysis with folds as studies (Roever et al. 2021), with within-study variances
that come from clusters of clips.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from earmark.analysis.variance_moments import Moments, compute_moments, tabulate

MIN_GROUPS = 6
"""Groups of clips that an interval needs."""
SEED_SCALE = 1.0
"""Prior of the seeds' sigma in a difference: half-t with 3 degrees of freedom and this scale, in units of sqrt(v)."""
SEED_SCALE_OF_SCORE = 0.5
"""The same in the score of one variant, whose v holds what two variants share and is larger."""
TAU_PER_SIGMA = 0.5
"""Prior of tau: half-Cauchy, squared scale (TAU_PER_SIGMA * sigma)^2 + TAU_PER_SAMPLING^2 * v * n_test / n_train."""
TAU_PER_SAMPLING = 0.7
TAU_PER_SAMPLING_HOLD_OUT = 2.2
"""With one training set, tau is half-normal, with this instead: no data would cut off the tail of a Cauchy."""
N_GRID = 28
N_SCALES = 96
"""Components that the mixture is reduced to, by equal steps of the logarithm of their scale."""


@dataclass(frozen=True)
class Components:
    """Variance of the estimate by its source, in squared units of the metric."""

    groups: float
    """Which groups and clips were recorded."""
    seeds: float
    """Which seeds were trained with, clip by clip and for a run as a whole."""
    training_set: float
    """Which clips were trained on."""

    @property
    def total(self) -> float:
        return self.groups + self.seeds + self.training_set


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of a metric or a difference: a symmetric mixture of Student's t around the estimate."""

    estimate: float
    df: float
    """Degrees of freedom of every component of the mixture."""
    scales: np.ndarray
    """(M,) scale of each component."""
    weights: np.ndarray
    """(M,) they sum to 1."""
    components: Components
    n_groups: int
    n_folds: int
    n_runs: int
    folds_per_partition: int = 1
    fixed: bool = False
    """Whether the networks are meant as they are, so that seeds and training sets have no share."""
    by_clip: float = 0.0
    """Part of `components.seeds` that is what seeds change clip by clip, which more groups reduce as well."""

    @property
    def seeds_assumed(self) -> bool:
        """Whether every fold has one seed, so that only the prior separates seeds from training sets."""
        return self.n_runs == self.n_folds and not self.fixed

    @property
    def training_set_assumed(self) -> bool:
        """Whether the training set was never varied, so that its share comes from the prior alone."""
        return self.n_folds == 1 and not self.fixed

    def below(self, value: float) -> float:
        """Probability that the truth is below `value`."""
        return float(self.weights @ stdtr(self.df, (value - self.estimate) / self.scales))

    @property
    def p(self) -> float:
        """Two-sided p of a truth of 0: below 0.05 exactly where the 95 % interval excludes 0."""
        return min(1.0, 2 * float(self.weights @ stdtr(self.df, -abs(self.estimate) / self.scales)))

    def half_width(self, tail: float = 0.05) -> float:
        """Half the width of the interval that the truth is outside of with probability `tail`."""
        low, high = self.scales[0] * 1e-3, -self.scales[-1] * float(stdtrit(self.df, tail / 2)) * 1.01
        for _ in range(60):
            middle = (low + high) / 2
            outside = 2 * float(self.weights @ stdtr(self.df, -middle / self.scales))
            low, high = (middle, high) if outside > tail else (low, middle)
            if high - low < 1e-9 * high:
                break
        return high

    @property
    def effective_df(self) -> float:
        """Degrees of freedom of the t whose 95 % and 99 % intervals have the ratio of this mixture's."""
        ratio = self.half_width(0.01) / self.half_width(0.05)
        grid = _df_by_ratio()
        return float(np.interp(-ratio, -grid[:, 1], grid[:, 0]))


@lru_cache(maxsize=1)
def _df_by_ratio() -> np.ndarray:
    df = np.geomspace(2, 2000, 200)
    return np.column_stack([df, stdtrit(df, 0.995) / stdtrit(df, 0.975)])


class RatioGrid(NamedTuple):
    """Ratios of variances over which a posterior is a sum; comparisons with equal priors share one object."""

    seed: np.ndarray
    """(M,) sigma^2 / v"""
    tau: np.ndarray
    """(M,) tau^2 / v"""
    log_prior: np.ndarray
    """(M,)"""


FIXED = RatioGrid(np.zeros(1), np.zeros(1), np.zeros(1))
"""Neither seeds nor training sets have an effect: the networks are meant as they are."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the runs say of a mean over clips, for each ratio of variances."""

    estimate: float
    moments: Moments
    n_groups: int
    n_runs: int
    folds_per_partition: int
    grid: RatioGrid
    log_likelihood: np.ndarray
    """(M,)"""
    v: np.ndarray
    """(M,) variance due to groups and clips, given the ratios."""
    df: float
    """Degrees of freedom of `v`."""


def weigh(
    values: np.ndarray,
    fold_of_run: np.ndarray,
    group_of_clip: np.ndarray,
    target_of_clip: np.ndarray | None = None,
    test_train_ratio: float | None = None,
    seed_scale: float = SEED_SCALE,
    fixed: bool = False,
    repeated: bool = False,
) -> Evidence | None:
    """The evidence on a mean over clips: of a metric, or of the difference of two.

    Args:
        values: float64 (R, N), what each clip contributes in each run (1 and 0 for right and wrong, or the difference
            of two variants); NaN where a run does not report a clip.
        fold_of_run: (R,) which training set a run has; runs with the same one differ in their seed. Folds of
            repeated partitions have numbers of their own.
        group_of_clip: (N,) any labels.
        target_of_clip: (N,) true classes, for the mean of the classes' means (average recall, UAR); None for the
            plain mean (accuracy).
        test_train_ratio: clips that all folds together report, over the training clips of one; scales the prior of
            the training-set effect. None takes F / (F - 1) for F folds, and 1/4 for a hold-out.
        seed_scale: scale of the prior of sigma, in units of sqrt(v).
        fixed: the networks are meant as they are, not as examples of a recipe; there is one run.
        repeated: one of the two variants has a single seed, which is paired with every seed of the other. In a hold-out
            its effect is in no difference of runs, and is taken to be as large as that of a seed of the other.

    Returns:
        None with fewer than `MIN_GROUPS` groups.
    """
    table = tabulate(values, fold_of_run, group_of_clip, target_of_clip)
    if table.n_groups < MIN_GROUPS:
        return None
    moments = compute_moments(table)
    n_folds = len(moments.fold_means)
    if repeated and n_folds == 1:
        moments = replace(moments, run_share=moments.run_share + moments.fold_share)
    if test_train_ratio is None:
        ways = max(n_folds / table.n_partitions, 1.0)
        test_train_ratio = ways / (ways - 1) if ways > 1.5 else 0.25
    grid = FIXED if fixed else _grid(test_train_ratio, n_folds == 1, seed_scale)
    log_likelihood, v, df = _integrate(moments, grid)
    per_partition = max(round(n_folds / table.n_partitions), 1)
    return Evidence(table.estimate, moments, table.n_groups, len(table.y), per_partition, grid, log_likelihood, v, df)


def infer(evidence: Evidence, log_weight: np.ndarray | float = 0.0) -> Posterior:
    """The posterior.

    Args:
        evidence: from `weigh`.
        log_weight: (M,) what other comparisons say about the ratios of variances, added to the log prior.
    """
    moments, grid, v = evidence.moments, evidence.grid, evidence.v
    log_posterior = grid.log_prior + evidence.log_likelihood + log_weight
    weights = np.exp(log_posterior - log_posterior.max())
    weights /= weights.sum()
    seed_part, tau_part = grid.seed * moments.run_share, grid.tau * moments.fold_share
    total = np.maximum(v * (1 + seed_part + tau_part), moments.floor) + moments.unseen
    components, by_clip = _components(moments, total, v, weights, seed_part, tau_part)
    scales, reduced = _reduce(np.sqrt(total), weights)
    return Posterior(
        evidence.estimate,
        min(evidence.df, moments.most_df, evidence.n_groups - 1),  # repeated partitions have the same groups
        scales,
        reduced,
        components,
        evidence.n_groups,
        len(moments.fold_means),
        evidence.n_runs,
        evidence.folds_per_partition,
        grid is FIXED,
        by_clip,
    )


def _components(
    m: Moments, total: np.ndarray, v: np.ndarray, weights: np.ndarray, seed_part: np.ndarray, tau_part: np.ndarray
) -> tuple[Components, float]:
    """The typical variance (its posterior geometric mean), divided in proportion to the posterior mean fractions.

    Beside the components, `Posterior.by_clip`.
    """
    typical = float(np.exp(weights @ np.log(total)))
    if m.within_df == 0:  # one group per fold: groups, seeds and training sets cannot be separated
        seeds = min(m.run_squares / max(m.n_runs - len(m.fold_means), 1) * m.run_share, 0.9 * typical)
        return Components(typical - seeds, seeds, 0.0), seeds
    each = weights * (1 - m.unseen / total) / (1 + seed_part + tau_part)
    tau_share = float(each @ tau_part)
    noise = np.minimum(m.seed_noise * m.run_share / v, 0.9)  # the part of v that more seeds would reduce
    noise_share = float(each @ noise)
    seed_share = float(each @ seed_part) + noise_share
    components = Components(typical * (1 - tau_share - seed_share), typical * seed_share, typical * tau_share)
    return components, typical * noise_share


@lru_cache(maxsize=64)
def _grid(test_train_ratio: float, hold_out: bool, seed_scale: float) -> RatioGrid:
    sigma = np.geomspace(0.02, 20, N_GRID)
    factor = np.geomspace(0.04, 16, N_GRID)
    prior_sigma = sigma / (1 + (sigma / seed_scale) ** 2 / 3) ** 2  # half-t of 3 degrees of freedom, in log sigma
    prior_factor = factor * (np.exp(-(factor**2) / 2) if hold_out else 1 / (1 + factor**2))  # half-normal, half-Cauchy
    per_sampling = TAU_PER_SAMPLING_HOLD_OUT if hold_out else TAU_PER_SAMPLING
    scale = np.sqrt((TAU_PER_SIGMA * sigma) ** 2 + per_sampling**2 * test_train_ratio)
    lambda_seed = np.repeat(sigma**2, N_GRID)
    lambda_tau = ((scale[:, None] * factor) ** 2).ravel()
    return RatioGrid(lambda_seed, lambda_tau, np.log(np.outer(prior_sigma, prior_factor) + 1e-300).ravel())


def _integrate(m: Moments, grid: RatioGrid) -> tuple[np.ndarray, np.ndarray, float]:
    """Log likelihood and v at each grid point, with v integrated out under the prior 1 / v; and its df.

    What runs of one fold differ by tells about sigma only: v is known well enough from groups, and seeds that change
    nothing must not make it smaller.
    """
    n_folds = len(m.fold_means)
    df = m.within_df + n_folds - 1
    squares, log_likelihood = np.full(len(grid.seed), m.within_squares), np.zeros(len(grid.seed))
    if m.seed_df:
        expected = m.rough * grid.seed + m.seed_noise + m.floor * 1e-6
        log_likelihood -= (m.seed_df * np.log(expected) + m.run_squares / expected) / 2
    if n_folds > 1:
        extra = grid.tau[:, None] + grid.seed[:, None] / m.seeds_of_fold
        between, between_log_det = _between_folds(m.fold_means, m.fold_covariance, extra)
        squares += between
        log_likelihood -= between_log_det / 2
    v = np.maximum(squares / df, 1e-6 * m.floor)
    return log_likelihood - df * np.log(v) / 2, v, float(df)


def _between_folds(means: np.ndarray, covariance: np.ndarray, extra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squares and log det, (M,), of the restricted likelihood of fold means, with covariance + diag(extra), (M, T)."""
    if np.count_nonzero(covariance) == len(means):  # every group in one fold
        precision = 1 / (np.diag(covariance) + extra)
        total = precision.sum(axis=1)
        centered = means - (precision @ means / total)[:, None]
        return np.sum(precision * centered**2, axis=1), np.log(total) - np.log(precision).sum(axis=1)
    if np.ptp(extra, axis=1).max() < 1e-12:  # one eigenvalue decomposition serves the whole grid
        values, vectors = np.linalg.eigh(covariance)
        precision = 1 / (np.maximum(values, 0) + extra[:, :1])
        ones, rotated = vectors.T @ np.ones(len(means)), vectors.T @ means
        total = precision @ ones**2
        mean = precision @ (ones * rotated) / total
        centered = rotated - mean[:, None] * ones
        return np.sum(precision * centered**2, axis=1), np.log(total) - np.log(precision).sum(axis=1)
    full = covariance + extra[:, :, None] * np.eye(len(means))
    inverse = np.linalg.inv(full)
    total = inverse.sum(axis=(1, 2))
    mean = inverse.sum(axis=1) @ means / total
    centered = means - mean[:, None]
    squares = np.einsum("mi,mij,mj->m", centered, inverse, centered)
    return squares, np.linalg.slogdet(full)[1] + np.log(total)


def _reduce(scales: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mixture of fewer components: those of nearly the same scale are united, by their mean square."""
    log_scale = np.log(scales)
    low, step = log_scale.min(), max(float(np.ptp(log_scale)) / N_SCALES, 1e-9)
    index = np.minimum(((log_scale - low) / step).astype(int), N_SCALES - 1)
    total = np.bincount(index, weights, N_SCALES)
    kept = total > 1e-12
    squares = np.bincount(index, weights * scales**2, N_SCALES)[kept] / total[kept]
    return np.sqrt(squares), total[kept] / total[kept].sum()
