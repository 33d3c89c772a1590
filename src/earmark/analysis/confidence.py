"""From which confidence on the answers of a variant are as precise as wanted, and how many clips they then cover."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from earmark.analysis.compare import joint_model
from earmark.analysis.joint_model import Score
from earmark.analysis.learning_curve import split_points
from earmark.analysis.paired_model import SEED_SCALE_OF_SCORE, weigh
from earmark.analysis.paired_runs import PairedRuns, align_runs
from earmark.analysis.records import RunError, RunRecord
from earmark.analysis.share_interval import share_interval
from earmark.analysis.verdicts import percent
from earmark.runtime.text_tables import align_columns

GRID = np.round(np.arange(0.01, 1.0, 0.01), 2)
"""Confidences that are tried, the lowest first."""


class Threshold(NamedTuple):
    """What a variant can promise."""

    variant: str
    label: str
    """Predictions of this class; empty for those of all classes."""
    confidence: float | None
    """Probability of the prediction from which on the precision is shown; None where it is not shown for any."""
    answered: float
    """Fraction of the predictions that have at least this confidence; without one, 0."""
    precision: Score | None
    """Fraction of these that are right, each answer with the weight that it has in the score."""


def find_thresholds(records: Sequence[RunRecord], precision: float) -> list[Threshold]:
    """The lowest confidence from which on the interval of the precision lies above the wanted one.

    It is of all predictions of each variant, and of a single variant also of those of each class.

    Args:
        records: the runs; points of learning curves are no contestants.
        precision: the wanted fraction of right answers.

    Raises:
        RunError: a run has predicted labels without probabilities.
    """
    by_variant: dict[str, list[RunRecord]] = {}
    for run in sorted(split_points(records)[0], key=lambda run: run.variant):
        by_variant.setdefault(run.variant, []).append(run)
    labels_only = [name for name, runs in by_variant.items() if not all(run.has_probs for run in runs)]
    if labels_only:
        raise RunError(f"precision = {precision}: {labels_only[0]} has predicted labels without probabilities")
    found = []
    for name, runs in by_variant.items():
        scored = joint_model({name: runs}, "accuracy").runs
        confidence, predicted = (_on_grid(runs, values) for values in (_confidences, _predictions))
        masks = {"": np.isfinite(predicted)}
        if len(by_variant) == 1:
            masks |= {label: predicted == k for k, label in enumerate(runs[0].class_names)}
        found += [
            _threshold(name, label, scored, np.where(m, confidence, np.nan), precision) for label, m in masks.items()
        ]
    return found


def _on_grid(runs: Sequence[RunRecord], values: Callable[[RunRecord], np.ndarray]) -> np.ndarray:
    """(R, N) in the order of the model."""
    groups = {clip_id: group for run in runs for clip_id, group in zip(run.clip_ids, run.groups, strict=True)}
    return align_runs({"": {run.fold_seed: (run.clip_ids, values(run)) for run in runs}}, groups).right[0]


def _confidences(run: RunRecord) -> np.ndarray:
    return np.asarray(run.probs[np.arange(len(run.predictions)), run.predictions])


def _predictions(run: RunRecord) -> np.ndarray:
    return run.predictions


def _threshold(variant: str, label: str, runs: PairedRuns, confidence: np.ndarray, precision: float) -> Threshold:
    found = lowest_confidence(runs, confidence, precision)
    if found is None:
        return Threshold(variant, label, None, 0.0, None)
    least, score = found
    return Threshold(variant, label, least, float(np.mean(confidence[np.isfinite(confidence)] >= least)), score)


def lowest_confidence(runs: PairedRuns, confidence: np.ndarray, precision: float) -> tuple[float, Score] | None:
    """The lowest of `GRID` from which on the interval of the precision lies above the wanted one, and the precision.

    Args:
        runs: what the runs of one variant got right.
        confidence: (R, N) of their answers; NaN for answers that are not counted.
        precision: the wanted fraction of right answers.
    """
    for least in GRID:
        answered = confidence >= least
        if not answered.any():
            return None
        score = _precision(runs, answered, precision)
        if score is not None and score.low >= precision:
            return float(least), score
    return None


def _precision(runs: PairedRuns, answered: np.ndarray, wanted: float) -> Score | None:
    """The fraction of the answers that are right, which is a ratio of two means over clips; None where it is too low.

    The ratio is linearized: an answer contributes by how far it is from the ratio, one that is not counted nothing.
    Each answer has its weight in the score, one over the runs that report its clip. See `weigh` for None.

    Args:
        answered: (R, N) whether an answer is counted.
    """
    right, there = runs.right[0], answered.any(axis=0)
    weights = answered / np.maximum(np.isfinite(right).sum(axis=0), 1)
    estimate = float(np.sum(weights * np.nan_to_num(right)) / weights.sum())
    if estimate < wanted:
        return None
    values = (estimate + answered * (right - estimate) * there.sum() / weights.sum())[:, there]
    ratio = runs.test_train_ratio and runs.test_train_ratio * float(there.mean())
    evidence = weigh(values, runs.fold, runs.group[there], None, ratio, SEED_SCALE_OF_SCORE, runs.fixed)
    if evidence is None:
        return None
    by_group = np.bincount(np.unique(runs.group, return_inverse=True)[1], weights.sum(axis=0)) / weights.sum()
    moments = replace(evidence.moments, group_share=float(np.sum(by_group**2)))
    return Score(estimate, *share_interval(replace(evidence, moments=moments)))


def threshold_text(found: Sequence[Threshold], precision: float) -> str:
    """The thresholds in aligned columns, and how many groups of clips it takes where none was found."""
    rows = [["in %", "predicted as", "confidence from", "answered", "precision", "95 % interval"]]
    for one in found:
        cells = ["–"] * 4
        if one.confidence is not None and one.precision is not None:
            interval = f"{percent(one.precision.low)} to {percent(one.precision.high)}"
            lowest = "any" if one.confidence == GRID[0] else f"{100 * one.confidence:.0f}"
            cells = [lowest, percent(one.answered), percent(one.precision.estimate), interval]
        rows.append([one.variant, one.label or "any class", *cells])
    if not any(one.label for one in found):
        rows = [[row[0], *row[2:]] for row in rows]
    wanted = f"{100 * precision:g} %"
    text = f"From this confidence on, the 95 % interval of the precision lies above {wanted}, in each row on its own."
    if any(one.confidence is None for one in found):
        least = math.ceil(float(ndtri(0.975)) ** 2 * precision / (1 - precision))
        text += f" –: not shown for any confidence; even without errors, it takes about {least} groups of clips."
    return f"\nConfidence for a precision of {wanted}\n{align_columns(rows)}\n{text}"


def threshold_records(found: Sequence[Threshold]) -> list[dict[str, Any]]:
    """A row per threshold, for files; scores are fractions."""
    return [
        {
            "variant": one.variant,
            "predicted": one.label,
            "confidence": one.confidence,
            "answered": one.answered,
            "precision": one.precision and one.precision.estimate,
            "low": one.precision and one.precision.low,
            "high": one.precision and one.precision.high,
        }
        for one in found
    ]
