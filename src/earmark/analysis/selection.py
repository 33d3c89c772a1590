"""What the best of several variants would score again: its own score is too high, because luck chose it too.

Scores are their truths plus errors whose covariance the joint model knows (groups of clips shared by all, seeds and
training sets each variant's own). With truths that scatter around a common mean, the expected truth of each variant
given all scores does not depend on which of them is looked at, so that choosing the largest does no harm (Dawid 1994;
Efron 2011). How much truths scatter is integrated over: where it cannot be told from 0, the winner is drawn far
towards the mean; where one variant stands clear of the rest, hardly at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_GRID = 120


@dataclass(frozen=True)
class Winner:
    """The variant with the highest score, chosen among `n_candidates`."""

    index: int
    n_candidates: int
    score: float
    corrected: float
    """What it is expected to score on new clips with new training."""

    @property
    def optimism(self) -> float:
        return self.score - self.corrected


def best_of(scores: np.ndarray, covariance: np.ndarray) -> Winner:
    """The highest score and what it is worth after the choice.

    Args:
        scores: (V,)
        covariance: (V, V) of their errors; see `joint_model.JointModel.error_factor`.
    """
    index = int(np.argmax(scores))
    if len(scores) == 1:
        return Winner(index, 1, float(scores[0]), float(scores[0]))
    return Winner(index, len(scores), float(scores[index]), float(expected_truths(scores, covariance)[index]))


def expected_truths(scores: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Posterior means of the truths, (V,), which are normal around a common mean that is not known.

    The standard deviation of the truths has a half-Cauchy prior with the typical error of a contrast as its scale
    (Gelman 2006), and is integrated over on a grid.
    """
    n = len(scores)
    centering = np.eye(n) - 1 / n
    noise = np.trace(centering @ covariance) / (n - 1)
    if noise <= 0:
        return scores.astype(np.float64)
    ratio = np.geomspace(0.01, 100, N_GRID)
    values, vectors = np.linalg.eigh(covariance)
    precision = 1 / (np.maximum(values, 0) + noise * ratio[:, None] ** 2)
    ones, rotated = vectors.T @ np.ones(n), vectors.T @ scores
    total = precision @ ones**2
    mean = precision @ (ones * rotated) / total
    residual = rotated - mean[:, None] * ones
    log_weight = np.log(ratio / (1 + ratio**2))  # half-Cauchy on a logarithmic grid
    log_weight += (np.log(precision).sum(axis=1) - np.log(total) - np.sum(precision * residual**2, axis=1)) / 2
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    truths = mean[:, None] + (noise * ratio[:, None] ** 2 * precision * residual) @ vectors.T
    return weight @ truths
