"""What an engine computes for clips, and how the windows of a clip become one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of clips, one row each."""

    logits: np.ndarray
    """float32 (N, K)."""
    embeddings: np.ndarray
    """float32 (N, D): what the last linear layer takes; those of an ensemble side by side."""
    unknown: np.ndarray | None = None
    """(N,) distance to the nearest reference; None where the model holds none."""


def mean_over_windows(values_WD: np.ndarray, n_windows: Sequence[int]) -> np.ndarray:
    """Means over the windows of each clip, (N, D), from values of all windows, clip after clip.

    Args:
        values_WD: (W, D), one row per window.
        n_windows: of each clip, at least 1; they sum to W.
    """
    firsts = np.concatenate([[0], np.cumsum(n_windows)[:-1]])
    return np.add.reduceat(values_WD, firsts, axis=0) / np.asarray(n_windows, values_WD.dtype)[:, None]
