"""How well each class of one run is found, with intervals over groups of clips."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from earmark.analysis.paired_model import weigh
from earmark.analysis.records import RunRecord, confusion_of
from earmark.analysis.share_interval import share_interval
from earmark.analysis.verdicts import percent

HEADER = ("in %", "clips", "groups", "recall", "95 % interval", "precision", "95 % interval")


class Share(NamedTuple):
    """A fraction of clips with its 95 % interval, whose ends are None with too few groups."""

    value: float
    low: float | None
    high: float | None


class ClassScore(NamedTuple):
    """One class; None where no clip is of it, or none was predicted as it."""

    label: str
    n_clips: int
    n_groups: int
    recall: Share | None
    precision: Share | None


def class_scores(record: RunRecord) -> list[ClassScore]:
    """The scores of each class, of one network as it is (`Aggregate.fixed`): no other seed or training set is meant."""
    right, groups = record.predictions == record.targets, np.array(record.groups)
    n_clips = confusion_of(record).sum(axis=1)
    return [
        ClassScore(
            label,
            int(n_clips[k]),
            len(set(groups[record.targets == k].tolist())),
            _share(right[record.targets == k], groups[record.targets == k]),
            _share(right[record.predictions == k], groups[record.predictions == k]),
        )
        for k, label in enumerate(record.class_names)
    ]


def score_as_it_is(record: RunRecord, metric: str) -> Share:
    """The accuracy or average recall (`uar`) of one network as it is, with its interval over groups of clips."""
    right, groups = record.predictions == record.targets, np.array(record.groups)
    share = _share(right, groups, record.targets if metric == "uar" else None)
    assert share is not None, "a run has clips"
    return share._replace(value=record.result["metrics"][metric])


def _share(right: np.ndarray, groups: np.ndarray, targets: np.ndarray | None = None) -> Share | None:
    if not len(right):
        return None
    evidence = weigh(right[None].astype(float), np.zeros(1, dtype=int), groups, targets, fixed=True)
    return Share(float(right.mean()), *(share_interval(evidence) if evidence else (None, None)))


def class_rows(record: RunRecord) -> list[list[str]]:
    """The scores as a table of texts, the header first."""
    return [
        list(HEADER),
        *(
            [one.label, str(one.n_clips), str(one.n_groups), *_cells(one.recall), *_cells(one.precision)]
            for one in class_scores(record)
        ),
    ]


def _cells(share: Share | None) -> tuple[str, str]:
    if share is None:
        return "–", "–"
    known = share.low is not None and share.high is not None
    return percent(share.value), f"{percent(share.low)} to {percent(share.high)}" if known else "–"


def difference_interval(now: Share, before: Share) -> tuple[float, float]:
    """95 % interval of `now` minus `before`, of two independent samples of clips (Newcombe 1998, method 10).

    Raises:
        ValueError: one has no interval.
    """
    if now.low is None or now.high is None or before.low is None or before.high is None:
        raise ValueError("both shares need an interval")
    difference = now.value - before.value
    below = math.hypot(now.value - now.low, before.high - before.value)
    above = math.hypot(now.high - now.value, before.value - before.low)
    return difference - below, difference + above
