"""Predictions of another tool against the manifest and the splits: complete, or completed with one class.

The splits are those of the tool, or else what the folds of the predictions say.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from earmark.datasets.manifest import Clip
from earmark.runs.prediction_table import MAX_TIE, PredictedRun, PredictionTableError
from earmark.runtime.console import format_names, pluralize
from earmark.runtime.errors import suggest
from earmark.splits.split import (
    WAIVERS,
    LeakageError,
    Split,
    SplitError,
    describe_waiver,
    find_leaks,
    waived_groups,
    waiver_for,
)

LOG = logging.getLogger("earmark")


def check_all_tested(variants: Sequence[str], untested: Collection[str]) -> None:
    """Refuse clips that no fold of a partition of the table's own tests."""
    if untested:
        raise PredictionTableError(
            f"{format_names(variants)}: {pluralize(len(untested), 'test clip')} without a prediction in any fold "
            f"({format_names(sorted(untested))}); add them, or take them out of the manifest"
        )


def splits_of_folds(runs: Sequence[PredictedRun], clips: Sequence[Clip], waiver: str) -> dict[int, Split]:
    """The split of each fold: tested are the clips of the published fold where the predictions follow it.

    Where they do not, tested are all clips that a run predicts in this fold. All other clips train.

    Raises:
        PredictionTableError: folds of the predictions' own do not test all clips.
        SplitError: there is no such waiver.
        LeakageError: a group is among the clips that a fold tests and among the others.
    """
    if waiver and waiver not in WAIVERS:
        raise SplitError(f"waiver = {waiver!r}: no such waiver{suggest(waiver, WAIVERS)}")
    published = {clip.clip_id: clip.fold for clip in clips}
    follow = all(published[clip_id] == run.fold for run in runs for clip_id in run.clip_ids)
    folds = sorted({run.fold for run in runs})
    tested = {fold: {i for run in runs if run.fold == fold for i in run.clip_ids} for fold in folds}
    if follow:
        tested = {fold: {clip_id for clip_id, number in published.items() if number == fold} for fold in folds}
    elif len(folds) > 1:
        check_all_tested(sorted({run.variant for run in runs}), published.keys() - set().union(*tested.values()))
    splits = {}
    for fold, test in tested.items():
        train = tuple(sorted(published.keys() - test))
        if not train:
            text = "fold %d tests every clip of the manifest; if any of them was in training, the score is too high"
            LOG.warning(text, fold)
        made = Split(train, (), tuple(sorted(test)), "folds" if follow else "files", fold, waiver=waiver)
        _check_leaks(made, clips)
        splits[fold] = replace(made, waived_groups=waived_groups(made, clips))
    return splits


def _check_leaks(split: Split, clips: Sequence[Clip]) -> None:
    """Refuse a fold whose test clips have a group, or a copy, among the other clips, which train in it."""
    leaks = find_leaks(split, clips)
    if not leaks:
        return
    waiver, names = waiver_for(leaks), format_names([f"{leak.kind} {leak.name!r}" for leak in leaks])
    remedy = "test the clips of a group in one fold, or give --split, the folds of the tool (in Python: split=)"
    if waiver:
        remedy = f"it is {describe_waiver(waiver)}: give --waiver {waiver} (in Python: waiver=)"
    raise LeakageError(
        f"fold {split.fold} of the predictions: its test clips and all others, which count as its training clips, "
        f"share {names}; {remedy}"
    )


def check_labels(names: Sequence[str], clips: Sequence[Clip]) -> None:
    """Refuse clips of a class that the runs do not have."""
    other = sorted({clip.label for clip in clips} - set(names))
    if other:
        raise PredictionTableError(
            f"manifest: label {format_names(other)} is not a class of these runs ({format_names(names)}); give the "
            "manifest that they were made from"
        )


def check_splits(splits: Mapping[int, Split], clips: Sequence[Clip]) -> None:
    """Refuse splits with clips that the manifest lacks."""
    known = {clip.clip_id for clip in clips}
    for fold, split in splits.items():
        gone = sorted({clip_id for ids in split.subsets().values() for clip_id in ids} - known)
        if gone:
            raise PredictionTableError(
                f"split of fold {fold}: {pluralize(len(gone), 'clip')} that the manifest lacks ({format_names(gone)}); "
                "give the manifest that it was made from"
            )


