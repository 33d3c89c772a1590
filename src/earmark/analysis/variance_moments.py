"""Sums of squares of a comparison: by group, by fold and by run, with what is expected of each.

`tabulate` linearizes the metric, so that its estimate is a plain mean over clips; `compute_moments` sums up what the
likelihood in `paired_model` needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earmark.analysis.class_variance import SMALLEST_EXPECTED, inflation_of, intraclass_correlation, moderate


@dataclass(frozen=True, eq=False)
class Table:
    """Clips by runs, as values whose weighted mean is the estimate."""

    estimate: float
    y: np.ndarray
    """(R, N) what clips of a class differ from its mean by, around the estimate; 0 where not reported."""
    reported: np.ndarray
    """(R, N) 1.0 or 0.0."""
    folds: np.ndarray
    """(R,) index of each run's fold, 0 to T - 1."""
    groups: np.ndarray
    """(N,) index of each clip's group, 0 to G - 1."""
    weights: np.ndarray
    """(N,) weight of each clip in the metric; they sum to 1."""
    unseen: float = 0.0
    """Variance of the estimate that y lacks, because a class has few groups, see `moderate`."""
    most_df: float = np.inf
    """Degrees of freedom of the variance of the estimate, at most."""

    @property
    def n_groups(self) -> int:
        return int(self.groups.max()) + 1

    @property
    def n_partitions(self) -> float:
        """In how many folds a clip is reported, on average."""
        return len(np.unique(self.folds)) * self.reported.mean() if self.reported.size else 1.0


def tabulate(values: np.ndarray, folds: np.ndarray, groups: np.ndarray, targets: np.ndarray | None) -> Table:
    """Leave out what is not reported and linearize the metric: the mean of y by `Table.weights` is the estimate.

    With classes, y = estimate + x - mean of its class, with the weight 1 / (K n_class): both together are the influence
    of the clip on the average recall, in which the random number of clips per class is accounted for. The mean of a
    class of few groups takes part of their variance away; what clips differ by over all runs is weighted up by that,
    see `inflation_of`.
    """
    reported = np.isfinite(values)
    runs, clips = reported.any(axis=1), reported.any(axis=0)
    reported, x = reported[runs][:, clips].astype(np.float64), np.nan_to_num(values[runs][:, clips])
    groups = np.unique(groups[clips], return_inverse=True)[1]
    folds = np.unique(folds[runs], return_inverse=True)[1]
    clip_means = np.sum(run_shares(reported, folds) * x, axis=0)
    if targets is None:
        return Table(float(clip_means.mean()), x, reported, folds, groups, np.full(len(groups), 1 / len(groups)))
    targets = np.unique(targets[clips], return_inverse=True)[1]
    n_class = np.bincount(targets)
    class_means = np.bincount(targets, clip_means) / n_class
    estimate = float(class_means.mean())
    weights = 1 / (len(n_class) * n_class[targets])
    around_class = clip_means - class_means[targets]
    inflation, unseen, most_df = moderate(around_class, class_means, targets, groups)
    of_class = inflation / inflation_of(np.bincount(groups, weights))
    y = reported * (estimate + np.sqrt(of_class)[targets] * around_class + (x - clip_means))
    return Table(estimate, y, reported, folds, groups, weights, unseen, most_df)


