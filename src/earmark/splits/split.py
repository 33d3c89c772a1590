"""A split as a value, and the check that nothing leaks from one subset into another.

What must not cross subsets: a group (source recording, speaker), a clip, a copy or augmentation of a clip, and clips
that share audio as far as an audit has found it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from earmark.datasets.manifest import Clip, base_clip_ids
from earmark.runtime.console import format_names
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import digest

SUBSETS = ("train", "valid", "test")
INNER = "inner"
"""Kind of a split inside a training subset."""
NOT_REPORTED = "not_reported"
"""Kind of a split that trains a network for use: nothing is held out but what selects the epoch."""

Copies = Sequence[Sequence[str]]
"""Sets of clip ids that share audio, as an audit of the manifest found them."""


class SplitError(EarmarkError):
    """A split that cannot be made, read or used; the message gives the reason and the remedy."""


class LeakageError(SplitError):
    """A split in which the same group, clip, copy or shared audio is in more than one subset."""


@dataclass(frozen=True)
class Waiver:
    """A published exception: what crosses a benchmark's official folds and is accepted for comparability."""

    groups: frozenset[str]
    """Groups that cross folds."""
    copies: frozenset[frozenset[str]] = frozenset()
    """Pairs of groups that share audio across folds."""


CITIES = frozenset(
    {"barcelona", "helsinki", "lisbon", "london", "lyon", "milan", "paris", "prague", "stockholm", "vienna"}
)
"""The cities of the development sets of the DCASE acoustic scenes, of which most are in training and test."""

WAIVERS = {
    "esc50-published-folds": Waiver(
        groups=frozenset({"131943", "134049", "209698", "234879"}),
        copies=frozenset({frozenset({"151080", "151085"})}),
    ),
    "urbansound8k-published-folds": Waiver(frozenset({"77751", "106905", "132016", "176638", "180937"})),
    "fsdd-official-test": Waiver(frozenset({"george", "jackson", "lucas", "nicolas", "theo", "yweweler"})),
    "dcase-official-split": Waiver(CITIES),
}
"""The waivers by name."""
NO_WAIVER = Waiver(frozenset())


@dataclass(frozen=True)
class Split:
    """An assignment of clips to subsets; the ids of each subset are in sorted order."""

    train: tuple[str, ...]
    """Ids of the clips that train."""
    valid: tuple[str, ...]
    """Ids of the clips that select the epoch, or are reported where there is no test subset."""
    test: tuple[str, ...]
    """Ids of the clips that are reported, see `reported`."""
    kind: str
    """How it was made: a `SplitConfig.kind`, or the word of who made it."""
    fold: int
    """Which of the folds, from 1."""
    waiver: str = ""
    """Name of the published exception that it may use, see `WAIVERS`."""
    waived_groups: tuple[str, ...] = ()
    """Groups, and pairs of groups that share audio (``a = b``), that cross subsets under that exception."""
    leaks: tuple[str, ...] = ()
    """Everything else that crosses subsets, accepted by who made the split: a permanent flag."""
    groups: str = "declared"
    """``declared``, or ``none`` where each file is its own group, so that a split by group is one by file."""
    left_out: tuple[str, ...] = ()
    """Ids of the training clips that a fraction of the training groups lacks, see `earmark.splits.fraction`."""

    @property
    def reported_subset(self) -> str:
        """The subset that is reported: test, or valid where there is none."""
        return "test" if self.test else "valid"

    @property
    def reported(self) -> tuple[str, ...]:
        """Ids of the clips that are reported."""
        return self.test or self.valid

    def subsets(self) -> dict[str, tuple[str, ...]]:
        """The clip ids by the name of their subset."""
        return {subset: getattr(self, subset) for subset in SUBSETS}

    def description(self) -> dict[str, Any]:
        """What result.json says of it."""
        return {
            "kind": self.kind,
            "waiver": self.waiver,
            "waived_groups": list(self.waived_groups),
            "leaks": list(self.leaks),
            "groups": self.groups,
        }

    def reported_digest(self) -> str:
        """Equal for splits that report the same clips."""
        return digest(json.dumps(self.reported))


