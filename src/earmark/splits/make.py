"""Make splits: which clips train, which select the epoch, which are reported.

`make_split` makes one fold of a split of any kind and checks it; `fold_numbers` lists the folds.
"""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from earmark.config.sections import SplitConfig
from earmark.datasets.manifest import Clip, base_clip_ids, class_names, has_groups
from earmark.runtime.connected import connected_sets
from earmark.runtime.console import format_names
from earmark.runtime.errors import suggest
from earmark.splits.fraction import keep_fraction
from earmark.splits.io import is_own_split, read_own_split, read_subset, subset_files
from earmark.splits.split import (
    SUBSETS,
    WAIVERS,
    Copies,
    Split,
    SplitError,
    check_split,
    find_leaks,
    waived_groups,
)
from earmark.splits.stratify import balanced_subsets

Members = dict[str, set[str]]
"""The ids of the clips of each subset."""
TUNING_SEED = 1_000_003
"""Added to the seed of a split for its tuning clips, which would otherwise be those of a fold."""


class SplitWarning(UserWarning):
    """A split that was made, with something about it that weakens what it measures."""


def fold_numbers(clips: Sequence[Clip], config: SplitConfig, augmentations: Iterable[str] = ()) -> list[int]:
    """The folds that the split has, in order: the published numbers, or from 1 up.

    Raises:
        SplitError: the manifest does not allow such a split; the message says why.
    """
    clips = _in_order(clips)
    if config.kind == "folds":
        return _published_folds(clips)
    if config.kind == "leave_one_group_out":
        groups, kept = _groups_to_leave_out(clips), tuning_clips(clips, config, augmentations)
        untested = {clip.group for clip in clips if clip.clip_id in kept}
        return [number for number, group in enumerate(groups, start=1) if group not in untested]
    if config.kind == "group_kfold":
        _check_enough_groups(clips, config, tuple(augmentations))
        return list(range(1, config.n_folds * config.repeats + 1))
    return [1]


def make_split(
    clips: Sequence[Clip],
    config: SplitConfig,
    fold: int,
    allow_leakage: bool = False,
    copies: Copies = (),
    augmentations: Iterable[str] = (),
    draw: int = 0,
) -> Split:
    """Make one split of the clips and check it; it depends on the clips, not on their order.

    Args:
        clips: the manifest.
        config: kind and settings; `val_ratio` takes whole groups out of train, stratified, in every kind.
        fold: which of `fold_numbers` is the test subset.
        allow_leakage: write leaks into `Split.leaks` instead of refusing the split; for teaching.
        copies: clips that share audio, see `find_copies`; they must not cross subsets.
        augmentations: names of augmentations that the config defines, by which files of augmented clips end.
        draw: seed of `config.train_fraction`.

    Raises:
        SplitError: the split cannot be made; the message says why.
        LeakageError: a group, a clip, a copy of it or shared audio is in more than one subset.
    """
    clips, augmentations = _in_order(clips), tuple(augmentations)
    _check_config(config)
    folds = fold_numbers(clips, config, augmentations)
    if fold not in folds:
        there_is = f"folds {folds[0]} to {folds[-1]}" if len(folds) > 1 else f"fold {folds[0]} only"
        raise SplitError(f"fold = {fold}: split.kind = {config.kind!r} has {there_is} here; give one of them")
    seeded, number = _in_partition(config, fold)
    members = _MAKERS[config.kind](clips, seeded, number, augmentations)
    kept = tuning_clips(clips, config, augmentations)
    members = _keep_from_test(members, kept)
    if config.val_ratio > 0:
        members = _take_valid(clips, members, seeded, augmentations, kept)
    train, valid, test = (tuple(sorted(members.get(subset, ()))) for subset in SUBSETS)
    groups = "declared" if has_groups(clips) else "none"
    split = Split(train, valid, test, config.kind, fold, config.waiver, groups=groups)
    split = replace(split, waived_groups=waived_groups(split, clips, copies))
    if allow_leakage:
        split = replace(split, leaks=tuple(str(leak) for leak in find_leaks(split, clips, copies, augmentations)))
    check_split(split, clips, copies, augmentations)
    _check_subsets(split, clips, config)
    return keep_fraction(split, clips, config.train_fraction, draw)


