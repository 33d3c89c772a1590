"""What a saved audit knows of clips that share audio, for the split: near-copies must not cross subsets either."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from earmark.datasets.manifest import Clip, clip_digest, manifest_digest
from earmark.runtime.connected import connected_sets
from earmark.runtime.console import format_names, pluralize
from earmark.runtime.files import sampled_digest
from earmark.runtime.schema import SchemaError, read_json
from earmark.splits.split import Copies, Split, SplitError

LOG = logging.getLogger("earmark")
OUTLINE = {"manifest_digest": str, "copies": [[str]], "clips?": {str: str}, "recordings?": {str: str}}
OUTLINE |= {"unreadable?": {str: str}, "altered?": [dict]}
"""What this module reads of a saved audit."""


def audit_path(manifest: str | Path) -> Path:
    """Where the audit of a manifest is saved by default: ``clips.audit.json`` beside ``clips.csv``."""
    return Path(manifest).with_suffix(".audit.json")


def find_copies(manifest: str | Path, clips: Sequence[Clip]) -> Copies:
    """The clips that share audio, by the audit saved beside the manifest; empty without one.

    After rows of the manifest were deleted or added, or recordings replaced, the audit holds for the clips that it
    examined, with a warning where there are others. An audit of other recordings is ignored, with a warning.

    Raises:
        SplitError: the file is not an audit.
    """
    path = audit_path(manifest)
    content = _read_audit(path, manifest)
    if not content:
        return ()
    unseen = _unseen(clips, content)
    seen = {clip.clip_id for clip in clips} - set(unseen)
    again = f"run `earmark audit {manifest} --json {path}` again"
    if not seen:
        LOG.warning("%s: is an audit of other recordings than those of %s and is ignored; %s", path, manifest, again)
        return ()
    if unseen:
        what = f"{pluralize(len(unseen), 'clip')} of {manifest} ({format_names(unseen)})"
        LOG.warning("%s: has not examined %s as they are now; they may be copies; %s", path, what, again)
    together = [tuple(clip_id for clip_id in ids if clip_id in seen) for ids in content["copies"]]
    return [ids for ids in together if len(ids) > 1]


def _read_audit(path: Path, manifest: str | Path) -> dict[str, Any]:
    """What an audit says; empty where there is none."""
    if not path.is_file():
        return {}
    try:
        return read_json(path, OUTLINE)
    except SchemaError as error:
        remedy = f"run `earmark audit {manifest} --json {path}` again, or remove the file"
        raise SplitError(f"audit {path}: cannot be read ({error}); {remedy}") from None


def warn_of_altered(manifest: str | Path, splits: Iterable[Split]) -> None:
    """Name clips that the saved audit calls probable copies at another tempo or pitch, and that a split separates.

    One is trained on and the other tested. No waveform proves these pairs, so no split is refused for them.
    """
    path = audit_path(manifest)
    pairs = [(pair.get("first"), pair.get("second")) for pair in _read_audit(path, manifest).get("altered", [])]
    apart: dict[str, None] = {}
    for split in splits if pairs else ():
        train, reported = set(split.train), set(split.reported)
        apart |= {f"{a} = {b}": None for a, b in pairs if train & {a, b} and reported & {a, b}}
    if apart:
        LOG.warning(
            "%s: %s probably copies at another tempo or pitch, and one is trained on where the other is tested: %s; "
            "listen to both, and give them the same group (`earmark audit %s --unite-copies FILE`) or drop one",
            path,
            pluralize(len(apart), "pair") + (" of clips is" if len(apart) == 1 else " of clips are"),
            format_names(list(apart)),
            manifest,
        )


def _unseen(clips: Sequence[Clip], audit: Mapping[str, Any]) -> list[str]:
    """The clips that an audit has not tried to examine, and those whose recordings have been replaced since."""
    known, recordings = audit.get("clips", {}), audit.get("recordings", {})
    broken = audit.get("unreadable", {})  # which a suite refuses
    same = audit["manifest_digest"] == manifest_digest(clips)
    return [
        clip.clip_id
        for clip in clips
        if not (same or known.get(clip.clip_id) == clip_digest(clip) or (not clip.duration and clip.clip_id in broken))
        or (clip.clip_id in recordings and _changed(clip.path, recordings[clip.clip_id]))
    ]


def _changed(recording: Path, digest: str) -> bool:
    return recording.is_file() and sampled_digest(recording) != digest


def unite_copies(clips: Sequence[Clip], copies: Copies) -> list[Clip]:
    """The clips, with the groups of clips that share audio united: all take the name of the first one in order.

    Args:
        clips: the manifest.
        copies: sets of clip ids, as `find_copies` or `AuditReport.copies` gives them.
    """
    group_of = {clip.clip_id: clip.group for clip in clips}
    together = [[group_of[clip_id] for clip_id in clip_ids if clip_id in group_of] for clip_ids in copies]
    united = connected_sets((groups[0], group) for groups in together for group in groups)
    name_of = {group: min(groups) for groups in united for group in groups}
    return [replace(clip, group=name_of.get(clip.group, clip.group)) for clip in clips]
