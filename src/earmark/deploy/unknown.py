"""None of these: a score for sounds that belong to no class of a model.

The score is the distance of a clip's embedding to the nearest embeddings of training clips; the farther, the stranger
(Sun et al. 2022). Functions of arrays; whoever calls them brings embeddings of `Model.embed`.
"""

from __future__ import annotations

import numpy as np

NEIGHBORS = 5
"""The distance to the fifth nearest is less at the mercy of one odd clip than that to the nearest."""


def unit_length(embeddings_ND: np.ndarray) -> np.ndarray:
    """Embeddings scaled to length 1, float64 (N, D); the direction tells classes apart, the length the loudness."""
    embeddings = np.asarray(embeddings_ND, np.float64)
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)


def unknown_scores(embeddings_ND: np.ndarray, known_MD: np.ndarray, neighbors: int = NEIGHBORS) -> np.ndarray:
    """Distance (N,) to the `neighbors`-th nearest known embedding, from 0 to 2."""
    similarity = unit_length(embeddings_ND) @ unit_length(known_MD).T
    rank = min(neighbors, similarity.shape[1])
    nearest = -np.partition(-similarity, rank - 1, axis=1)[:, rank - 1]
    return np.sqrt(np.maximum(2 - 2 * nearest, 0))


def threshold_at(known_scores_N: np.ndarray, false_alarm_rate: float = 0.05) -> float:
    """The score that this fraction of known clips exceeds.

    Args:
        known_scores_N: scores of clips of the classes that were held out, from the embeddings of the others.
    """
    return float(np.quantile(known_scores_N, 1 - false_alarm_rate, method="higher"))


def auroc(known_scores_N: np.ndarray, unknown_scores_M: np.ndarray) -> float:
    """Probability that an unknown clip scores higher than a known one; ties count half."""
    known = np.sort(known_scores_N)
    below = np.searchsorted(known, unknown_scores_M, side="left")
    not_above = np.searchsorted(known, unknown_scores_M, side="right")
    return float((below + not_above).mean() / 2 / len(known))
