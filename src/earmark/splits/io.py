"""Splits on disk: earmark's own split.csv and split.json, and the train, valid and test CSVs of other tools."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from earmark.datasets.clip_finder import ClipFinder
from earmark.datasets.manifest import Clip, portable_names
from earmark.runtime.console import format_names, pluralize
from earmark.runtime.files import write_csv, write_json
from earmark.runtime.names import nfc
from earmark.runtime.schema import SchemaError, check_schema, read_json, read_table
from earmark.splits.split import SUBSETS, Split, SplitError

FORMAT_VERSION = 2
VALID_NAMES = ("val", "dev", "valid", "devel", "validation")
"""How the file of the valid subset may be called; the last one that is there is read."""
SPLIT_FILE = "split.csv"
"""What `write_split` calls its table."""
SPLIT_COLUMNS = ("filepath", "label", "clip_id", "group", "subset")
_RECORD = {
    "kind": str,
    "fold": int,
    "waiver": str,
    "waived_groups": [str],
    "leaks": [str],
    "groups": str,
    "left_out?": [str],
}
_FIELDS = ("kind", "fold", "waiver", "waived_groups", "leaks", "groups")
_LISTS = ("waived_groups", "leaks", "left_out")


def write_split(split: Split, clips: Iterable[Clip], folder: str | Path, copied_to: Path | None = None) -> None:
    """Write split.csv (one row per clip) and split.json (how the split was made, see `Split`).

    The filepath is that of the recording, relative to the folder where it lies below or beside it.

    Args:
        split: the split.
        clips: the manifest.
        folder: where the files are written.
        copied_to: the folder that they will be copied to, if any: filepaths are relative to it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    clip_of = {clip.clip_id: clip for clip in clips}
    place = portable_names(copied_to or folder)
    rows = [
        (place(clip.path), clip.label, clip.clip_id, clip.group, subset)
        for subset, clip_ids in split.subsets().items()
        for clip in map(clip_of.__getitem__, clip_ids)
    ]
    record = {"format_version": FORMAT_VERSION} | {name: getattr(split, name) for name in _FIELDS}
    record |= {"left_out": split.left_out} if split.left_out else {}
    write_csv(folder / SPLIT_FILE, [SPLIT_COLUMNS, *rows])
    write_json(folder / "split.json", record)


def read_split(folder: str | Path) -> Split:
    """Read what `write_split` has written, in any version of the format.

    Raises:
        SplitError: a file is missing or is not one that `write_split` wrote.
    """
    folder = Path(folder)
    rows = read_split_rows(folder)
    try:
        record = _upgrade(read_json(folder / "split.json", {"format_version?": int, "leaks": [str]}), rows)
        check_schema(record, _RECORD, "split.json")
        members = _members(rows)
    except SchemaError as error:
        raise _unreadable(folder, error) from None
    fields: dict[str, Any] = {**members, **{name: tuple(record.get(name, ())) for name in _LISTS}}
    return Split(**{name: record[name] for name in _FIELDS} | fields)


def read_split_rows(folder: Path) -> list[dict[str, str]]:
    """The rows of a split.csv in any version of the format, with `clip_id`, `group` and `subset`.

    Raises:
        SplitError: it is missing or is not one that `write_split` wrote.
    """
    try:
        rows = read_table(folder / SPLIT_FILE, ("clip_id", "group"))
    except SchemaError as error:
        raise _unreadable(folder, error) from None
    return [row if "subset" in row else {**row, "subset": row.get("part", "")} for row in rows]  # version 1


def _unreadable(folder: Path, error: SchemaError) -> SplitError:
    own = (folder / "train.csv").is_file()
    remedy = f"`earmark split CLIPS --kind files --path {folder}` checks files of your own"
    remedy = remedy if own else "give a folder with split.csv and split.json"
    return SplitError(f"split {folder}: cannot be read ({error}); {remedy}")


def read_splits(folder: str | Path, clips: Iterable[Clip] = ()) -> dict[int, Split]:
    """The splits of the runs in a folder by fold, or the split of `earmark split`.

    Args:
        folder: a folder of runs, or that of one split.
        clips: compared with what the splits say of them.

    Raises:
        SplitError: there is none, a file cannot be read, or two runs of one fold have other splits; that of a run
            that trained on a fraction of the groups is a part of the others. Or one of `clips` has another label or
            group there.
    """
    folder = Path(folder)
    runs = [] if (folder / "split.csv").is_file() else sorted(path.parent for path in folder.glob("*/split.csv"))
    found: dict[int, tuple[Path, Split]] = {}
    splits = [(path, read_split(path)) for path in runs or [folder]]
    clip_of = {clip.clip_id: clip for clip in clips}
    for path, _ in splits if clip_of else ():
        _check_labels_and_groups(path, clip_of)
    for path, split in sorted(splits, key=lambda item: -len(item[1].train)):
        first, other = found.setdefault(split.fold, (path, split))
        if (other.valid, other.test) != (split.valid, split.test) or not set(split.train) <= set(other.train):
            raise SplitError(
                f"split {folder}: {first.name} and {path.name} are of one fold and have other splits; give one of them"
            )
    return {fold: split for fold, (_, split) in found.items()}


def _check_labels_and_groups(folder: Path, clip_of: Mapping[str, Clip]) -> None:
    """Refuse clips that have another label or group in the split.csv of a folder."""
    for row in read_split_rows(folder):
        clip = clip_of.get(row["clip_id"])
        for column in ("label", "group") if clip else ():
            there, here = nfc(row.get(column, "")), getattr(clip, column)
            if column in row and there != here:
                raise SplitError(
                    f"{folder / 'split.csv'}: clip {row['clip_id']} has the {column} {there!r}, but {here!r} in the "
                    "manifest; give the manifest that the split was made from, or split and train again"
                )


