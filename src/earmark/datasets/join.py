"""Join the manifests of several data sets into one, with classes renamed or left out."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from earmark.datasets.manifest import Clip, Columns, class_names, further_columns, read_manifest, unique_ids
from earmark.datasets.rows import ManifestError
from earmark.runtime.console import format_names, pluralize
from earmark.runtime.errors import suggest
from earmark.runtime.names import nfc

LOG = logging.getLogger("earmark")


def join_manifests(
    paths: Sequence[Path],
    rename: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    fold_each: bool = False,
    same_groups: bool = False,
) -> list[Clip]:
    """The clips of all manifests, those of the first one first.

    Clip ids that occur in two manifests are prefixed by the manifest's name. So are groups: speaker 3 of one data set
    is not speaker 3 of another one.

    Args:
        paths: manifests; each needs a file name of its own.
        rename: new name of each class that gets one; several may get the same name.
        only: classes that are kept, by their new names; empty keeps all.
        fold_each: the first manifest becomes fold 1, the second one fold 2, and so on; otherwise folds are kept.
        same_groups: groups that are named alike are one, such as a speaker who is in two data sets.

    Raises:
        ManifestError: a manifest cannot be read, two have the same name or a recording in common, or a class is in none
            of them.
    """
    parts = {path.stem: read_manifest(path) for path in paths}
    if len(parts) < len(paths):
        twice = next(path for path in paths if sum(path.stem == other.stem for other in paths) > 1)
        raise ManifestError(f"{twice}: two manifests have this name; rename one of the files")
    _check_apart(parts)
    renamed = {nfc(old): nfc(new) for old, new in (rename or {}).items()}
    parts = _select(parts, renamed, [nfc(label) for label in only])
    if not same_groups:
        parts = _separate_groups(parts)
    clips = [
        replace(clip, fold=number) if fold_each else clip
        for number, part in enumerate(parts.values(), 1)
        for clip in part
    ]
    names = [name for name, part in parts.items() for _ in part]
    ids = unique_ids([clip.clip_id for clip in clips], names)
    return [replace(clip, clip_id=clip_id) for clip, clip_id in zip(clips, ids, strict=True)]


def join_columns(paths: Sequence[Path], clips: Iterable[Clip]) -> Columns:
    """The further columns of the manifests for the clips that `join_manifests` made of them."""
    found: dict[str, dict[Path, str]] = {}
    for path in paths:
        place = {clip.clip_id: clip.path for clip in read_manifest(path)}
        for name, cells in further_columns(path).items():
            found.setdefault(name, {}).update({place[clip_id]: cell for clip_id, cell in cells.items()})
    return {name: {clip.clip_id: cells.get(clip.path, "") for clip in clips} for name, cells in found.items()}


def _check_apart(parts: Mapping[str, list[Clip]]) -> None:
    """Refuse a recording that two manifests list: it would be two clips in two groups."""
    first: dict[Path, str] = {}
    twice: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, part in parts.items():
        for clip in part:
            other = first.setdefault(clip.path.resolve(), name)
            if other != name:
                twice[other, name].append(clip.clip_id)
    if twice:
        (one, other), clip_ids = next(iter(twice.items()))
        common = f"{pluralize(len(clip_ids), 'recording')} in common ({format_names(clip_ids)})"
        raise ManifestError(f"{one} and {other}: have {common}; delete the rows in one of them")


def _select(parts: Mapping[str, list[Clip]], rename: Mapping[str, str], only: Sequence[str]) -> dict[str, list[Clip]]:
    """The parts with their classes renamed, and without the clips of other classes than `only`."""
    before = class_names(clip for part in parts.values() for clip in part)
    _check_known(rename, before)
    after = sorted({rename.get(label, label) for label in before})
    _check_known(only, after)
    kept = set(only or after)
    renamed = {name: [replace(c, label=rename.get(c.label, c.label)) for c in part] for name, part in parts.items()}
    selected = {name: [clip for clip in part if clip.label in kept] for name, part in renamed.items()}
    for name, part in selected.items():
        if not part:
            raise ManifestError(f"{name}: has no clip of {format_names(sorted(kept))}; its classes are "
                                f"{format_names(class_names(renamed[name]))}")  # fmt: skip
        missing = sorted(kept - {clip.label for clip in part})
        if missing:
            LOG.warning("%s: has no clip of %s, which other manifests have", name, format_names(missing))
    return selected


def _check_known(wanted: Iterable[str], known: Sequence[str]) -> None:
    for label in wanted:
        if label not in known:
            raise ManifestError(f"class {label!r}: is not in any manifest{suggest(label, known)}")


def _separate_groups(parts: Mapping[str, list[Clip]]) -> dict[str, list[Clip]]:
    """The parts with the groups that occur in several of them prefixed by the manifest's name."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, part in parts.items():
        for clip in part:
            found[clip.group].add(name)
    shared = {group for group, names in found.items() if len(names) > 1}
    if not shared:
        return dict(parts)
    LOG.warning(
        "%s in several manifests (%s): taken as different ones and prefixed by the manifest's name; --same-groups "
        "keeps them together",
        pluralize(len(shared), "group"),
        format_names(sorted(shared)),
    )
    return {
        name: [replace(c, group=f"{name}/{c.group}") if c.group in shared else c for c in part]
        for name, part in parts.items()
    }
