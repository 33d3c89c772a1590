"""The manifest: one row per labeled clip, in a CSV that a person can open, and every rule about clip ids.

`clips.csv` has the columns clip_id, path, label, group, fold, duration. A path is relative to the manifest's
folder where the recording lies below it or beside it, so that a folder can be moved as a whole.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PureWindowsPath

from earmark.datasets.rows import ManifestError, fold_number, read_rows
from earmark.runtime.console import printable
from earmark.runtime.files import check_own_table, digest, write_csv
from earmark.runtime.names import RESERVED, nfc, shorten
from earmark.runtime.schema import decimal_number

COLUMNS = ("clip_id", "path", "label", "group", "fold", "duration")
Columns = dict[str, dict[str, str]]
"""Cells by column and clip id."""


@dataclass(frozen=True)
class Clip:
    """One labeled segment of audio; the letters of its label and group are composed (NFC)."""

    clip_id: str
    """Unique name; file names are made from it (letters, digits and ``. _ + -``)."""
    path: Path
    """The recording."""
    label: str
    """Its class."""
    group: str
    """What must not cross subsets: the source recording or the speaker."""
    fold: int | None = None
    """Published partition number, from 1."""
    duration: float = 0.0
    """Length in seconds; 0 where it is not known."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", nfc(self.label))
        object.__setattr__(self, "group", nfc(self.group))


def class_names(clips: Iterable[Clip]) -> tuple[str, ...]:
    """The labels in sorted order; the index of a label in it is its target."""
    return tuple(sorted({clip.label for clip in clips}))


def has_groups(clips: Sequence[Clip]) -> bool:
    """Whether some group holds more than one recording; without that, a split by group is a split by file."""
    return len({clip.group for clip in clips}) < len(set(base_clip_ids(clips).values()))


def manifest_digest(clips: Iterable[Clip]) -> str:
    """Stands for which recordings a manifest lists: equal after labels, groups or folds have been corrected."""
    return digest(json.dumps(sorted((c.clip_id, c.path.name, f"{c.duration:.3f}") for c in clips)))


def clip_digest(clip: Clip) -> str:
    """Stands for the recording of a clip in a manifest, as `manifest_digest` for those of all."""
    return digest(json.dumps([clip.path.name, f"{clip.duration:.3f}"]))


# ------------------------------------------------------------------------------------------------ clip ids

MAX_ID_BYTES = 120
"""Length of a clip id in UTF-8: a file name has at most 255 bytes, with augmentation, ending and temporary ending."""
MAX_READ_ID_BYTES = 200
"""Longest id of a manifest, which may list augmentations of clips."""
MAX_SECONDS = 1e7
"""Longest duration of a clip in a manifest."""
MAX_SUFFIX = 40
"""Characters of a suffix that is kept where an id is shortened."""
_AUGMENTATION = r"orig|noisy|pitch(?:up|down)?-?\d[\d.]*|stretch\d[\d.]*"
"""The augmentations of earmark itself, as they end a file name after ``_``."""
_FOREIGN_AUGMENTATION = re.compile(
    r"[_.-]+(?:"
    r"aug(?:ment(?:ed|ation)?)?[_-]?\d*|orig(?:inal)?|noisy\d*|noise[_-]?-?\d+(?:\.\d+)?(?:db)?|"
    r"(?:speed|tempo|rate|stretch)[_-]?\d+\.\d+x?|(?:gain|volume|vol)[_-]?[+-]?\d+(?:\.\d+)?db|"
    r"pitch[_-]?(?:up|down|shift(?:ed)?)?[_-]?[+-]?\d[\d.]*|(?:time|pitch)[_-]?(?:shift|stretch)(?:ed)?[_-]?[\d.]*"
    r")$",
    re.IGNORECASE,
)
"""How other tools name augmented copies: ``_aug1``, ``-noisy``, ``_speed1.1``."""
_FILE_COPY = re.compile(r"(?:[_-]+copy(?:[_-]*\d{1,3})?_*|_{1,2}\d{1,3}_)$", re.IGNORECASE)
"""How systems name a copied file, as a clip id: ``x copy 2``, ``x - Copy (2)``, ``x (1)``."""


def safe_id(text: str) -> str:
    """A clip id made from any text, which can begin a file name on every platform.

    What is longer than `MAX_ID_BYTES` is shortened with a digest, before the suffix that marks an augmentation, so that
    this is still recognized.
    """
    name = safe_name(text)
    if len(name.encode()) <= MAX_ID_BYTES:
        return name
    stem = _FOREIGN_AUGMENTATION.sub("", base_clip_id(name))
    suffix = name.removeprefix(stem) if len(name) - len(stem) <= MAX_SUFFIX else ""
    return shorten(name.removesuffix(suffix), MAX_ID_BYTES - len(suffix.encode())) + suffix


def safe_name(text: str) -> str:
    """As `safe_id`, of any length.

    Letters are composed (NFC), what is neither letter, digit nor ``. _ + -`` becomes ``_``, and so does a leading
    period or dash. A device name of Windows gets ``_`` before it.
    """
    name = re.sub(r"[^\w.+-]", "_", nfc(text))
    name = "_" + name[1:] if name[:1] in (".", "-", "") else name
    return "_" + name if RESERVED.match(name) else name


