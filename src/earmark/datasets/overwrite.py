"""Refuse to overwrite a manifest whose labels, groups or folds somebody has edited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from earmark.datasets.manifest import COLUMNS, Clip, ManifestError, read_rows
from earmark.runtime.console import format_names, pluralize
from earmark.runtime.names import nfc

REMEDY = "write to another file with -o, or give --force to overwrite it"


def check_overwrite(path: Path, clips: Sequence[Clip]) -> None:
    """Refuse to write these clips over a manifest that holds what they do not.

    These are clips, columns, and other labels, groups or folds of the same clips. A group that is only the clip itself
    and an empty fold were never filled in. A file that is no manifest is overwritten.

    Raises:
        ManifestError: it does; the message says how many differ, with an example.
    """
    if not _is_manifest(path):
        return
    rows = {row["clip_id"]: row for _, row in read_rows(path, COLUMNS, REMEDY)}
    written = {clip.clip_id: clip for clip in clips}
    edited = [text for clip_id, row in rows.items() if clip_id in written and (text := _edited(row, written[clip_id]))]
    gone = [clip_id for clip_id in rows if clip_id not in written]
    columns = [repr(column) for column in next(iter(rows.values())) if column not in COLUMNS]
    found = []
    if edited:
        found.append(f"another label, group or fold of {pluralize(len(edited), 'clip')} (the first: {edited[0]})")
    if gone:
        found.append(f"{pluralize(len(gone), 'clip')} that would be lost ({format_names(gone)})")
    if columns:
        found.append(f"{pluralize(len(columns), 'column')} that would be lost ({format_names(columns)})")
    if found:
        raise ManifestError(f"{path}: is a manifest with {', and '.join(found)}; {REMEDY}")


def _is_manifest(path: Path) -> bool:
    """Whether a file begins as a manifest, and has rows."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        header, first_row = file.readline(10_000), file.readline(10_000)
    return all(column.encode() in header for column in COLUMNS) and bool(first_row.strip())


def _edited(row: dict[str, str], clip: Clip) -> str:
    """What a row says of a clip that would be written otherwise."""
    group = "" if row["group"] == row["clip_id"] else row["group"]
    fold = "" if clip.fold is None else str(clip.fold)
    cells = {"label": (row["label"], clip.label), "group": (group, clip.group), "fold": (row["fold"], fold)}
    for column, (there, new) in cells.items():
        if there and nfc(there) != new:
            return f"{clip.clip_id} has {column} {there!r} and would get {new!r}"
    return ""
