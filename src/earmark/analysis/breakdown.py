"""One variant in parts: by class, by group of clips and by confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from earmark.analysis.bootstrap import EvaluatedVariant, Resampling
from earmark.analysis.compare import joint_model
from earmark.analysis.joint_model import JointModel
from earmark.analysis.records import RunRecord


@dataclass(frozen=True)
class GroupSummary:
    """The clips of one group (a speaker, a source recording)."""

    n_clips: int
    accuracy: float
    uar: float


@dataclass(frozen=True)
class ReliabilityBin:
    """Clips whose prediction has about the same probability."""

    confidence: float
    accuracy: float
    n_clips: float
    """Averaged over seeds."""


def summarize_groups(evaluated: EvaluatedVariant, resampling: Resampling) -> dict[str, GroupSummary]:
    """Accuracy and UAR of each group of clips."""
    right, clips = evaluated.pool.mean.right, evaluated.pool.mean.clips
    return {
        group: GroupSummary(
            n_clips=round(clips[row].sum()),
            accuracy=float(right[row].sum() / clips[row].sum()),
            uar=float(np.mean(right[row, clips[row] > 0] / clips[row, clips[row] > 0])),
        )
        for group, row in resampling.group_index.items()
        if clips[row].sum() > 0
    }


def recall_intervals(records: Sequence[RunRecord]) -> dict[str, dict[str, tuple[float, float]]]:
    """95 % interval of the recall of each class that has enough groups of clips, by variant and class."""
    by_variant: dict[str, list[RunRecord]] = {}
    for record in records:
        by_variant.setdefault(record.variant, []).append(record)
    runs = joint_model(by_variant, "uar").runs  # they know the class of each clip
    assert runs.target is not None
    found: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in by_variant}
    for k, label in enumerate(records[0].class_names):
        model = JointModel(replace(runs, target=None).inside(runs.target == k))
        for name in by_variant:
            if (score := model.score(name)) is not None:
                found[name][label] = score.low, score.high
    return found


def reliability_bins(evaluated: EvaluatedVariant) -> list[ReliabilityBin]:
    """The clips of one variant by the probability of the prediction, without empty bins."""
    sums = evaluated.pool.mean
    bins = (sums.bin_confidence.sum(axis=0), sums.bin_right.sum(axis=0), sums.bin_clips.sum(axis=0))
    return [ReliabilityBin(float(c / n), float(r / n), float(n)) for c, r, n in zip(*bins, strict=True) if n > 0]


def calibration_error_by_chance(bins: Sequence[ReliabilityBin]) -> float:
    """The calibration error (ECE) to expect of calibrated probabilities on as many clips that are unlike one another.

    The sum of n right answers of probability c has the standard deviation sqrt(n c (1 - c)), and a normal number is at
    a distance of sqrt(2 / pi) standard deviations from its mean on average.
    """
    spreads = [math.sqrt(b.n_clips * max(b.confidence * (1 - b.confidence), 0.0)) for b in bins]
    return math.sqrt(2 / math.pi) * sum(spreads) / sum(b.n_clips for b in bins)