def unique_ids(names: Sequence[str], qualifiers: Sequence[str], files: Sequence[PurePath] = ()) -> list[str]:
    """Clip ids for `names`; names that are alike (also in upper and lower case) are prefixed by their qualifier.

    Different names in one folder whose ids are still alike, such as ``a?`` and ``a*``, end with a digest.

    Args:
        names: of the clips.
        qualifiers: one for each, such as its folder.
        files: one for each, for the message.

    Raises:
        ManifestError: two clips have the same name and the same qualifier.
    """
    ids = [safe_id(name) for name in names]
    count = Counter(i.lower() for i in ids)
    ids = [safe_id(f"{safe_id(q)}__{i}") if count[i.lower()] > 1 else i for i, q in zip(ids, qualifiers, strict=True)]
    alike: dict[str, set[str]] = defaultdict(set)
    for i, name in zip(ids, names, strict=True):
        alike[i.lower()].add(name)
    ids = [_marked(i, name) if len(alike[i.lower()]) > 1 else i for i, name in zip(ids, names, strict=True)]
    check_unique(ids, files)
    return ids


def _marked(clip_id: str, name: str) -> str:
    """The id with a digest of the name that it was made from."""
    return f"{shorten(clip_id, MAX_ID_BYTES - 7)}-{digest(os.fsencode(name).hex(), length=6)}"


def check_unique(ids: Iterable[str], files: Sequence[PurePath] = ()) -> None:
    """Raise `ManifestError` when a clip id occurs twice (upper and lower case are equal, as on some disks).

    Where the `files` of the clips are given, the message names both.
    """
    ids = list(ids)
    first: dict[str, int] = {}
    for i, clip_id in enumerate(ids):
        other = first.setdefault(clip_id.lower(), i)
        if other != i:
            alike = "" if ids[other] == clip_id else f" (as {ids[other]!r})"
            both = f"{printable(files[other])} and {printable(files[i])}; " if files else ""
            raise ManifestError(f"clip_id {clip_id!r} occurs more than once{alike}: {both}rename one of the files")


@functools.cache
def _suffix(augmentations: tuple[str, ...]) -> re.Pattern[str]:
    """The end of a name that says that it is an augmentation: one of earmark's, or one of these."""
    names = "|".join(map(re.escape, augmentations))
    return re.compile(f"_(?:{_AUGMENTATION}{'|' * bool(names)}{names})$", re.IGNORECASE)


def base_clip_id(clip_id: str, augmentations: Iterable[str] = ()) -> str:
    """The clip that an augmentation was made from: its id without ``_noisy``, ``_pitchUp2_noisy``, ...

    Args:
        clip_id: the id of a clip or of an augmentation of it.
        augmentations: names of further augmentations, as a config defines them.
    """
    suffix = _suffix(tuple(augmentations))
    while (base := suffix.sub("", clip_id)) not in ("", clip_id):
        clip_id = base
    return clip_id


def base_clip_ids(clips: Iterable[Clip], augmentations: Iterable[str] = ()) -> Mapping[str, str]:
    """For each clip id, the clip that it is an augmentation or a copy of, by its name.

    Beside earmark's own suffixes this recognizes those of other tools (``_aug1``, ``-noisy``, ``_speed1.1``) and of
    copied files (``x (1)``, ``x copy``, where ``x`` is a clip too), as long as the clips that share the remaining name
    share their label.
    """
    return _base_clip_ids(frozenset((clip.clip_id, clip.label) for clip in clips), tuple(augmentations))


@functools.lru_cache(maxsize=8)  # the folds of a suite ask for the same ones
def _base_clip_ids(labeled: frozenset[tuple[str, str]], augmentations: tuple[str, ...]) -> Mapping[str, str]:
    ids = {clip_id for clip_id, _ in labeled}
    base_of = {clip_id: _original_name(clip_id, ids, augmentations) for clip_id in ids}
    n_labels = Counter(base for base, _ in {(base_of[clip_id], label) for clip_id, label in labeled})
    return {i: base if n_labels[base] == 1 else base_clip_id(i, augmentations) for i, base in base_of.items()}


def _original_name(name: str, ids: Container[str], augmentations: tuple[str, ...]) -> str:
    """A clip id without all suffixes that augmentations and copied files have."""
    while True:
        base = base_clip_id(name, augmentations)
        base = _FOREIGN_AUGMENTATION.sub("", base) or base
        copied = _FILE_COPY.sub("", base)
        base = copied if copied in ids else base
        if base == name:
            return name
        name = base


