"""The manifest: one row per labelled clip, in a CSV that a person can open.

`clips.csv` has the columns clip_id, path, label, group, fold, duration. A path is relative to the manifest's
folder where the recording lies below it or beside it, so that a folder can be moved as a whole.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import write_csv

COLUMNS = ("clip_id", "path", "label", "group", "fold", "duration")


class ManifestError(EarmarkError):
    """A manifest or dataset that cannot be used; the message names the file or row and the remedy."""


@dataclass(frozen=True)
class Clip:
    """One labelled stretch of audio."""

    clip_id: str
    """Unique name; file names are made from it (letters, digits and ``. _ + -``)."""
    path: Path
    """The recording."""
    label: str
    """Its class."""
    group: str
    """What must not cross parts: the source recording or the speaker."""
    fold: int | None = None
    """Published partition number, from 1."""
    duration: float = 0.0
    """Length in seconds; 0 where it is not known."""


def class_names(clips: Iterable[Clip]) -> tuple[str, ...]:
    """The labels in sorted order; the index of a label in it is its target."""
    return tuple(sorted({clip.label for clip in clips}))


def safe_id(text: str) -> str:
    """A clip id made from any text: characters that file names cannot carry everywhere become ``_``."""
    return re.sub(r"[^\w.+-]", "_", text)


def unique_ids(names: Sequence[str], qualifiers: Sequence[str]) -> list[str]:
    """Clip ids for `names`; where two would be alike (also in upper and lower case), the qualifier goes in front.

    Raises:
        ManifestError: two clips have the same name and the same qualifier.
    """
    ids = [safe_id(name) for name in names]
    count = Counter(i.lower() for i in ids)
    ids = [f"{safe_id(q)}__{i}" if count[i.lower()] > 1 else i for i, q in zip(ids, qualifiers, strict=True)]
    check_unique(ids)
    return ids


def check_unique(ids: Iterable[str]) -> None:
    """Raise `ManifestError` when a clip id occurs twice (upper and lower case are one, as on some disks)."""
    twice = [i for i, n in Counter(i.lower() for i in ids).items() if n > 1]
    if twice:
        raise ManifestError(f"clip_id {twice[0]!r} occurs more than once: rename one of the files")


def write_manifest(clips: Sequence[Clip], path: str | Path) -> None:
    """Write the manifest atomically; paths below or beside its folder are written relative to it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    check_unique(clip.clip_id for clip in clips)
    rows = []
    for c in clips:
        fold = "" if c.fold is None else c.fold
        rows.append([c.clip_id, portable(c.path, path.parent), c.label, c.group, fold, f"{c.duration:.6f}"])
    write_csv(path, [COLUMNS, *rows])


def portable(path: Path, folder: Path) -> str:
    """A path relative to a folder, with forward slashes; absolute on another drive."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive on Windows
        return path.resolve().as_posix()


def read_manifest(path: str | Path) -> list[Clip]:
    """Read a manifest.

    Raises:
        ManifestError: the file is missing, lacks a column, has no row, or has a row that cannot be used
            (named by its line).
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"manifest {path}: cannot be read ({error}); `earmark manifest` writes one") from None
    if not rows:
        raise ManifestError(f"manifest {path}: has no rows; `earmark manifest` writes one")
    missing = [c for c in COLUMNS if c not in rows[0]]
    if missing:
        raise ManifestError(f"manifest {path}: column {missing[0]!r} is missing; `earmark manifest` writes all")
    clips = [_clip_of_row(row, path, line) for line, row in enumerate(rows, start=2)]
    check_unique(clip.clip_id for clip in clips)
    return clips


def _clip_of_row(row: dict[str, str], path: Path, line: int) -> Clip:
    for column in ("clip_id", "path", "label", "group"):
        if not row[column]:
            raise ManifestError(f"manifest {path}, line {line}: {column} is empty")
    if safe_id(row["clip_id"]) != row["clip_id"]:
        raise ManifestError(
            f"manifest {path}, line {line}: clip_id {row['clip_id']!r} has characters that a file name cannot carry; "
            f"use {safe_id(row['clip_id'])!r}"
        )
    try:
        fold = int(row["fold"]) if row["fold"] else None
        duration = float(row["duration"] or 0.0)
    except (ValueError, TypeError):
        raise ManifestError(
            f"manifest {path}, line {line}: fold {row['fold']!r} must be a whole number or empty "
            f"and duration {row['duration']!r} a number of seconds"
        ) from None
    where = path.parent / row["path"]
    return Clip(row["clip_id"], where, row["label"], row["group"], fold, duration)