def run_shares(reported: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Weight of each run in the mean of a clip, (R, N): folds that report it count alike, and in a fold its runs."""
    by_fold = (folds == np.arange(int(folds.max()) + 1)[:, None]).astype(np.float64)
    n_reports = by_fold @ reported
    return reported / np.maximum(n_reports[folds], 1) / np.count_nonzero(n_reports, axis=0)


@dataclass(frozen=True, eq=False)
class Moments:
    """What the likelihood needs; variances are in units of v where nothing else is said."""

    fold_means: np.ndarray
    """(T,)"""
    fold_covariance: np.ndarray
    """(T, T) of the fold means, from groups and clips."""
    seeds_of_fold: np.ndarray
    """(T,)"""
    group_share: float
    """Sum of the squared weights of the groups in the metric: 1 / G where all weigh the same."""
    fold_share: float
    """The same of the folds in the estimate."""
    run_share: float
    within_squares: float
    """Sum of squares of groups within folds; its expectation is v times `within_df`."""
    within_df: int
    run_squares: float
    """Sum of squares of run means within folds."""
    n_runs: int
    seed_noise: float
    """Variance of a run mean by what seeds change clip by clip, in squared units of the metric."""
    floor: float
    """Smallest variance of the estimate that this number of clips can distinguish from 0: that of about two clips.
    Where each fold is one group, it is also not less than by the squares of what each of them adds to the estimate."""
    unseen: float = 0.0
    """Variance of the estimate that no sum of squares shows, see `Table`."""
    most_df: float = np.inf

    @property
    def rough(self) -> float:
        """v from groups within folds, or from folds where there are too few."""
        if self.within_df >= 4:
            return max(self.within_squares / self.within_df, self.floor)
        return max(float(self.fold_means.var(ddof=1) / np.mean(np.diag(self.fold_covariance))), self.floor)

    @property
    def seed_df(self) -> int:
        """None where each fold is one group: what seeds add is then part of what groups add."""
        return self.n_runs - len(self.fold_means) if self.within_df else 0


def compute_moments(table: Table) -> Moments:
    n_folds = int(table.folds.max()) + 1
    seeds_of_fold = np.bincount(table.folds)
    by_fold = np.zeros((n_folds, len(table.folds)))
    by_fold[table.folds, np.arange(len(table.folds))] = 1
    n_reports = by_fold @ table.reported
    y_fold = (by_fold @ table.y) / np.maximum(n_reports, 1)
    member = (n_reports > 0) * table.weights
    of_fold = member.sum(axis=1)
    fold_means = np.sum(member * y_fold, axis=1) / of_fold
    shares_of_runs = run_shares(table.reported, table.folds)
    run_weights = shares_of_runs @ table.weights
    of_group = np.bincount(table.groups, table.weights)
    icc = intraclass_correlation(np.sum(shares_of_runs * table.y, axis=0), table.groups)
    norm = float(icc * np.sum(of_group**2) + (1 - icc) * np.sum(table.weights**2))
    shares, weights = (rows / of_fold[:, None] for rows in (_by_group(member, table.groups), member))
    covariance = (icc * shares @ shares.T + (1 - icc) * weights @ weights.T) / norm
    within, within_df, lacking = _within_folds(y_fold, member, table, icc, norm)
    floor = 2 * float(np.mean(table.weights**2))
    if n_folds == table.n_groups > 1 and not within_df:
        floor = max(floor, _squares_of_influences(fold_means[None], of_fold[None], of_fold))
    run_means = table.y @ table.weights / (table.reported @ table.weights)
    fold_of_runs = (by_fold @ run_means / seeds_of_fold)[table.folds]
    return Moments(
        fold_means,
        covariance,
        seeds_of_fold,
        float(np.sum(of_group**2)),
        float(np.sum((by_fold @ run_weights) ** 2)),
        float(np.sum(run_weights**2)),
        within,
        within_df,
        float(np.sum((run_means - fold_of_runs) ** 2)),
        len(run_means),
        _seed_noise(table, y_fold, run_means - fold_of_runs, n_folds),
        floor,
        lacking,
        table.most_df,
    )


def _by_group(rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sums over the clips of each group, (T, N) to (T, G)."""
    n_rows, n_groups = len(rows), int(groups.max()) + 1
    index = groups + n_groups * np.arange(n_rows)[:, None]
    return np.bincount(index.ravel(), rows.ravel(), n_rows * n_groups).reshape(n_rows, n_groups)


def _within_folds(
    y_fold: np.ndarray, member: np.ndarray, table: Table, icc: float, norm: float
) -> tuple[float, int, float]:
    """Weighted sum of squares of group means around their fold's, and its degrees of freedom.

    It is not less than by the squares of what each group adds to the estimate. These assume neither how alike the clips
    of a group are nor that large groups vary as small ones do; with equal groups both agree. The weighted sum assumes
    that groups of all classes vary alike, and so has part of what classes of few groups do not show.

    Args:
        member: (T, N) weight of each clip in the metric, 0 in folds that do not report it.

    Returns:
        Both, and the rest of `Table.unseen`.
    """
    sizes = _by_group(member, table.groups)
    there = sizes > 0
    df = table.n_groups - _n_fold_effects(there, table.n_partitions)
    if df <= 0:
        return 0.0, 0, table.unseen
    safe = np.where(there, sizes, 1)
    cells = _by_group(member * y_fold, table.groups) / safe
    per_clip = _by_group(member**2, table.groups) / safe**2  # of n clips of one weight: 1 / n
    weights = np.where(there, 1 / np.where(there, icc + (1 - icc) * per_clip, 1), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    centers = (weights * cells).sum(axis=1)
    residuals = (sizes * (cells - centers[:, None])).sum(axis=0) / sizes.sum(axis=0)
    of_group = np.bincount(table.groups, table.weights)
    unit = (icc + (1 - icc) * np.bincount(table.groups, table.weights**2) / of_group**2) / norm
    assumed = float(np.sum(residuals**2 / unit)) / _expected_squares(weights, there)
    shown = _squares_of_influences(cells, sizes, of_group)
    v = max(assumed, shown)
    return df * v, df, max(0.0, shown + table.unseen - v)


def _n_fold_effects(there: np.ndarray, n_partitions: float) -> int:
    """How many means of folds, (T, G), are independent; all partitions have one mean of all groups."""
    n_folds, n_groups = there.shape
    n_effects = round(n_folds / n_partitions)
    if n_partitions < 1.5 or n_effects >= n_groups:
        return n_effects
    return min(n_folds - round(n_partitions) + 1, n_groups - 1)


def _expected_squares(weights: np.ndarray, there: np.ndarray) -> float:
    """Expectation of the weighted sum of squares of groups around means of folds with these weights, (T, G).

    Each partition takes out its own means, and the deviations of a group are averaged over partitions.
    """
    n_partitions = there.sum() / there.shape[1]
    common = (np.sqrt(weights) @ np.sqrt(weights).T) ** 2
    return float(there.shape[1] - 2 * len(weights) / n_partitions + common.sum() / n_partitions**2)


def _squares_of_influences(cells: np.ndarray, sizes: np.ndarray, share: np.ndarray) -> float:
    """Variance of the estimate by the squares of what each group adds to it, unbiased where groups vary alike.

    Args:
        cells: (T, G) mean of each group in each fold.
        sizes: (T, G) its weight there.
        share: (G,) its weight in the estimate.
    """
    within = sizes / sizes.sum(axis=1, keepdims=True)
    deviations = cells - (within * cells).sum(axis=1, keepdims=True)
    expected = 1 - 2 * within + np.sum(within**2, axis=1, keepdims=True)
    scaled = deviations / np.sqrt(np.maximum(expected, SMALLEST_EXPECTED))
    return float(np.sum((share * (sizes * scaled).sum(axis=0) / sizes.sum(axis=0)) ** 2))


def _seed_noise(table: Table, y_fold: np.ndarray, run_effects: np.ndarray, n_folds: int) -> float:
    """Variance of a run's mean by what its seed changes group by group (beyond its effect on all clips)."""
    if len(table.y) == n_folds:
        return 0.0
    weights = table.reported * table.weights
    residuals = weights * (table.y - y_fold[table.folds] - run_effects[:, None])
    sums = _by_group(residuals, table.groups) / weights.sum(axis=1, keepdims=True)
    n_groups = (_by_group(table.reported, table.groups) > 0).sum(axis=1)
    usable = n_groups > 1
    squares = np.sum(sums**2, axis=1)[usable] * n_groups[usable] / (n_groups[usable] - 1)
    return float(squares.sum() / (len(table.y) - n_folds))
