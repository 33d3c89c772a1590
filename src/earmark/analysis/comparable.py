"""Which runs may be put into one table, and why others must not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from earmark.analysis.leaks import COMPARED
from earmark.analysis.records import RunError, RunRecord
from earmark.config.suite import RunConfig, to_dict
from earmark.runtime.console import format_names, pluralize

SHARED_FOLDER = (
    "move those of each into a folder of its own (aggregate_seeds in product/training accepts them as they are)"
)


def check_comparable(records: Sequence[RunRecord]) -> None:
    """Refuse runs that must not be put into one table.

    Raises:
        RunError: runs of a study of leaks or of several comparisons, a run that selected on what it reports, two
            runs for one variant, fold and seed, a variant whose runs differ in settings, or runs of one fold that
            differ in their classes, clips, subsets or data. The message names two of them and the remedy.
    """
    _check_no_leak_study(records)
    _check_one_name(records)
    _check_selection(records)
    _check_settings(records)
    _check_classes(records)
    _check_same_clips(records)


def _check_no_leak_study(records: Sequence[RunRecord]) -> None:
    """Refuse leaky runs beside others: `earmark optimism` has compared its conditions, whose clips differ."""
    leaky = [r for r in records if r.result["split"]["kind"] in COMPARED]
    if leaky and len({r.result["split"]["kind"] for r in records}) > 1:
        folder = leaky[0].folder.parent
        raise RunError(
            f"runs {folder}: are those of `earmark optimism`, which has leaky splits on purpose; what they say is in "
            f"{folder / 'inflation.md'}; leave them out, or give the folder of one run"
        )


def _check_one_name(records: Sequence[RunRecord]) -> None:
    folder_of = {r.config.name: r.folder.parent for r in records}
    if len(folder_of) > 1:
        folders = sorted({str(folder) for folder in folder_of.values()})
        remedy = f"give one of {', '.join(folders)}" if len(folders) == len(folder_of) else SHARED_FOLDER
        raise RunError(
            f"runs of {len(folder_of)} suites ({', '.join(sorted(folder_of))}): {remedy}, or compare folders of equal "
            "clips and folds with `earmark compare`"
        )


def _check_selection(records: Sequence[RunRecord]) -> None:
    selected = [r for r in records if r.result["selected_on"] in ("test", r.result["reported_subset"])]
    if selected:
        raise RunError(
            f"run {selected[0].folder} (and {len(selected) - 1} more): selected_on = "
            f"{selected[0].result['selected_on']!r}: its epoch was chosen on the clips that it reports, so that its "
            "score is too high; remove it and repeat it with split.val_ratio or split.valid_fold, or without selection"
        )


def _check_settings(records: Sequence[RunRecord]) -> None:
    _refuse_difference(
        records,
        lambda r: (r.variant, r.fold_seed),
        lambda r: r.folder,
        "both have this variant, fold and seed; keep one, or give them different variant names",
    )
    _refuse_difference(
        records,
        lambda r: r.variant,
        lambda r: r.settings_id,
        "have one variant name and different settings; give them different variant names",
    )


def _check_classes(records: Sequence[RunRecord]) -> None:
    remedy = "differ in their {}; aggregate them separately"
    _refuse_difference(records, lambda r: 0, lambda r: r.class_names, remedy.format("classes"))
    _refuse_difference(records, lambda r: 0, lambda r: r.result["reported_subset"], remedy.format("reported subset"))


def _check_same_clips(records: Sequence[RunRecord]) -> None:
    remedy = (
        "are of one fold and differ in {}; give both the same split, or repeat the older one if the data have changed"
    )
    _refuse_difference(
        [r for r in records if r.training_subset_known],
        _split_key,
        lambda r: r.subsets_digest,
        remedy.format("which clip is in which subset"),
    )
    first: dict[int, RunRecord] = {}
    for record in records:
        other = first.setdefault(record.config.fold, record)
        if difference := _different_clips(other, record):
            raise RunError(f"runs {other.folder} and {record.folder} {remedy.format(difference)}")
    _refuse_difference(
        [r for r in records if r.test_audio],
        lambda r: r.config.fold,
        lambda r: r.test_audio,
        remedy.format("the recordings that they report, although the names of the clips are the same"),
    )
    _refuse_difference(
        [r for r in records if not r.imported],
        lambda r: (_split_key(r), _images_key(r.config)),
        lambda r: r.data_fingerprint,
        remedy.format("the audio or images that they read"),
    )


def _different_clips(first: RunRecord, second: RunRecord) -> str:
    """What two runs say otherwise of the clips that they report; empty where it is nothing."""
    if first.clip_ids != second.clip_ids:
        alone = sorted({*first.clip_ids} ^ {*second.clip_ids})
        found = pluralize(len(alone), "clip") + (" is" if len(alone) == 1 else " are")
        return f"the clips that they report: {found} in one alone ({format_names(alone)})"
    for what, ours, theirs in (("group", first.groups, second.groups), ("label", first.targets, second.targets)):
        other = [clip_id for clip_id, a, b in zip(first.clip_ids, ours, theirs, strict=True) if a != b]
        if other:
            return f"the {what} of {pluralize(len(other), 'clip')} ({format_names(other)})"
    return ""


def _refuse_difference(records: Iterable[RunRecord], key: Any, value: Any, text: str) -> None:
    """Raise `RunError` for two records with the same key and different values."""
    first: dict[Any, RunRecord] = {}
    for record in records:
        other = first.setdefault(key(record), record)
        if value(other) != value(record):
            raise RunError(f"runs {other.folder} and {record.folder} {text}")


def _split_key(record: RunRecord) -> tuple[Any, ...]:
    """Runs with the same key have the same subsets: those of a fold, and of a draw where it has fewer groups."""
    fraction = record.config.split.train_fraction
    return record.config.fold, fraction, record.config.seed if fraction < 1 else 0


def _images_key(config: RunConfig) -> str:
    """Runs with the same key read the same images, if the recordings are the same."""
    front_end, augment = to_dict(config.front_end), config.augment
    return json.dumps([front_end, augment.waveform, augment.waveform_definitions], sort_keys=True)
