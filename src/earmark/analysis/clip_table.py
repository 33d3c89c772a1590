"""The clips of one variant's runs side by side, runs by clips, and what is known of a score from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.analysis.metrics import in_top_k, negative_log_likelihood
from earmark.analysis.paired_model import Posterior, fit, logit_interval
from earmark.analysis.records import RunRecord
from earmark.analysis.statistics import Interval

CLIP_MEANS = ("accuracy", "uar", "top3_accuracy", "nll")
"""Metrics that are a mean over clips (of each class, for UAR), for which `score_posterior` is defined."""


@dataclass(frozen=True, eq=False)
class ClipTable:
    """What clips contribute to a metric in each run."""

    values: np.ndarray
    """float64 (R, N), NaN where a run does not report a clip."""
    fold_of_run: np.ndarray
    """(R,)"""
    group_of_clip: np.ndarray
    """(N,)"""
    target_of_clip: np.ndarray
    """(N,) true classes."""
    test_train_ratio: float
    """Clips that all runs together report, over the training clips of one."""

    def posterior(self, metric: str) -> Posterior | None:
        """What is known of the mean over clips, or over classes for ``uar``; None with too few groups."""
        targets = self.target_of_clip if metric == "uar" else None
        return fit(self.values, self.fold_of_run, self.group_of_clip, targets, self.test_train_ratio)

    def estimate(self, metric: str) -> float:
        """The mean over clips of their mean over runs; for ``uar`` the mean over classes of such means."""
        of_clip = np.nanmean(self.values, axis=0)
        if metric != "uar":
            return float(of_clip.mean())
        n_clips = np.bincount(self.target_of_clip)
        sums = np.bincount(self.target_of_clip, of_clip)
        return float(np.mean(sums[n_clips > 0] / n_clips[n_clips > 0]))


def clip_table(runs: Iterable[RunRecord], metric: str) -> ClipTable:
    """The table of one of `CLIP_MEANS`."""
    runs = list(runs)
    column = {clip_id: i for i, clip_id in enumerate(sorted({c for run in runs for c in run.clip_ids}))}
    values = np.full((len(runs), len(column)), np.nan)
    groups, targets = np.empty(len(column), dtype=object), np.zeros(len(column), dtype=int)
    for row, run in enumerate(runs):
        columns = [column[clip_id] for clip_id in run.clip_ids]
        values[row, columns] = contributions(run, metric)
        groups[columns], targets[columns] = run.groups, run.targets
    return ClipTable(
        values,
        np.array([run.config.fold for run in runs]),
        np.unique(groups.astype(str), return_inverse=True)[1],
        targets,
        len(column) / float(np.mean([max(run.n_train, 1) for run in runs])),
    )


def contributions(run: RunRecord, metric: str) -> np.ndarray:
    """What each clip of a run contributes to one of `CLIP_MEANS`, float64 (N,)."""
    if metric == "top3_accuracy":
        return in_top_k(run.probs, run.targets, k=3).astype(np.float64)
    if metric == "nll":
        return negative_log_likelihood(run.probs, run.targets)
    return (run.predictions == run.targets).astype(np.float64)


def difference_table(ours: Sequence[RunRecord], theirs: Sequence[RunRecord], metric: str) -> ClipTable:
    """The table of the difference of two variants whose runs have the same folds and seeds in the same order."""
    first, second = clip_table(ours, metric), clip_table(theirs, metric)
    return ClipTable(
        first.values - second.values,
        first.fold_of_run,
        first.group_of_clip,
        first.target_of_clip,
        first.test_train_ratio,
    )


def score_interval(runs: Iterable[RunRecord], metric: str) -> Interval | None:
    """95 % interval of one of `CLIP_MEANS`, over groups of clips, seeds and training sets; None where there is none."""
    posterior = clip_table(runs, metric).posterior(metric)
    if posterior is None:
        return None
    if metric == "nll":
        half = posterior.half_width()
        return Interval(max(0.0, posterior.estimate - half), posterior.estimate + half)
    ends = logit_interval(posterior)
    return None if ends is None else Interval(*ends)