def check_split_clips(folder: Path, clips: Iterable[Clip], remedy: str) -> None:
    """Refuse clips that no longer have all those of a run's split.csv, with their labels.

    Raises:
        SplitError: clips are gone or have another label; they are named, and the remedy is given. Or there is no
            split.csv that can be read.
    """
    label_of = {clip.clip_id: clip.label for clip in clips}
    rows = read_split_rows(folder)
    gone = [row["clip_id"] for row in rows if row["clip_id"] not in label_of]
    other = [row["clip_id"] for row in rows if label_of.get(row["clip_id"], row.get("label")) != row.get("label")]
    for ids, problem in ((gone, "not in the data"), (other, "labeled otherwise now")):
        if ids:
            count = pluralize(len(ids), "clip")
            raise SplitError(f"run {folder}: {count} of its split {problem} ({format_names(ids)}); {remedy}")


def _members(rows: Iterable[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    members: dict[str, list[str]] = {subset: [] for subset in SUBSETS}
    for row in rows:
        if row.get("subset") not in members:
            raise SchemaError(f"split.csv: clip {row['clip_id']!r} is in the subset {row.get('subset')!r}")
        members[row["subset"]].append(row["clip_id"])
    return {subset: tuple(clip_ids) for subset, clip_ids in members.items()}


def _upgrade(record: dict[str, Any], rows: list[dict[str, str]]) -> dict[str, Any]:
    """The split.json of an earlier version of the format as one of today."""
    version = record.get("format_version", 1)
    if version > FORMAT_VERSION:
        raise SchemaError(f"format_version {version} is newer than this earmark")
    if version == 1:
        sizes = Counter(row["group"] for row in rows)
        groups = "declared" if max(sizes.values(), default=0) > 1 else "none"
        leaks = [leak.replace("variants of ", "copies of ", 1) for leak in record["leaks"]]
        return {**record, "leaks": leaks, "groups": groups}
    return record


def is_own_split(path: str) -> bool:
    """Whether `split.path` is a split.csv of `write_split`, or its folder, which has no train.csv beside it."""
    given = Path(path)
    if path and given.is_dir():
        return (given / SPLIT_FILE).is_file() and not (given / "train.csv").is_file()
    return given.name == SPLIT_FILE and given.is_file()


def read_own_split(path: str, clips: Sequence[Clip]) -> dict[str, tuple[str, ...]]:
    """The clip ids of each subset of a split that `write_split` wrote.

    Args:
        path: for which `is_own_split` holds.
        clips: the manifest.

    Raises:
        SplitError: it cannot be read, or a clip has another label or group in the manifest.
    """
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    _check_labels_and_groups(folder, {clip.clip_id: clip for clip in clips})
    return read_split(folder).subsets()


def subset_files(path: str) -> dict[str, Path]:
    """The CSV of each subset that has one, by the name of the subset.

    Args:
        path: a folder with train.csv, or a train file of another name, such as train_emodb.csv; beside it are test
            (test.csv, test_emodb.csv), valid (`VALID_NAMES`), or both.

    Raises:
        SplitError: there is no such train file, or neither of the others.
    """
    train = Path(path) / "train.csv" if Path(path).is_dir() else Path(path)
    if not (path and train.is_file() and "train" in train.name):
        raise SplitError(
            f"split.path = {path!r}: give a folder with train.csv or split.csv, or a file named train_<anything>.csv"
        )
    files = {"train": train}
    for subset, word in (*[("valid", word) for word in VALID_NAMES], ("test", "test")):
        names = [f"{train.name[: m.start()]}{word}{train.name[m.end() :]}" for m in re.finditer("train", train.name)]
        beside = next((file for file in map(train.with_name, names) if file.is_file()), None)
        files |= {subset: beside} if beside else {}
    if len(files) == 1:
        raise SplitError(f"split.path = {path!r}: there is no test or valid file next to {train.name}; make one")
    return files


def read_subset(path: Path, clips: Sequence[Clip], augmentations: Iterable[str] = ()) -> list[str]:
    """The ids of the clips that a CSV (filepath or path, and label) names; a clip may occur as several augmentations.

    Args:
        path: the CSV of one subset.
        clips: the manifest.
        augmentations: names of augmentations besides earmark's own, see `clip_of_file`.

    Raises:
        SplitError: the file cannot be read, names a file that is no clip, or gives a clip another label.
    """
    try:
        rows = read_table(path)
    except SchemaError as error:
        raise SplitError(f"split file {path}: cannot be read ({error}); give a CSV with filepath,label") from None
    if rows and not {"filepath", "path"} & set(rows[0]):
        raise SplitError(f"split file {path}: column 'filepath' is missing; give filepath,label")
    finder = ClipFinder(clips, augmentations)
    found = [_clip_of_row(row, finder, path, line) for line, row in enumerate(rows, start=2)]
    finder.warn_of_other_folders(path)
    return found


def _clip_of_row(row: dict[str, str], finder: ClipFinder, path: Path, line: int) -> str:
    name = row.get("filepath") or row.get("path") or ""
    clip = finder.find(name)
    if clip is None:
        raise SplitError(
            f"split file {path}, line {line}: {name!r} is not a clip of the manifest; correct the name, "
            "or add it to the manifest"
        )
    label = nfc(row.get("label") or clip.label)
    if label != clip.label:
        raise SplitError(
            f"split file {path}, line {line}: label {label!r}, but the manifest has {clip.label!r} "
            f"for {clip.clip_id!r}; correct one of them"
        )
    return clip.clip_id
