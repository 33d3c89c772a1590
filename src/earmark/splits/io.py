"""Splits on disk: earmark's own split.csv and split.json, and the part files of other tools."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path, PureWindowsPath

from earmark.datasets.manifest import Clip, portable, safe_id
from earmark.runtime.files import write_csv, write_json
from earmark.splits.split import SUBSETS, Split, SplitError

SPLIT_COLUMNS = ("filepath", "label", "clip_id", "group", "part")


def write_split(split: Split, clips: Iterable[Clip], folder: str | Path) -> None:
    """Write split.csv (one row per clip) and split.json (kind, fold, waiver, waived groups, leaks).

    The filepath is that of the recording, relative to the folder where it lies below or beside it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    clip_of = {clip.clip_id: clip for clip in clips}

    rows = [
        (portable(clip.path, folder), clip.label, clip.clip_id, clip.group, part)
        for part, clip_ids in split.parts().items()
        for clip in map(clip_of.__getitem__, clip_ids)
    ]
    about = {name: getattr(split, name) for name in ("kind", "fold", "waiver", "waived_groups", "leaks")}
    write_csv(folder / "split.csv", [SPLIT_COLUMNS, *rows])
    write_json(folder / "split.json", about)


def read_split(folder: str | Path) -> Split:
    """Read what `write_split` has written.

    Raises:
        SplitError: a file is missing or is not one that `write_split` wrote.
    """
    folder = Path(folder)
    members: dict[str, list[str]] = {part: [] for part in SUBSETS}
    try:
        about = json.loads((folder / "split.json").read_text(encoding="utf-8"))
        with (folder / "split.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                members[row["part"]].append(row["clip_id"])
        return Split(
            **{part: tuple(clip_ids) for part, clip_ids in members.items()},
            kind=about["kind"],
            fold=about["fold"],
            waiver=about["waiver"],
            waived_groups=tuple(about["waived_groups"]),
            leaks=tuple(about["leaks"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise SplitError(
            f"split {folder}: cannot be read ({reason}); give a folder with split.csv and split.json"
        ) from None


def part_files(path: str) -> dict[str, Path]:
    """The CSV of each part that has one, by the name of the part.

    Args:
        path: a folder with train.csv, or a train file of another name, such as train_emodb.csv; beside it lie test
            (test.csv, test_emodb.csv), valid (valid or val), or both.

    Raises:
        SplitError: there is no such train file, or neither of the others.
    """
    train = Path(path) / "train.csv" if Path(path).is_dir() else Path(path)
    if not (path and train.is_file() and "train" in train.name):
        raise SplitError(f"split.path = {path!r}: give a folder with train.csv, or a file named train_<anything>.csv")
    files = {"train": train}
    for part, word in (("valid", "val"), ("valid", "valid"), ("test", "test")):
        beside = train.with_name(train.name.replace("train", word))
        files |= {part: beside} if beside.is_file() else {}
    if len(files) == 1:
        raise SplitError(f"split.path = {path!r}: beside {train.name} there is no test or valid file; make one")
    return files


def read_part(path: Path, clips: Sequence[Clip]) -> list[str]:
    """The ids of the clips that a part file (filepath,label) names; a clip may occur as several variants.

    Raises:
        SplitError: the file cannot be read, names a file that is no clip, or gives a clip another label.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SplitError(f"split file {path}: cannot be read ({error}); give a CSV with filepath,label") from None
    if rows and "filepath" not in rows[0]:
        raise SplitError(f"split file {path}: column 'filepath' is missing; give filepath,label")
    label_of = {clip.clip_id: clip.label for clip in clips}
    return [_clip_of_row(row, label_of, path, line) for line, row in enumerate(rows, start=2)]


def _clip_of_row(row: dict[str, str], label_of: Mapping[str, str], path: Path, line: int) -> str:
    clip_id = clip_of_file(row["filepath"], label_of)
    if clip_id is None:
        raise SplitError(f"split file {path}, line {line}: {row['filepath']!r} is no clip of the manifest")
    label = row.get("label") or label_of[clip_id]
    if label != label_of[clip_id]:
        raise SplitError(
            f"split file {path}, line {line}: label {label!r}, but the manifest has {label_of[clip_id]!r} "
            f"for {clip_id!r}; correct one of them"
        )
    return clip_id


def clip_of_file(filepath: str, clip_ids: Container[str]) -> str | None:
    """The clip that a WAV or PNG belongs to, by its name with or without a waveform variant at the end.

    ``x/1-100032-A-0_orig.png``, ``1-100032-A-0_noisy.wav`` and ``1-100032-A-0.ogg`` are one clip. Where ids
    were made unique with their folder (``dog__1``), the folder counts. None: no such clip.
    """
    path = PureWindowsPath(filepath)  # takes / and \\ alike
    stem = safe_id(path.stem)
    ends = [match.start() for match in re.finditer("_(?=[A-Za-z])", stem)]
    for end in (len(stem), *reversed(ends)):
        for name in (stem[:end], f"{safe_id(path.parent.name)}__{stem[:end]}"):
            if name in clip_ids:
                return name
    return None
