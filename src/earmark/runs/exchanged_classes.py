"""Whether predictions fit the labels better with the classes in another order, as after a mistake in the columns."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from earmark.datasets.manifest import Clip
from earmark.runs.prediction_table import PredictedRun
from earmark.runtime.console import format_names

LOG = logging.getLogger("earmark")

MIN_GAIN = 20
"""Predictions that must be right in the other order and are wrong in this one."""
MIN_ACCURACY = 0.8
"""Of predictions in the other order; with many classes twice that of guessing is enough."""


def warn_of_exchanged_classes(runs: Sequence[PredictedRun], clips: Sequence[Clip], names: Sequence[str]) -> None:
    """Warn of each variant whose classes seem to be in another order than their names."""
    clip_of = {clip.clip_id: clip for clip in clips}
    for variant in dict.fromkeys(run.variant for run in runs):
        own = [run for run in runs if run.variant == variant]
        tested = [clip_of[clip_id] for run in own for clip_id in run.clip_ids]
        targets = np.array([names.index(clip.label) for clip in tested])
        predicted = np.concatenate([run.predicted for run in own])
        found = exchanged_classes(targets, predicted, _halves(tested), len(names))
        if not found:
            continue
        right = np.array([found.get(k, k) for k in range(len(names))])[predicted] == targets
        LOG.warning(
            "%s: accuracy is %.1f %%, and %.1f %% if predictions count as another class (%s); check the order of the "
            "class columns",
            variant,
            100 * (predicted == targets).mean(),
            100 * right.mean(),
            format_names([f"{names[k]} as {names[other]}" for k, other in found.items()]),
        )


def _halves(clips: Sequence[Clip]) -> np.ndarray:
    """bool (N,): every other group, in the order of labels."""
    ordered = dict.fromkeys(clip.group for clip in sorted(clips, key=lambda clip: (clip.label, clip.group)))
    first = {*list(ordered)[::2]}
    return np.array([clip.group in first for clip in clips])


def exchanged_classes(targets: np.ndarray, predicted: np.ndarray, halves: np.ndarray, n_classes: int) -> dict[int, int]:
    """Classes whose predictions fit another class.

    The best of all orders fits better by chance alone, so it is found on half of the groups and its gain counted on the
    other half.

    Args:
        targets, predicted: (N,) indices of classes.
        halves: bool (N,) whether a clip is in the first half; both halves have whole groups.
        n_classes: number of classes.

    Returns:
        The class that the predictions of each such class fit; a permutation.
    """
    first, second = (_best_order(targets[half], predicted[half], n_classes) for half in (halves, ~halves))
    of_other_half = np.where(halves, second[predicted], first[predicted])
    found: dict[int, int] = {}
    for cycle in _cycles(_best_order(targets, predicted, n_classes)):
        moved = np.isin(predicted, list(cycle))
        n_after = (of_other_half == targets)[moved].sum()
        n_before = (predicted == targets)[moved].sum()
        if n_after - n_before >= MIN_GAIN and n_after >= min(MIN_ACCURACY, 2 / n_classes) * moved.sum():
            found |= cycle
    return dict(sorted(found.items()))


def _best_order(targets: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """(K,) the class that the predictions of each class fit, one to one; its own where others fit no better."""
    from scipy.optimize import linear_sum_assignment

    clips_KK = np.zeros((n_classes, n_classes))
    np.add.at(clips_KK, (predicted, targets), 1)
    return linear_sum_assignment(clips_KK + 0.5 / n_classes * np.eye(n_classes), maximize=True)[1]


def _cycles(order: np.ndarray) -> Iterator[dict[int, int]]:
    """The classes of each cycle of a permutation that are not in their own place."""
    left = {k: int(other) for k, other in enumerate(order) if k != other}
    while left:
        cycle, k = {}, min(left)
        while k in left:
            cycle[k] = left.pop(k)
            k = cycle[k]
        yield cycle