@dataclass(frozen=True)
class Leak:
    """Something that is in more than one subset."""

    kind: str
    """What crosses: ``clip``, ``copies of`` a clip, ``group``, or ``same audio``."""
    name: str
    """Its name."""
    subsets: tuple[str, ...]
    """The subsets it is in."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} ({', '.join(self.subsets)})"


def find_leaks(
    split: Split, clips: Sequence[Clip], copies: Copies = (), augmentations: Iterable[str] = ()
) -> list[Leak]:
    """What is in more than one subset: clips, copies of one clip, groups, shared audio (except what is waived).

    Args:
        split: the split to check.
        clips: the manifest.
        copies: clips that share audio, as an audit found them.
        augmentations: names of augmentations that the config defines, see `base_clip_ids`.

    Raises:
        SplitError: the split has a clip that the manifest lacks.
    """
    subsets_of = _subsets_of(split)
    group_of = {clip.clip_id: clip.group for clip in clips}
    unknown = sorted(subsets_of.keys() - group_of.keys())
    if unknown:
        raise SplitError(f"clip {unknown[0]!r} of the split is not in the manifest; make the split again")
    waiver = WAIVERS.get(split.waiver, NO_WAIVER)
    base_of = base_clip_ids(clips, augmentations)
    twice = [Leak("clip", i, subsets) for i, subsets in sorted(subsets_of.items()) if len(subsets) > 1]
    by_name = _crossing("copies of", _members(base_of, subsets_of), subsets_of)
    groups = _crossing("group", _members(group_of, subsets_of), subsets_of)
    shared = _crossing("same audio", _audio_members(copies, group_of, waiver, waived=False), subsets_of)
    return [*twice, *by_name, *(leak for leak in groups if leak.name not in waiver.groups), *shared]


def _subsets_of(split: Split) -> dict[str, tuple[str, ...]]:
    subsets_of: dict[str, tuple[str, ...]] = {}
    for subset, clip_ids in split.subsets().items():
        for clip_id in dict.fromkeys(clip_ids):
            subsets_of[clip_id] = (*subsets_of.get(clip_id, ()), subset)
    return subsets_of


def _members(name_of: Mapping[str, str], clip_ids: Iterable[str]) -> dict[str, list[str]]:
    """The clips that share each name."""
    members: dict[str, list[str]] = defaultdict(list)
    for clip_id in clip_ids:
        members[name_of[clip_id]].append(clip_id)
    return members


def _audio_members(copies: Copies, group_of: Mapping[str, str], waiver: Waiver, waived: bool) -> dict[str, list[str]]:
    """The clips of each set of copies, those alone that the waiver accepts or those alone that it does not."""
    return {
        " = ".join(clip_ids): list(clip_ids)
        for clip_ids in copies
        if (frozenset(group_of.get(clip_id, "") for clip_id in clip_ids) in waiver.copies) == waived
    }


def _crossing(kind: str, members: Mapping[str, Sequence[str]], subsets_of: Mapping[str, tuple[str, ...]]) -> list[Leak]:
    """Names that two or more clips share and that are in two or more subsets."""
    leaks = []
    for name, clip_ids in sorted(members.items()):
        present = {subset for clip_id in clip_ids for subset in subsets_of.get(clip_id, ())}
        n_used = sum(clip_id in subsets_of for clip_id in clip_ids)
        if n_used > 1 and len(present) > 1:
            leaks.append(Leak(kind, name, tuple(subset for subset in SUBSETS if subset in present)))
    return leaks


def waived_groups(split: Split, clips: Sequence[Clip], copies: Copies = ()) -> tuple[str, ...]:
    """The groups, and pairs of groups that share audio, that cross subsets in this split under its waiver, sorted."""
    subsets_of = _subsets_of(split)
    waiver = WAIVERS.get(split.waiver, NO_WAIVER)
    group_of = {clip.clip_id: clip.group for clip in clips}
    used = [i for i in subsets_of if group_of.get(i) in waiver.groups]
    groups = {leak.name for leak in _crossing("group", _members(group_of, used), subsets_of)}
    accepted = _audio_members(copies, group_of, waiver, waived=True)
    shared = [accepted[leak.name] for leak in _crossing("same audio", accepted, subsets_of)]
    return tuple(sorted(groups | {" = ".join(sorted({group_of[i] for i in clip_ids})) for clip_ids in shared}))


def check_split(split: Split, clips: Sequence[Clip], copies: Copies = (), augmentations: Iterable[str] = ()) -> None:
    """Raise `LeakageError` if a group, a clip, a copy of it or shared audio is in more than one subset.

    What the split's waiver accepts may cross, and so may what the split is flagged with (`Split.leaks`). The
    message names up to five offenders and the remedy; the arguments are those of `find_leaks`.
    """
    leaks = [leak for leak in find_leaks(split, clips, copies, augmentations) if str(leak) not in split.leaks]
    if leaks:
        raise LeakageError(
            f"split {split.kind!r}, fold {split.fold}: more than one subset has "
            f"{format_names([str(leak) for leak in leaks])}, which inflates the result; {_remedy(leaks)}"
        )


def _remedy(leaks: Sequence[Leak]) -> str:
    waiver = waiver_for(leaks)
    if waiver:
        return f"it is {describe_waiver(waiver)}: set split.waiver = {waiver!r}"
    if any(leak.kind == "same audio" for leak in leaks):
        return "give clips that share audio the same group, as `earmark audit --unite-copies` does, or drop all but one"
    if all(leak.kind == "group" for leak in leaks):
        return "keep each group in one subset, as split.kind = 'group_kfold' or 'holdout' does"
    return "keep a clip and all its copies and augmentations in one subset"


def waiver_for(leaks: Sequence[Leak]) -> str:
    """The name of the waiver that accepts all these leaks; empty if there is none."""
    groups = {leak.name for leak in leaks if leak.kind == "group"}
    return next((n for n, waiver in WAIVERS.items() if len(groups) == len(leaks) and groups <= waiver.groups), "")


def describe_waiver(name: str) -> str:
    """What a waiver accepts, in a few words."""
    return f"a known exception of the published folds ({', '.join(sorted(WAIVERS[name].groups))})"
