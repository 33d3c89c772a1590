"""Refuse to overwrite files of the user: manifests that were edited, other tables, and recordings."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from earmark.datasets.manifest import COLUMNS, Clip
from earmark.datasets.rows import ManifestError, read_rows
from earmark.runtime.console import format_names, pluralize, printable
from earmark.runtime.files import lock_folder, write_text
from earmark.runtime.names import nfc

REMEDY = "write to another file with -o, or give --force to overwrite it"
OTHER_FOLDER = "write to another folder with -o, or give --force to overwrite it"
UNFINISHED = ".unfinished"
"""File of a folder that lists the audio files that are being written there."""


def check_overwrite(path: Path, clips: Sequence[Clip], remedy: str = REMEDY, further: Collection[str] = ()) -> None:
    """Refuse to write these clips over a file that holds what they do not.

    In a manifest, these are clips, columns, and other labels, groups or folds of the same clips. A group that is only
    the clip itself and an empty fold were never filled in. Any other file is refused, unless it is empty.

    Args:
        further: columns that will be written besides those of every manifest.

    Raises:
        ManifestError: it does; the message says how many differ, with an example.
    """
    rows = {row["clip_id"]: row for row in _rows(path, remedy)}
    written = {clip.clip_id: clip for clip in clips}
    edited = [text for clip_id, row in rows.items() if clip_id in written and (text := _edited(row, written[clip_id]))]
    gone = [clip_id for clip_id in rows if clip_id not in written]
    columns = [repr(column) for row in list(rows.values())[:1] for column in row if column not in (*COLUMNS, *further)]
    found = []
    if edited:
        found.append(f"another label, group or fold of {pluralize(len(edited), 'clip')} (the first: {edited[0]})")
    if gone:
        found.append(f"{pluralize(len(gone), 'clip')} that would be lost ({format_names(gone)})")
    if columns:
        found.append(f"{pluralize(len(columns), 'column')} that would be lost ({format_names(columns)})")
    if found:
        raise ManifestError(f"{path}: is a manifest with {', and '.join(found)}; {remedy}")


def check_files(clips: Sequence[Clip], folder: Path, inputs: Iterable[Path], force: bool = False) -> None:
    """Refuse to write the audio files of clips, and the clips.csv that lists them, over what is in a folder.

    Files that the clips.csv there lists, or that an interrupted command has left, are written again. With `force` all
    are, except for the inputs.

    Args:
        clips: what will be written; their durations do not matter.
        inputs: the recordings that the files are made from.

    Raises:
        ManifestError: a file of somebody else would be lost; the message names the first.
    """
    read, manifest = {os.path.realpath(path) for path in inputs}, folder / "clips.csv"
    for clip in clips:
        if os.path.realpath(clip.path) in read:
            name = printable(clip.path)
            raise ManifestError(f"{name}: is one of the recordings that are read; write to another folder with -o")
    if force:
        return
    check_overwrite(manifest, clips, OTHER_FOLDER)
    listed = {os.path.realpath(folder / row["path"]) for row in _rows(manifest, OTHER_FOLDER)}
    if (folder / UNFINISHED).is_file():
        names = (folder / UNFINISHED).read_text(encoding="utf-8").splitlines()
        listed |= {os.path.realpath(folder / name) for name in names}
    for clip in clips:
        if clip.path.exists() and os.path.realpath(clip.path) not in listed:
            raise ManifestError(f"{printable(clip.path)}: exists, and {manifest} does not list it; {OTHER_FOLDER}")


@contextmanager
def writing_files(clips: Sequence[Clip], folder: Path) -> Iterator[None]:
    """Create and lock the folder in which the block writes the audio files of clips, and the clips.csv that lists them.

    If the block does not end well, a list of the files stays there, so that the same command may overwrite them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        write_text(folder / UNFINISHED, "".join(f"{clip.path.relative_to(folder)}\n" for clip in clips))
        yield
        (folder / UNFINISHED).unlink(missing_ok=True)


def _rows(path: Path, remedy: str) -> list[dict[str, str]]:
    """The rows of the manifest that is at `path`; none where there is no file, or an empty one.

    Raises:
        ManifestError: the file is something else.
    """
    if not path.is_file():
        return []
    with path.open("rb") as file:
        header, first_row = file.readline(10_000), file.readline(10_000)
    if header and not all(column.encode() in header for column in COLUMNS):
        raise ManifestError(f"{path}: exists and is not a manifest of earmark; {remedy}")
    return [row for _, row in read_rows(path, COLUMNS, remedy)] if first_row.strip() else []


def _edited(row: dict[str, str], clip: Clip) -> str:
    """What a row says of a clip that would be written otherwise."""
    group = "" if row["group"] == row["clip_id"] else row["group"]
    fold = "" if clip.fold is None else str(clip.fold)
    cells = {"label": (row["label"], clip.label), "group": (group, clip.group), "fold": (row["fold"], fold)}
    for column, (there, new) in cells.items():
        if there and nfc(there) != new:
            return f"{clip.clip_id} has {column} {there!r} and would get {new!r}"
    return ""
