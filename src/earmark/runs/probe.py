"""Probes: small scikit-learn classifiers on the frozen embeddings of a backbone.

What a probe can choose (neighbors, regularization) is chosen by folds over groups inside the training subset; the test
subset is never seen. Embeddings say how well a backbone separates classes before any of it is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

N_INNER_FOLDS = 4
SMALLEST_PROBABILITY = 1e-6


def _knn(n_neighbors: int, seed: int) -> Any:
    """k nearest neighbors by cosine similarity, each weighted by its similarity."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    return make_pipeline(Normalizer(), KNeighborsClassifier(n_neighbors, weights="distance"))


def _logistic(c: float, seed: int) -> Any:
    """Multinomial logistic regression on standardized embeddings, with an L2 penalty."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=300, tol=1e-3))


def _mlp(alpha: float, seed: int) -> Any:
    """One hidden layer of 128 units on standardized embeddings, with an L2 penalty."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    mlp = MLPClassifier((128,), alpha=alpha, max_iter=60, tol=1e-3, random_state=seed)
    return make_pipeline(StandardScaler(), mlp)


PROBES: dict[str, tuple[Callable[[Any, int], Any], tuple[Any, ...]]] = {
    "knn": (_knn, (1, 3, 5, 10, 20)),
    "logistic": (_logistic, (1e-4, 1e-3, 1e-2, 1e-1, 1.0)),
    "mlp": (_mlp, (1e-2, 1.0)),
}
"""Each probe and the values of its one hyperparameter."""


def fit_probe(
    kind: str, embeddings_ND: np.ndarray, targets_N: np.ndarray, groups: Sequence[str], seed: int = 0
) -> tuple[Any, Any]:
    """Fit a probe whose hyperparameter has the best log loss over inner folds of the groups.

    Args:
        kind: one of `PROBES`.
        embeddings_ND: (N, D) of the training clips.
        targets_N: (N,) class indices.
        groups: group of each clip; a group is never on both sides of an inner fold.
        seed: of the MLP's weights.

    Returns:
        The fitted scikit-learn estimator and the chosen value. With too few groups for inner folds, the middle value.
    """
    create, values = PROBES[kind]
    values = tuple(v for v in values if kind != "knn" or v <= max(len(targets_N) // 3, 1))
    losses = [_inner_loss(lambda v=v: create(v, seed), embeddings_ND, targets_N, groups) for v in values]
    best = values[len(values) // 2] if np.isnan(losses).all() else values[int(np.nanargmin(losses))]
    return create(best, seed).fit(embeddings_ND, targets_N), best


def _inner_loss(create: Callable[[], Any], embeddings_ND: np.ndarray, targets_N: np.ndarray, groups: Any) -> float:
    """Mean negative log-likelihood over inner folds; NaN where there are fewer than two groups."""
    from sklearn.model_selection import StratifiedGroupKFold

    n_folds = min(N_INNER_FOLDS, len(set(groups)))
    if n_folds < 2:
        return float("nan")
    losses = []
    for train, test in StratifiedGroupKFold(n_folds).split(embeddings_ND, targets_N, groups):
        estimator = create().fit(embeddings_ND[train], targets_N[train])
        probs_NK = probe_probabilities(estimator, embeddings_ND[test], int(targets_N.max()) + 1)
        losses.extend(-np.log(probs_NK[np.arange(len(test)), targets_N[test]]))
    return float(np.mean(losses))


def probe_probabilities(estimator: Any, embeddings_ND: np.ndarray, n_classes: int) -> np.ndarray:
    """(N, K) probabilities; a class without training clips, and a vote of zero, get 1e-6."""
    probs_NK = np.zeros((len(embeddings_ND), n_classes))
    probs_NK[:, estimator.classes_] = estimator.predict_proba(embeddings_ND)
    probs_NK = np.maximum(probs_NK, SMALLEST_PROBABILITY)
    return probs_NK / probs_NK.sum(axis=1, keepdims=True)