def tuning_clips(clips: Sequence[Clip], config: SplitConfig, augmentations: Iterable[str] = ()) -> set[str]:
    """Ids of the clips that no fold tests or validates, whole groups, stratified; empty without `tuning_ratio`."""
    if config.tuning_ratio == 0:
        return set()
    fractions = (1 - config.tuning_ratio, config.tuning_ratio)
    seed = (config.seed + TUNING_SEED) % 2**32
    index = _divide(_in_order(clips), fractions, seed, tuple(augmentations), keep_single=True)
    return {clip_id for clip_id, subset in index.items() if subset == 1}


def _keep_from_test(members: Members, kept: set[str]) -> Members:
    """Train on the clips of these ids that are in another subset."""
    if not kept:
        return members
    others = {subset: ids - kept for subset, ids in members.items()}
    return {**others, "train": others.get("train", set()) | kept}


def _in_partition(config: SplitConfig, fold: int) -> tuple[SplitConfig, int]:
    """Settings of the partition that a fold belongs to, and the number of the fold in it, from 1."""
    if config.repeats == 1:
        return config, fold
    partition, index = divmod(fold - 1, config.n_folds)
    return replace(config, seed=config.seed + partition), index + 1


def groups_per_label(clips: Iterable[Clip]) -> dict[str, int]:
    """How many groups have clips of each label."""
    groups: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        groups[clip.label].add(clip.group)
    return {label: len(members) for label, members in sorted(groups.items())}


def _in_order(clips: Iterable[Clip]) -> tuple[Clip, ...]:
    return tuple(sorted(clips, key=lambda clip: clip.clip_id))


def _check_config(config: SplitConfig) -> None:
    """Refuse unknown waivers, and settings that mean nothing for the kind of split."""
    if config.waiver and config.waiver not in WAIVERS:
        raise SplitError(f"split.waiver = {config.waiver!r}: no such waiver{suggest(config.waiver, WAIVERS)}")
    if config.valid_fold and config.kind in ("holdout", "files"):
        raise SplitError(f"split.valid_fold = True: {config.kind!r} has no folds; use split.val_ratio instead")


def _published_folds(clips: Sequence[Clip]) -> list[int]:
    without = [clip.clip_id for clip in clips if clip.fold is None]
    if without:
        raise SplitError(
            f"split.kind = 'folds': the manifest has no published fold for {len(without)} of {len(clips)} "
            f"clips, for example {without[0]}; fill in its column fold, or use 'group_kfold'"
        )
    folds = sorted({clip.fold for clip in clips if clip.fold is not None})
    if len(folds) < 2:
        raise SplitError("split.kind = 'folds': the manifest has one fold only; use 'group_kfold'")
    return folds


def _groups_to_leave_out(clips: Sequence[Clip]) -> list[str]:
    groups = sorted({clip.group for clip in clips})
    if len(groups) < 2:
        raise SplitError(
            "split.kind = 'leave_one_group_out': all clips belong to one group; "
            "the manifest's column group must name recordings or speakers"
        )
    _refuse_single_groups(groups_per_label(clips))
    return groups


def _refuse_single_groups(n_groups: Mapping[str, int]) -> None:
    single = [label for label, n in n_groups.items() if n == 1]
    if len(single) == len(n_groups) > 1:
        raise SplitError(
            f"every label has clips of one group only ({format_names(single)}): the group gives the label away; "
            "add recordings of each label from other groups, or use finer groups, such as recordings"
        )
    if single:
        raise SplitError(
            f"label {format_names(single)} has clips of one group only, so it cannot be both trained and tested; "
            "add recordings from another source, drop the label, or use split.kind = 'holdout'"
        )


