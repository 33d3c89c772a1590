"""Which clips an epoch of training is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def draw_clips(
    targets_N: np.ndarray, groups: Sequence[str], sampler: str, generator: np.random.Generator
) -> np.ndarray:
    """(N,) indices of the clips of one epoch, which still has to be shuffled.

    `shuffle` takes each clip once. The other samplers draw N times with the probabilities of `clip_probabilities`, by
    systematic sampling: each clip, each group of a class and each class is drawn as often as expected, rounded up or
    down.
    """
    n_clips = len(targets_N)
    if sampler == "shuffle":
        return np.arange(n_clips)
    group_N = np.unique(groups, return_inverse=True)[1]
    place_N = generator.permutation(group_N.max() + 1)[group_N]
    order = np.lexsort((generator.random(n_clips), place_N, targets_N))  # by class, then by group, both contiguous
    edges = np.cumsum(clip_probabilities(targets_N, group_N, sampler)[order])
    points = (generator.random() + np.arange(n_clips)) / n_clips
    return order[np.searchsorted(edges[:-1], points, side="right")]


def clip_probabilities(targets_N: np.ndarray, group_N: np.ndarray, sampler: str) -> np.ndarray:
    """Equal for the classes and, with `class_group_balanced`, for the groups within a class; then for their clips."""
    if sampler == "class_balanced":
        weights = 1 / np.bincount(targets_N)[targets_N]
    else:
        pairs, pair_N, n_clips = np.unique(
            np.stack([targets_N, group_N]), axis=1, return_inverse=True, return_counts=True
        )
        pair_N = pair_N.ravel()  # of another shape in some versions of NumPy
        weights = 1 / (n_clips[pair_N] * np.bincount(pairs[0])[targets_N])
    return weights / weights.sum()