def clip_of_file(filepath: str, clip_ids: Container[str], augmentations: Iterable[str] = ()) -> str | None:
    """The clip that a WAV or PNG belongs to, by its name with or without augmentations at the end.

    ``x/1-100032-A-0_orig.png``, ``1-100032-A-0_noisy.wav`` and ``1-100032-A-0.ogg`` are one clip. Where ids
    were made unique with their folders (``dog__1``, ``dog_2024__1``), these are part of the name. None: no such clip.
    """
    path = PureWindowsPath(filepath)  # accepts / and \\ alike
    name, parents = safe_name(path.stem), [part for part in path.parent.parts if part != path.anchor]
    folders = [safe_name("/".join(parents[i:])) for i in reversed(range(len(parents)))]
    suffix = _suffix(tuple(augmentations))
    while True:
        for candidate in (name, *(f"{folder}__{name}" for folder in folders)):
            for clip_id in (candidate, safe_id(candidate)):
                if clip_id in clip_ids:
                    return clip_id
        shorter = suffix.sub("", name)
        shorter = _FOREIGN_AUGMENTATION.sub("", name) if shorter == name else shorter
        if shorter in ("", name):
            return None
        name = shorter


# ---------------------------------------------------------------------------------------------------- files


def write_manifest(
    clips: Sequence[Clip], path: str | Path, further: Columns | None = None, force: bool = False
) -> None:
    """Write the manifest atomically, with `further` columns; paths near its folder are written relative to it.

    Raises:
        EarmarkError: there is a file that is no manifest, which only `force` overwrites.
    """
    path = Path(path)
    if not force:
        check_own_table(path, COLUMNS)
    check_unique([clip.clip_id for clip in clips], [clip.path for clip in clips])
    rows, further = [], further or {}
    place = portable_names(path.parent)
    for c in clips:
        fold = "" if c.fold is None else c.fold
        rows.append([c.clip_id, place(c.path), c.label, c.group, fold, f"{c.duration:.6f}"])
        rows[-1] += [cell_of[c.clip_id] for cell_of in further.values()]
    write_csv(path, [(*COLUMNS, *further), *rows])


def portable_names(folder: Path) -> Callable[[Path], str]:
    """`portable` for many files, of which most lie in few folders."""
    place = functools.cache(lambda parent: portable(parent, folder).rstrip("/") + "/")
    return lambda path: (place(path.parent) + path.name).removeprefix("./")


def portable(path: Path, folder: Path) -> str:
    """A path relative to a folder, with forward slashes; absolute on another drive.

    Links in the path keep their names, unless the way up from the folder crosses one: there, ``..`` leads elsewhere.
    """
    try:
        relative = Path(os.path.relpath(path, folder))
        if relative.parts[:1] == ("..",) and (folder.resolve() / relative).resolve() != path.resolve():
            relative = Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve()))
        return relative.as_posix()
    except ValueError:  # another drive on Windows
        return path.resolve().as_posix()


def read_manifest(path: str | Path) -> list[Clip]:
    """Read a manifest.

    Raises:
        ManifestError: the file is missing, lacks a column, has no row, or has a row that cannot be used
            (named by its line).
    """
    path = Path(path)
    first: dict[str, tuple[int, Clip]] = {}
    for line, row in read_rows(path, COLUMNS, "`earmark manifest` writes one"):
        clip = _clip_of_row(row, path, line)
        other_line, other = first.setdefault(clip.clip_id.lower(), (line, clip))
        if other is not clip:
            same = f"the row is already in line {other_line}; delete one of the two"
            alike = f"line {other_line} has {other.clip_id!r}; give one of them another clip_id (capitals do not count)"
            reason = same if clip.path == other.path else alike
            raise ManifestError(f"{path}, line {line}: clip_id {clip.clip_id!r}: {reason}")
    return [clip for _, clip in first.values()]


def further_columns(path: Path) -> Columns:
    """The columns of a manifest that earmark does not know."""
    rows = [row for _, row in read_rows(path, COLUMNS, "`earmark manifest` writes one")]
    return {name: {row["clip_id"]: row[name] for row in rows} for name in rows[0] if name not in COLUMNS}


def _clip_of_row(row: dict[str, str], path: Path, line: int) -> Clip:
    for column in ("clip_id", "path", "label", "group"):
        if not row[column]:
            raise ManifestError(f"{path}, line {line}: {column} is empty; fill it in or delete the line")
    _check_id(row["clip_id"], path, line)
    try:
        duration = decimal_number(row["duration"] or 0.0)
    except ValueError:
        duration = -1.0
    if not 0 <= duration < MAX_SECONDS:
        raise ManifestError(f"{path}, line {line}: duration {row['duration']!r}; give a number of seconds") from None
    fold = fold_number(row["fold"], f"{path}, line {line}") if row["fold"] else None
    return Clip(row["clip_id"], path.parent / row["path"], row["label"], row["group"], fold, duration)


def _check_id(clip_id: str, path: Path, line: int) -> None:
    too_long = len(clip_id.encode()) > MAX_READ_ID_BYTES
    if too_long or safe_name(clip_id) != clip_id:
        what = "is too long for a file name" if too_long else "has characters that a file name cannot carry"
        raise ManifestError(f"{path}, line {line}: clip_id {clip_id!r} {what}; use {safe_id(clip_id)!r}")