def _check_enough_groups(clips: tuple[Clip, ...], config: SplitConfig, augmentations: tuple[str, ...]) -> None:
    """Refuse more folds than groups, and a label of one group; warn about labels with too few that may be tested."""
    n_units, n_folds = len(set(_units(clips, augmentations).values())), config.n_folds
    if n_units < 2:
        raise SplitError(
            f"split.kind = {config.kind!r}: all clips belong to one group, or are copies of one clip; "
            "the manifest's column group must name recordings or speakers"
        )
    if n_units < n_folds:
        raise SplitError(
            f"split.n_folds = {n_folds}: there are {n_units} groups of clips, and a group stays in one fold; "
            f"give at most {n_units} folds; split.kind = 'leave_one_group_out' tests every group in turn"
        )
    n_groups, kept = groups_per_label(clips), tuning_clips(clips, config, augmentations)
    _refuse_single_groups(n_groups)
    n_tested = groups_per_label(clip for clip in clips if clip.clip_id not in kept)
    scarce = [f"{label} ({n})" for label in n_groups if (n := n_tested.get(label, 0)) < n_folds]
    if scarce:
        left = " beside those of split.tuning_ratio" if kept else ""
        text = (
            f"fewer groups{left} than split.n_folds = {n_folds} for {format_names(scarce)}: some test subsets lack them"
        )
        warnings.warn(text, SplitWarning, stacklevel=4)


def _by_fold(fold_of: Mapping[str, int], config: SplitConfig, fold: int) -> Members:
    """Test is `fold`; with `valid_fold`, valid is the next one, and the first one after the last."""
    folds = sorted(set(fold_of.values()))
    valid = folds[(folds.index(fold) + 1) % len(folds)] if config.valid_fold else None
    subset_of_fold = {valid: "valid", fold: "test"}
    members: Members = defaultdict(set)
    for clip_id, number in fold_of.items():
        members[subset_of_fold.get(number, "train")].add(clip_id)
    return members


def _make_folds(clips: Sequence[Clip], config: SplitConfig, fold: int, augmentations: tuple[str, ...]) -> Members:
    return _by_fold({clip.clip_id: clip.fold for clip in clips if clip.fold is not None}, config, fold)


def _make_leave_one_group_out(
    clips: Sequence[Clip], config: SplitConfig, fold: int, augmentations: tuple[str, ...]
) -> Members:
    number = {group: i for i, group in enumerate(_groups_to_leave_out(clips), start=1)}
    kept = tuning_clips(clips, config, augmentations)  # their groups are never the next one, which is valid
    return _by_fold({c.clip_id: number[c.group] for c in clips if c.clip_id not in kept}, config, fold)


def _make_group_kfold(clips: Sequence[Clip], config: SplitConfig, fold: int, augmentations: tuple[str, ...]) -> Members:
    fractions = (1 / config.n_folds,) * config.n_folds
    index = _divide(clips, fractions, config.seed, augmentations, keep_single=False)
    return _by_fold({clip_id: i + 1 for clip_id, i in index.items()}, config, fold)


def _make_holdout(clips: Sequence[Clip], config: SplitConfig, fold: int, augmentations: tuple[str, ...]) -> Members:
    if config.test_ratio == 0 and config.val_ratio == 0:
        raise SplitError("split.test_ratio = 0: with val_ratio = 0 nothing is held out; give one of them")
    fractions = (1 - config.test_ratio, config.test_ratio)
    index = _divide(clips, fractions, config.seed, augmentations, keep_single=True)
    members = {subset: {i for i, s in index.items() if s == k} for k, subset in enumerate(("train", "test"))}
    untested = sorted({c.label for c in clips} - {c.label for c in clips if c.clip_id in members["test"]})
    if members["test"] and untested:
        text = f"split.kind = 'holdout': no group of {format_names(untested)} can be spared for test"
        warnings.warn(text, SplitWarning, stacklevel=3)
    return members


def _make_files(clips: Sequence[Clip], config: SplitConfig, fold: int, augmentations: tuple[str, ...]) -> Members:
    if is_own_split(config.path):
        return {subset: set(clip_ids) for subset, clip_ids in read_own_split(config.path, clips).items()}
    return {subset: set(read_subset(path, clips, augmentations)) for subset, path in subset_files(config.path).items()}


