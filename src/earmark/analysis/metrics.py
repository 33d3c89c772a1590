"""Scores of class probabilities: accuracy, average recall, F1, top-3, ROC-AUC, likelihood, calibration.

Everything is a function of probabilities and targets as NumPy arrays; `score` collects all of it, ready for
JSON. A class without a clip among the targets has no recall and no AUC: it is left out of their means, and is
null where each class is listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from earmark.runtime.errors import EarmarkError

SMALLEST_PROBABILITY = 1e-12
"""What a probability of zero counts as in the negative log-likelihood, which is infinite otherwise."""
OF_PROBABILITIES = ("top3_accuracy", "roc_auc", "nll", "ece")
"""Metrics that predicted labels alone do not have."""
N_BINS = 15
"""Bins of confidence in the calibration error."""


class ScoreError(EarmarkError):
    """Probabilities that cannot be scored."""


def score(probs: np.ndarray, targets: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """All scores of one set of clips as plain numbers, ready for JSON.

    Args:
        probs: (N, K) class probabilities, each row summing to 1.
        targets: (N,) indices into `class_names`.
        class_names: the K labels.

    Returns:
        ``{"metrics": {"accuracy", "uar", "macro_f1", "top3_accuracy", "roc_auc", "nll", "ece"},
        "recall": {label: value or None}, "confusion": rows true, columns predicted}``. Metrics are fractions
        (0 to 1) but for nll (nats); roc_auc is None where fewer than two classes are present.

    Raises:
        ValueError: no clips, shapes that do not fit, a target outside the classes.
        ScoreError: a probability is not finite.
    """
    probs, targets = _checked(probs, targets, len(class_names))
    matrix = confusion_matrix(targets, probs.argmax(axis=1), len(class_names))
    recall = recall_per_class(matrix)
    metrics = {
        "accuracy": accuracy(matrix),
        "uar": unweighted_average_recall(matrix),
        "macro_f1": macro_f1(matrix),
        "top3_accuracy": float(in_top3(probs, targets).mean()),
        "roc_auc": roc_auc(probs, targets),
        "nll": float(negative_log_likelihood(probs, targets).mean()),
        "ece": expected_calibration_error(probs, targets),
    }
    return {
        "metrics": metrics,
        "recall": {c: None if np.isnan(r) else float(r) for c, r in zip(class_names, recall, strict=True)},
        "confusion": matrix.tolist(),
    }


def score_labels(predictions: np.ndarray, targets: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """The scores of predicted labels, as `score` gives them; what needs probabilities is None.

    Args:
        predictions: (N,) indices of the predicted labels into `class_names`.
        targets: (N,) indices of the true labels.
        class_names: the K labels.
    """
    scores = score(np.eye(len(class_names))[predictions], targets, class_names)
    return {**scores, "metrics": scores["metrics"] | dict.fromkeys(OF_PROBABILITIES)}


def _checked(probs: np.ndarray, targets: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    probs, targets = np.asarray(probs, dtype=np.float64), np.asarray(targets)
    if probs.ndim != 2 or probs.shape != (len(targets), n_classes) or not len(targets):
        raise ValueError(
            f"probs of shape {probs.shape}: give one row for each of the {len(targets)} targets (at least "
            f"one) and one column for each of the {n_classes} classes"
        )
    if targets.min() < 0 or targets.max() >= n_classes:
        raise ValueError(f"targets from {targets.min()} to {targets.max()}: give indices from 0 to {n_classes - 1}")
    bad = np.flatnonzero(~np.isfinite(probs).all(axis=1))
    if len(bad):
        raise ScoreError(
            f"probs: row {bad[0]} is not finite ({len(bad)} rows in all): training diverged; lower train.lr or set "
            "train.clip_grad_norm"
        )
    return probs, targets


def confusion_matrix(targets: np.ndarray, predictions: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (K, K) of clips by true class (rows) and predicted class (columns)."""
    return np.bincount(targets * n_classes + predictions, minlength=n_classes**2).reshape(n_classes, n_classes)