def check_complete(runs: Sequence[PredictedRun], splits: Mapping[int, Split]) -> None:
    """Every run needs a prediction of each test clip of its fold, and none of another clip."""
    lacking: dict[str, list[str]] = {}
    for run in runs:
        if run.fold not in splits:
            folds = format_names([str(fold) for fold in sorted(splits)])
            raise PredictionTableError(
                f"{run.name}: the split has folds {folds} only; correct the column fold or --fold"
            )
        missing = sorted(_tested(run, splits) - set(run.clip_ids))
        lacking |= {run.name: missing} if missing else {}
    if lacking:
        first, others = next(iter(lacking)), len(lacking) - 1
        where = f"{first} and {pluralize(others, 'other run')}" if others else first
        clip_ids = [clip_id for ids in lacking.values() for clip_id in ids]
        labels_only = ", or --missing LABEL, the class that it counts as" if runs[0].probs is None else ""
        raise PredictionTableError(
            f"{where}: {pluralize(len(clip_ids), 'test clip')} without a prediction "
            f"({format_names(list(dict.fromkeys(clip_ids)))}); every clip of the test subset needs one{labels_only}"
        )
    for run in runs:
        extra = sorted(set(run.clip_ids) - _tested(run, splits))
        if extra:
            raise PredictionTableError(
                f"{run.name}: predicts {format_names(extra)}, not in its test subset; leave training clips out, or "
                "give the split of the fold that tests them"
            )


def _tested(run: PredictedRun, splits: Mapping[int, Split]) -> set[str]:
    return set(splits[run.fold].reported)


def with_missing(run: PredictedRun, splits: Mapping[int, Split], target: int) -> PredictedRun:
    """The run with the test clips of its fold that it has no prediction of, predicted as the class `target`."""
    absent = _tested(run, splits) - set(run.clip_ids) if run.fold in splits else set()
    answers = dict(zip(run.clip_ids, run.predicted.tolist(), strict=True)) | dict.fromkeys(absent, target)
    clip_ids = tuple(sorted(answers))
    unanswered = tuple(sorted({*run.unanswered, *absent}))
    return replace(run, clip_ids=clip_ids, predicted=np.array([answers[i] for i in clip_ids]), unanswered=unanswered)


def warn_of_missing(
    runs: Sequence[PredictedRun], clips: Sequence[Clip], splits: Mapping[int, Split], missing: str
) -> None:
    """Say how many clips count as the class `missing`, if any, and which folds have no row and are not imported."""
    label_of = {clip.clip_id: clip.label for clip in clips}
    n_tested = {fold: len(split.reported) for fold, split in splits.items()}
    if all(split.kind == "folds" for split in splits.values()):
        n_tested |= Counter(clip.fold for clip in clips if clip.fold)
    for variant in dict.fromkeys(run.variant for run in runs):
        own = [run for run in runs if run.variant == variant]
        unanswered = [clip_id for run in own for clip_id in run.unanswered]
        if unanswered:
            n_right = sum(label_of[clip_id] == missing for clip_id in unanswered)
            of_all = f"{len(unanswered)} of {pluralize(sum(len(run.clip_ids) for run in own), 'test clip')}"
            LOG.warning("%s: %s without a prediction, counted as %s (right for %d)", variant, of_all, missing, n_right)
        empty = sorted(n_tested.keys() - {run.fold for run in own})
        if empty:
            n_clips = pluralize(sum(n_tested[fold] for fold in empty), "clip")
            where = f"fold{'s' * (len(empty) > 1)} {format_names(list(map(str, empty)))} ({n_clips})"
            remedy = "add a row of it to count its clips" if missing else "the score is that of the other folds"
            LOG.warning("%s: no predictions for %s; %s", variant, where, remedy)


def warn_of_ties(runs: Sequence[PredictedRun]) -> None:
    """Say how many clips count as the first of several classes that are equally probable."""
    for variant in dict.fromkeys(run.variant for run in runs):
        own = [run for run in runs if run.variant == variant and run.probs is not None]
        n_tied = sum(map(_count_ties, own))
        if n_tied:
            LOG.warning(
                "%s: several classes are equally probable for %d of %s; the first in sorted order counts, unless a "
                "column 'prediction' names another",
                variant,
                n_tied,
                pluralize(sum(len(run.clip_ids) for run in own), "clip"),
            )


def _count_ties(run: PredictedRun) -> int:
    """The clips for which the first of several most probable classes is predicted."""
    assert run.probs is not None, "labels have no ties"
    highest_NK = run.probs >= run.probs.max(axis=1, keepdims=True) - MAX_TIE
    return int(((highest_NK.sum(axis=1) > 1) & (highest_NK.argmax(axis=1) == run.predicted)).sum())
