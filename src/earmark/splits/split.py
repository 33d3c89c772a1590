"""A split as a value, and the check that nothing leaks from one part into another.

What must not cross parts: a group (source recording, speaker), a clip, and a waveform variant of a clip.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from earmark.datasets.manifest import Clip
from earmark.runtime.console import format_names
from earmark.runtime.errors import EarmarkError

SUBSETS = ("train", "valid", "test")
WAIVERS: dict[str, frozenset[str]] = {
    "esc50-published-folds": frozenset({"131943", "134049", "209698", "234879"}),
}
"""Published exceptions: groups that cross a benchmark's official folds, let pass for comparability."""
WAVEFORM_SUFFIX = re.compile(r"_(orig|noisy|pitch(up|down)?-?\d[\d.]*|stretch\d[\d.]*)$", re.IGNORECASE)
"""The end of a clip id that says that the clip is a waveform variant of another one."""


class SplitError(EarmarkError):
    """A split that cannot be made, read or used; the message gives the reason and the remedy."""


class LeakageError(SplitError):
    """A split in which the same group, clip or waveform variant stands in more than one part."""


@dataclass(frozen=True)
class Split:
    """An assignment of clips to parts; the ids of each part are in sorted order."""

    train: tuple[str, ...]
    """Ids of the clips that train."""
    valid: tuple[str, ...]
    """Ids of the clips that select the epoch; empty: none is selected."""
    test: tuple[str, ...]
    """Ids of the clips that are reported."""
    kind: str
    """How it was made: a `SplitConfig.kind`, or the word of who made it."""
    fold: int
    """Which of the folds, from 1."""
    waiver: str = ""
    """Name of the published exception that it may use, see `WAIVERS`."""
    waived_groups: tuple[str, ...] = ()
    """Groups that cross parts under that exception."""
    leaks: tuple[str, ...] = ()
    """Everything else that crosses parts, accepted by who made the split: it is marked for ever."""

    def parts(self) -> dict[str, tuple[str, ...]]:
        """The clip ids by the name of their part."""
        return {part: getattr(self, part) for part in SUBSETS}


@dataclass(frozen=True)
class Leak:
    """Something that stands in more than one part."""

    kind: str
    """What crosses: ``clip``, ``variants of`` a clip, or ``group``."""
    name: str
    """Its name."""
    parts: tuple[str, ...]
    """The parts it stands in."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} ({', '.join(self.parts)})"


def base_clip_id(clip_id: str) -> str:
    """The clip that a waveform variant was made from: its id without ``_noisy``, ``_pitchUp2``, ..."""
    return WAVEFORM_SUFFIX.sub("", clip_id)


def find_leaks(split: Split, clips: Iterable[Clip]) -> list[Leak]:
    """What stands in more than one part: clips, variants of one clip, groups (except waived ones).

    Raises:
        SplitError: the split has a clip that the manifest lacks.
    """
    parts_of = _parts_of(split)
    group_of = {clip.clip_id: clip.group for clip in clips}
    unknown = sorted(parts_of.keys() - group_of.keys())
    if unknown:
        raise SplitError(f"clip {unknown[0]!r} of the split is not in the manifest; make the split anew")
    twice = [Leak("clip", i, parts) for i, parts in sorted(parts_of.items()) if len(parts) > 1]
    families = _crossing("variants of", {clip_id: base_clip_id(clip_id) for clip_id in parts_of}, parts_of)
    groups = _crossing("group", {clip_id: group_of[clip_id] for clip_id in parts_of}, parts_of)
    waived = WAIVERS.get(split.waiver, frozenset())
    return [*twice, *families, *(leak for leak in groups if leak.name not in waived)]


def _parts_of(split: Split) -> dict[str, tuple[str, ...]]:
    parts_of: dict[str, tuple[str, ...]] = {}
    for part, clip_ids in split.parts().items():
        for clip_id in dict.fromkeys(clip_ids):
            parts_of[clip_id] = (*parts_of.get(clip_id, ()), part)
    return parts_of


def _crossing(kind: str, name_of: dict[str, str], parts_of: dict[str, tuple[str, ...]]) -> list[Leak]:
    """Names that two or more clips share and that stand in two or more parts."""
    members: dict[str, list[str]] = defaultdict(list)
    for clip_id, name in name_of.items():
        members[name].append(clip_id)
    leaks = []
    for name, clip_ids in sorted(members.items()):
        present = {part for clip_id in clip_ids for part in parts_of[clip_id]}
        if len(clip_ids) > 1 and len(present) > 1:
            leaks.append(Leak(kind, name, tuple(part for part in SUBSETS if part in present)))
    return leaks


def waived_groups(split: Split, clips: Sequence[Clip]) -> tuple[str, ...]:
    """The groups that really cross parts in this split and that its waiver lets pass, sorted."""
    parts_of = _parts_of(split)
    waived = WAIVERS.get(split.waiver, frozenset())
    group_of = {c.clip_id: c.group for c in clips if c.group in waived and c.clip_id in parts_of}
    return tuple(leak.name for leak in _crossing("group", group_of, parts_of))


def check_split(split: Split, clips: Iterable[Clip]) -> None:
    """Raise `LeakageError` if a group, a clip or a waveform variant of it stands in more than one part.

    The groups of the split's waiver may cross, and so may what the split is marked with (`Split.leaks`). The
    message names up to five offenders and the remedy.
    """
    leaks = [leak for leak in find_leaks(split, clips) if str(leak) not in split.leaks]
    if leaks:
        raise LeakageError(
            f"split {split.kind!r}, fold {split.fold}: more than one part has "
            f"{format_names([str(leak) for leak in leaks])}, which inflates the result; {_remedy(leaks)}"
        )


def _remedy(leaks: Sequence[Leak]) -> str:
    groups = {leak.name for leak in leaks if leak.kind == "group"}
    for name, waived in WAIVERS.items():
        if len(groups) == len(leaks) and groups <= waived:
            known = f"a known exception of the published folds ({', '.join(sorted(waived))})"
            return f"it is {known}: set split.waiver = {name!r}"
    if len(groups) == len(leaks):
        return "keep each group in one part, as split.kind = 'group_kfold' or 'holdout' does"
    return "keep a clip and all its waveform variants in one part"
