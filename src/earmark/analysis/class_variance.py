"""How much the average recall varies with classes of few groups, and with classes that share some of their groups."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

SMALLEST_EXPECTED = 0.05
"""Part of its variance that a group shows around the mean of its fold, at least; a group that is most of its fold shows
little, by which its square must not be divided."""
CLASS_PRIOR_DF = 2
"""Degrees of freedom that all classes together lend to the variance of each."""


def moderate(
    deviations: np.ndarray, class_means: np.ndarray, targets: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """What classes of few groups do not show of the variance of the average recall.

    The variance of the mean of a class comes from its groups and, with the weight of `CLASS_PRIOR_DF` degrees of
    freedom, from what groups of all classes vary by (a moderated variance, Smyth 2004). Where each class has as many
    groups as another, the average is that of the classes by themselves. What a class of one group differs from the
    others by is its only own evidence.

    Args:
        deviations: (N,) of each clip from the mean of its class.
        class_means: (K,)
        targets: (N,) the class of each clip.
        groups: (N,) its group.

    Returns:
        The inflation of each class (K,), see `inflation_of`; the variance of the average that the deviations lack; and
        the degrees of freedom of the whole (Satterthwaite 1946).
    """
    n_classes, n_class = len(class_means), np.bincount(targets)
    pairs, cells = np.unique(targets * (groups.max() + 1) + groups, return_inverse=True)
    class_of, group_of = np.divmod(pairs, groups.max() + 1)
    sizes, sums = np.bincount(cells), np.bincount(cells, deviations)
    n_groups = np.bincount(class_of)
    squares = np.bincount(class_of, (sizes / n_class[class_of]) ** 2)
    inflation = np.where(n_groups > 1, 1 / np.maximum(1 - squares, 1e-12), 1.0)
    raw = inflation * np.bincount(class_of, (sums / n_class[class_of]) ** 2)
    icc = intraclass_correlation(deviations, cells)
    unit = icc * squares + (1 - icc) / n_class
    df = np.maximum(n_groups - 1, 1)
    others = (class_means.sum() - class_means) / max(n_classes - 1, 1)
    own = np.where(n_groups > 1, raw, (class_means - others) ** 2)
    counts = n_groups - 1 if n_groups.max() > 1 else df
    pooled = float(np.sum(counts * own / unit) / np.sum(counts))
    moderated = (CLASS_PRIOR_DF * pooled * unit + df * own) / (CLASS_PRIOR_DF + df)
    covariance = _unseen_covariance(class_of, group_of, sizes / n_class[class_of], sums / n_class[class_of], inflation)
    unseen = max(0.0, float(np.sum(moderated - raw)) + covariance) / n_classes**2
    parts = np.maximum(moderated, raw)
    most_df = parts.sum() ** 2 / np.sum(parts**2 / (CLASS_PRIOR_DF + df)) if parts.any() else np.inf
    return inflation, unseen, float(most_df)


def _unseen_covariance(
    class_of: np.ndarray, group_of: np.ndarray, share: np.ndarray, influence: np.ndarray, inflation: np.ndarray
) -> float:
    """What the deviations lack of the covariances of classes that have some of their groups in common.

    Deviations from the means of two classes k and l, which groups g are a share h of, show the fraction
    sum h_gk h_gl (1 - h_gk - h_gl + S) / S of their covariance, S = sum h_gk h_gl. That is as much as they show of the
    variances where both have all groups, and less where they share a few.

    Args:
        class_of: (C,) of each class in a group.
        group_of: (C,)
        share: (C,) of the group in the clips of the class.
        influence: (C,) what the group adds to the mean of the class.
        inflation: (K,) of the variance of each class, see `moderate`.
    """

    def table(values: np.ndarray) -> csr_array:
        return csr_array((values, (group_of, class_of)))

    h, squares, q = table(share), table(share**2), table(influence)
    common = (h.T @ h).toarray()
    expected = common - (squares.T @ h).toarray() - (h.T @ squares).toarray() + common**2
    factor = common / np.maximum(expected, np.maximum(SMALLEST_EXPECTED * common, 1e-300))
    lacking = (q.T @ q).toarray() * (factor - np.sqrt(np.outer(inflation, inflation)))
    return float(lacking.sum() - np.trace(lacking))


def inflation_of(shares: np.ndarray) -> float:
    """What the variance of a mean is underestimated by where it comes from deviations from that very mean.

    m / (m - 1) for m groups of one weight, else for their effective number (Kish 1965); 1 for one group, which shows no
    variance.

    Args:
        shares: (G,) of each group in the mean; they sum to 1.
    """
    return 1 / (1 - float(np.sum(shares**2))) if shares.max() < 1 - 1e-9 else 1.0


def intraclass_correlation(values: np.ndarray, groups: np.ndarray) -> float:
    """How alike the clips of a group are, 0 to 1, by one-way analysis of variance of unweighted group means.

    Args:
        values: (N,) one value per clip.
        groups: (N,) 0 to G - 1.
    """
    sizes = np.bincount(groups)
    n_clips, n_groups = len(values), len(sizes)
    if n_clips == n_groups or n_groups < 2:
        return 1.0
    means = np.bincount(groups, values) / sizes
    within = np.sum((values - means[groups]) ** 2) / (n_clips - n_groups)
    group_variance = max(0.0, float(means.var(ddof=1)) - within * float(np.mean(1 / sizes)))
    total = group_variance + within
    return group_variance / total if total > 0 else 0.0
