"""Probes: small scikit-learn classifiers on the frozen embeddings of a backbone.

What a probe can choose (neighbors, regularization) is chosen by folds over groups inside the training subset; the test
subset is never seen. Embeddings say how well a backbone separates classes before any of it is trained.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

N_INNER_FOLDS = 4
SMALLEST_PROBABILITY = 1e-6
Create = Callable[[], Any]
"""Creates a scikit-learn classifier."""


def knn(n_neighbors: int) -> Any:
    """k nearest neighbors by cosine similarity, the nearest ones with the largest weights."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    return make_pipeline(Normalizer(), KNeighborsClassifier(n_neighbors, weights="distance"))


def logistic(c: float) -> Any:
    """Multinomial logistic regression on standardized features, with an L2 penalty of inverse strength `c`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=300, tol=1e-3))


def mlp(alpha: float, seed: int) -> Any:
    """One hidden layer of 128 units on standardized features, with an L2 penalty."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = MLPClassifier((128,), alpha=alpha, max_iter=60, tol=1e-3, random_state=seed)
    return make_pipeline(StandardScaler(), classifier)


NEIGHBORS = (1, 3, 5, 10, 20)
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
ALPHAS = (1e-2, 1.0)


def probe_candidates(kind: str, n_train: int, seed: int = 0) -> dict[float, Create]:
    """What creates a probe, by each value of its one hyperparameter.

    Args:
        kind: `knn` (number of neighbors), `logistic` (C) or `mlp` (alpha).
        n_train: number of training clips; more than a third of them are never neighbors.
        seed: of the MLP's weights.
    """
    if kind == "knn":
        return {k: partial(knn, k) for k in NEIGHBORS if k == 1 or k <= n_train // 3}
    if kind == "logistic":
        return {c: partial(logistic, c) for c in PENALTIES}
    return {alpha: partial(mlp, alpha, seed) for alpha in ALPHAS}


def fit_classifier(
    candidates: Mapping[float, Create], features_ND: np.ndarray, labels_N: np.ndarray, groups: Sequence[str]
) -> tuple[Any, float]:
    """Fit the candidate with the best log loss over inner folds of the groups, on one core.

    These problems are too small for several threads: on a busy machine they wait for each other, and a fit takes many
    times as long.

    Args:
        candidates: what creates a classifier, by the value of its hyperparameter.
        features_ND: (N, D) of the training clips.
        labels_N: (N,) their labels.
        groups: group of each clip; a group is never on both sides of an inner fold.

    Returns:
        The fitted scikit-learn estimator and the chosen value. With too few groups for inner folds, the middle value.
    """
    with threadpool_limits(1):
        values = list(candidates)
        losses = [0.0] * len(values)
        if len(values) > 1:
            folds = _inner_folds(features_ND, labels_N, groups)
            losses = [_inner_loss(candidates[value], features_ND, labels_N, folds) for value in values]
        best = values[len(values) // 2] if np.isnan(losses).all() else values[int(np.nanargmin(losses))]
        return _fit(candidates[best], features_ND, labels_N), best


def _fit(create: Create, features_ND: np.ndarray, labels_N: np.ndarray) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of iterations is part of the probe
        return create().fit(features_ND, labels_N)


Folds = list[tuple[np.ndarray, np.ndarray]]
"""Rows to fit on, rows to score."""


def _inner_folds(features_ND: np.ndarray, labels_N: np.ndarray, groups: Sequence[str]) -> Folds:
    """Folds by group, stratified by class; none where there are too few groups of a class for them."""
    from sklearn.model_selection import StratifiedGroupKFold

    classes, targets_N = np.unique(labels_N, return_inverse=True)
    smallest = min(len({g for g, t in zip(groups, targets_N, strict=True) if t == k}) for k in range(len(classes)))
    n_folds = min(N_INNER_FOLDS, len(set(groups)))
    if n_folds < 2 or np.bincount(targets_N).min() < n_folds or smallest < 2:
        return []
    return list(StratifiedGroupKFold(n_folds).split(features_ND, targets_N, groups))


def _inner_loss(create: Create, features_ND: np.ndarray, labels_N: np.ndarray, folds: Folds) -> float:
    """Mean negative log-likelihood over inner folds; NaN without them, and where one has fewer clips than neighbors."""
    classes, targets_N = np.unique(labels_N, return_inverse=True)
    losses: list[float] = []
    for train, test in folds:
        if len(np.unique(targets_N[train])) < 2:
            continue
        if len(train) < getattr(create()[-1], "n_neighbors", 1):
            return float("nan")
        estimator = _fit(create, features_ND[train], targets_N[train])
        probs_NK = probabilities(estimator, features_ND[test], range(len(classes)))
        losses.extend(-np.log(probs_NK[np.arange(len(test)), targets_N[test]]))
    return float(np.mean(losses)) if losses else float("nan")


def probabilities(estimator: Any, features_ND: np.ndarray, classes: Sequence[Any]) -> np.ndarray:
    """(N, K) probabilities over `classes`; a class without training clips, and a vote of zero, get 1e-6."""
    probs_NK = np.zeros((len(features_ND), len(classes)))
    columns = [list(classes).index(name) for name in estimator.classes_]
    probs_NK[:, columns] = estimator.predict_proba(features_ND)
    probs_NK = np.maximum(probs_NK, SMALLEST_PROBABILITY)
    return probs_NK / probs_NK.sum(axis=1, keepdims=True)