_MAKERS = {
    "folds": _make_folds,
    "group_kfold": _make_group_kfold,
    "leave_one_group_out": _make_leave_one_group_out,
    "holdout": _make_holdout,
    "files": _make_files,
}


def _take_valid(
    clips: Sequence[Clip], members: Members, config: SplitConfig, augmentations: tuple[str, ...], kept: set[str]
) -> Members:
    """Move whole groups from train to valid until valid has `val_ratio` of all clips, stratified; `kept` stay."""
    if members.get("valid"):
        raise SplitError(f"split.val_ratio = {config.val_ratio}: split.path already has a valid subset; give 0")
    movable = members["train"] - kept
    train = tuple(clip for clip in clips if clip.clip_id in movable)
    n_clips = sum(map(len, members.values()))
    fraction = config.val_ratio * n_clips / max(len(train), 1)
    if fraction >= 1:
        raise SplitError(
            f"split.val_ratio = {config.val_ratio}: train has only {len(train)} of {n_clips} clips; give less"
        )
    index = _divide(train, (1 - fraction, fraction), config.seed, augmentations, keep_single=True)
    valid = {clip_id for clip_id, subset in index.items() if subset == 1}
    return {**members, "train": members["train"] - valid, "valid": valid}


@functools.lru_cache(maxsize=8)  # all folds of a partition take it
def _divide(
    clips: tuple[Clip, ...], fractions: tuple[float, ...], seed: int, augmentations: tuple[str, ...], keep_single: bool
) -> Mapping[str, int]:
    """The index of the subset of each clip; with `keep_single`, a label's only group stays in subset 0."""
    unit_of = _units(clips, augmentations)
    column = {label: k for k, label in enumerate(class_names(clips))}
    counts = np.zeros((len(set(unit_of.values())), len(column)), dtype=np.int64)
    for clip in clips:
        counts[unit_of[clip.clip_id], column[clip.label]] += 1
    single = np.count_nonzero(counts, axis=0) == 1
    pinned = np.any(counts[:, single] > 0, axis=1) if keep_single else None
    subsets = balanced_subsets(counts, np.array(fractions), seed, pinned)
    return {clip_id: int(subsets[unit]) for clip_id, unit in unit_of.items()}


@functools.lru_cache(maxsize=8)
def _units(clips: tuple[Clip, ...], augmentations: tuple[str, ...]) -> Mapping[str, int]:
    """A number for what must stay together, by clip id: clips of one group, and copies of one clip."""
    base_of = base_clip_ids(clips, augmentations)
    units = connected_sets((("clip", base_of[c.clip_id]), ("group", c.group)) for c in clips)
    unit_of = {item: number for number, unit in enumerate(units) for item in unit}
    return {c.clip_id: unit_of["group", c.group] for c in clips}


def _check_subsets(split: Split, clips: Sequence[Clip], config: SplitConfig) -> None:
    """Refuse a split with a subset that should not be empty, or with a label that is never trained."""
    wanted = {
        "train": True,
        "valid": config.val_ratio > 0 or config.valid_fold,
        "test": not split.valid if config.kind == "files" else config.kind != "holdout" or config.test_ratio > 0,
    }
    for subset, clip_ids in split.subsets().items():
        if wanted[subset] and not clip_ids:
            if subset == "train" and config.valid_fold:
                remedy = (
                    "one of two folds is test, the other valid, and none is left for train; make three or more folds"
                )
                raise SplitError(f"split.valid_fold = True: {remedy}, or use split.val_ratio")
            raise SplitError(
                f"split.kind = {split.kind!r}, fold {split.fold}: no clip is left for {subset}, because a group "
                f"({len({clip.group for clip in clips})} here) is never divided; change the ratios or the folds"
            )
    label_of = {clip.clip_id: clip.label for clip in clips}
    trained = {label_of[clip_id] for clip_id in split.train}
    untrained = sorted({label_of[clip_id] for clip_id in split.valid + split.test} - trained)
    if untrained:
        raise SplitError(
            f"split.kind = {split.kind!r}, fold {split.fold}: train has no clip of {format_names(untrained)}; "
            "give another seed, a smaller ratio or fewer folds, or leave the label out"
        )
