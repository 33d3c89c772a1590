"""Join the manifests of several data sets into one, with classes renamed or left out."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from earmark.datasets.manifest import (
    Clip,
    Columns,
    base_clip_ids,
    class_names,
    further_columns,
    read_manifest,
    safe_id,
)
from earmark.datasets.rows import ManifestError
from earmark.runtime.connected import connected_sets
from earmark.runtime.console import format_names, pluralize
from earmark.runtime.errors import suggest
from earmark.runtime.names import nfc

LOG = logging.getLogger("earmark")

Origins = Mapping[tuple[str, str], tuple[str, Clip]]
"""By manifest and id of a copy: the manifest with the clip that it was made from, often another one, and this clip."""


def join_manifests(
    paths: Sequence[Path],
    rename: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    fold_each: bool = False,
    same_groups: bool = False,
) -> list[Clip]:
    """The clips of all manifests, those of the first one first.

    Clip ids that occur in two manifests are prefixed by the manifest's name. So are groups: speaker 3 of one data set
    is not speaker 3 of another one. A copy of a clip of another manifest, such as an augmentation, gets the prefix, the
    group and the fold of this clip.

    Args:
        paths: manifests; each needs a name of its own, that of the file or, for several ``clips.csv``, of its folder.
        rename: new name of each class that gets one; several may get the same name.
        only: classes that are kept, by their new names; empty keeps all.
        fold_each: the first manifest becomes fold 1, the second one fold 2, and so on; otherwise folds are kept.
        same_groups: groups that are named alike are one, such as a speaker who is in two data sets.

    Raises:
        ManifestError: a manifest cannot be read, two have the same name or a recording in common, a class is in none
            of them, or it is not clear which manifest a copy was made from.
    """
    parts = {name: read_manifest(path) for name, path in _names(paths).items()}
    _check_apart(parts)
    renamed = {nfc(old): nfc(new) for old, new in (rename or {}).items()}
    parts = _select(parts, renamed, [nfc(label) for label in only])
    origins = _find_origins(parts)
    ids = _joined_ids(parts, origins)
    if not same_groups:
        parts = _separate_groups(parts, origins)
    number = {name: i for i, name in enumerate(parts, 1)}
    return [
        replace(
            clip,
            clip_id=ids[name, clip.clip_id],
            fold=number[origins.get((name, clip.clip_id), (name,))[0]] if fold_each else clip.fold,
        )
        for name, part in parts.items()
        for clip in part
    ]


def join_columns(paths: Sequence[Path], clips: Iterable[Clip]) -> Columns:
    """The further columns of the manifests for the clips that `join_manifests` made of them."""
    found: dict[str, dict[Path, str]] = {}
    for path in paths:
        place = {clip.clip_id: clip.path for clip in read_manifest(path)}
        for name, cells in further_columns(path).items():
            found.setdefault(name, {}).update({place[clip_id]: cell for clip_id, cell in cells.items()})
    return {name: {clip.clip_id: cells.get(clip.path, "") for clip in clips} for name, cells in found.items()}


def _names(paths: Sequence[Path]) -> dict[str, Path]:
    """The manifests by name: that of the file, or of its folder where several files have the same."""
    count = Counter(path.stem.lower() for path in paths)
    named: dict[str, Path] = {}
    for path in paths:
        name = path.stem if count[path.stem.lower()] == 1 else path.parent.resolve().name
        other = next((there for known, there in named.items() if known.lower() == name.lower()), None)
        if other is not None:
            raise ManifestError(f"{path} and {other}: both would be called {name!r}; rename one of the files")
        named[name] = path
    return named


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


def _find_origins(parts: Mapping[str, Sequence[Clip]]) -> Origins:
    """What all copies were made from, as far as it is in one of the manifests.

    Of clips with the same name, it is that in the copy's own manifest, or else the only one in the copy's group.

    Raises:
        ManifestError: several other manifests have such a clip, and the group does not tell them apart.
    """
    found: dict[tuple[str, str], tuple[str, Clip]] = {}
    for name, part in parts.items():
        originals = {other: _originals(part, clips) for other, clips in parts.items()}
        for copy in part:
            known = {other: made[copy.clip_id] for other, made in originals.items() if copy.clip_id in made}
            shortest = min((len(clip.clip_id) for clip in known.values()), default=0)
            known = {other: clip for other, clip in known.items() if len(clip.clip_id) == shortest}
            if name in known:
                known = {name: known[name]}
            known = {other: clip for other, clip in known.items() if clip.group == copy.group} or known
            if len(known) > 1:
                raise ManifestError(
                    f"{name}: clip_id {copy.clip_id!r} may be a copy of a clip of {' or '.join(known)}; "
                    f"join {name} with the one that it was made from first, and the result with the others"
                )
            if known:
                found[name, copy.clip_id] = next(iter(known.items()))
    return found


def _originals(copies: Sequence[Clip], clips: Sequence[Clip]) -> dict[str, Clip]:
    """Which of `clips` some of `copies` were made from, by the id of the copy.

    The label is the same, and the name of the copy has a suffix that `base_clip_ids` knows or, where the group is the
    same, any other one: the names of augmentations that a config defines are not known here.
    """
    base_of = base_clip_ids([*copies, *clips])
    clip_of = {clip.clip_id.removesuffix("_orig"): clip for clip in clips} | {clip.clip_id: clip for clip in clips}
    found: dict[str, Clip] = {}
    for copy in copies:
        for separator in re.finditer("[_.-]", copy.clip_id):
            clip = clip_of.get(copy.clip_id[: separator.start()])
            if clip is None or clip.label != copy.label or clip.clip_id == copy.clip_id:
                continue
            if base_of[clip.clip_id] == base_of[copy.clip_id] or clip.group == copy.group:
                found.setdefault(copy.clip_id, clip)
    return found


def _joined_ids(parts: Mapping[str, Sequence[Clip]], origins: Origins) -> dict[tuple[str, str], str]:
    """The new id of each clip, by manifest and old id.

    A clip and its copies are prefixed together, so that the names still say what was made from what.
    """
    base_of = {name: base_clip_ids(part) for name, part in parts.items()}
    family: dict[tuple[str, str], tuple[str, str]] = {}
    for name, clip in ((name, clip) for name, part in parts.items() for clip in part):
        owner, original = origins.get((name, clip.clip_id), (name, clip))
        family[name, clip.clip_id] = (owner, base_of[owner][original.clip_id])
    count = Counter(clip_id.lower() for _, clip_id in family)
    alike = {base.lower() for (_, clip_id), (_, base) in family.items() if count[clip_id.lower()] > 1}
    ids: dict[tuple[str, str], str] = {}
    first: dict[str, tuple[str, str]] = {}
    for (name, clip_id), (owner, base) in family.items():
        prefixed = safe_id(f"{safe_id(owner)}__{base}") + clip_id[len(base) :]
        ids[name, clip_id] = joined = prefixed if base.lower() in alike else clip_id
        other = first.setdefault(joined.lower(), (name, clip_id))
        if other != (name, clip_id):
            raise ManifestError(
                f"clip_id {joined!r}: stands for {other[1]!r} of {other[0]} and for {clip_id!r} of {name}; "
                "give one of them another clip_id"
            )
    return ids


def _separate_groups(parts: Mapping[str, Sequence[Clip]], origins: Origins) -> dict[str, list[Clip]]:
    """The parts with the groups that occur in several of them prefixed by the manifest's name.

    The group of a copy and that of the clip that it was made from are one.
    """
    groups = {(name, clip.clip_id): (name, clip.group) for name, part in parts.items() for clip in part}
    copied = [(groups[copy], (owner, clip.group)) for copy, (owner, clip) in origins.items() if owner != copy[0]]
    of_copies = {group for group, _ in copied}
    order = {group: (group in of_copies, i) for i, group in enumerate(groups.values())}
    united = connected_sets([*((group, group) for group in order), *copied])
    first = {group: min(together, key=order.__getitem__) for together in united for group in together}
    count = Counter(group for _, group in set(first.values()))
    shared = sorted(group for group, n in count.items() if n > 1)
    if shared:
        LOG.warning(
            "%s in several manifests (%s): taken as different ones and prefixed by the manifest's name; --same-groups "
            "keeps them together",
            pluralize(len(shared), "group"),
            format_names(shared),
        )
    new = {group: f"{name}/{own}" if own in shared else own for group, (name, own) in first.items()}
    return {name: [replace(c, group=new[name, c.group]) for c in part] for name, part in parts.items()}
