"""What an engine computes for clips, and how the windows of a clip become one answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.deploy.info import ModelInfo
from earmark.deploy.unknown import References, unknown_scores
from earmark.features.windows import cut_windows


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


def score_windows(
    waveforms: Sequence[np.ndarray],
    info: ModelInfo,
    references: References | None,
    infer_windows: Callable[[np.ndarray], Sequence[np.ndarray]],
) -> Scores:
    """Means over the windows that cover each float32 waveform (N,) at the model's rate.

    Args:
        infer_windows: logits (B, K) and embeddings (B, D) of windows uint8 (B, F, T).
    """
    from earmark.features.log_mel import log_mel_image  # SciPy, which a whole exported model does without

    windows = [cut_windows(log_mel_image(w, info.front_end), info.window_frames) for w in waveforms]
    counts = [len(one) for one in windows]
    outputs = infer_windows(np.concatenate(windows))
    logits, embeddings = (mean_over_windows(output, counts) for output in outputs)
    return Scores(logits, embeddings, None if references is None else unknown_scores(embeddings, references))