def recall_per_class(matrix: np.ndarray) -> np.ndarray:
    """Fraction of each class's clips that were found, (..., K); NaN for a class without clips.

    `matrix` is a confusion matrix (..., K, K) with any number of leading dimensions.
    """
    n_clips = matrix.sum(axis=-1)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    return np.divide(hits, n_clips, out=np.full(n_clips.shape, np.nan), where=n_clips > 0)


def accuracy(matrix: np.ndarray) -> float:
    """Fraction of clips on the diagonal of a confusion matrix (K, K)."""
    return float(np.trace(matrix) / matrix.sum())


def unweighted_average_recall(matrix: np.ndarray) -> float:
    """Mean recall over the classes with clips (UAR, balanced accuracy), from a confusion matrix (K, K)."""
    return float(np.nanmean(recall_per_class(matrix)))


def macro_f1(matrix: np.ndarray) -> float:
    """Mean F1 over the classes that occur among targets or predictions, from a confusion matrix (K, K)."""
    occurrences = matrix.sum(axis=0) + matrix.sum(axis=1)
    present = occurrences > 0
    return float(np.mean(2 * np.diagonal(matrix)[present] / occurrences[present]))


def in_top3(probs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Whether each clip's class is among its three most probable, bool (N,); of equal ones the first counts."""
    best = np.argsort(-probs, axis=1, kind="stable")[:, :3]
    return (best == targets[:, None]).any(axis=1)


def roc_auc(probs: np.ndarray, targets: np.ndarray) -> float | None:
    """Mean over the present classes of the area under the ROC curve of one class against the rest.

    The area is the fraction of pairs (clip of the class, other clip) that the class's probability orders
    correctly, ties counted half (Mann and Whitney 1947). None where fewer than two classes are present.
    """
    present = np.unique(targets)
    if len(present) < 2:
        return None
    return float(np.mean([placements(probs[:, c], targets == c)[0].mean() for c in present]))


def placements(values: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fraction of negatives below each positive, and that of positives above each negative, ties counted half."""
    ranks = _ranks(values)
    n_positive, n_negative = np.count_nonzero(positive), np.count_nonzero(~positive)
    below = (ranks[positive] - _ranks(values[positive])) / n_negative
    above = 1 - (ranks[~positive] - _ranks(values[~positive])) / n_positive
    return below, above


def _ranks(values: np.ndarray) -> np.ndarray:
    """From 1; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])


def negative_log_likelihood(probs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """-ln(probability of the true class) of each clip in nats, (N,)."""
    true_probs = probs[np.arange(len(targets)), targets]
    return -np.log(np.clip(true_probs, SMALLEST_PROBABILITY, 1.0))


def confidence_bins(confidence: np.ndarray) -> np.ndarray:
    """Which of `N_BINS` equally wide bins each confidence falls into, int (N,).

    A bin holds its upper edge, as in Guo et al. (2017), "On calibration of modern neural networks".
    """
    return np.clip(np.ceil(confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1)


def expected_calibration_error(probs: np.ndarray, targets: np.ndarray) -> float:
    """Mean distance of confidence and accuracy over equal bins, weighted by clips (Guo et al. 2017)."""
    confidence = probs.max(axis=1)
    gaps = np.bincount(confidence_bins(confidence), (probs.argmax(axis=1) == targets) - confidence)
    return float(np.abs(gaps).sum() / len(targets))


def guessing(n_clips_K: np.ndarray, metric: str) -> tuple[float, float]:
    """The expected score of guessing at random among the tested classes, and that of the most frequent class.

    Args:
        n_clips_K: (K,) clips of each class.
        metric: `accuracy` or `uar`.
    """
    n_classes = np.count_nonzero(n_clips_K)
    chance = 1 / n_classes
    return chance, float(n_clips_K.max() / n_clips_K.sum()) if metric == "accuracy" else chance
