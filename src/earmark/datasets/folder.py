"""Your own recordings: a folder with one subfolder per class, or a CSV of paths and labels."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath

from earmark.audio.io import audio_files
from earmark.datasets.manifest import Clip, unique_ids
from earmark.datasets.recordings import SEGMENTED, time_columns, with_durations
from earmark.datasets.rows import ManifestError, fold_number, read_rows
from earmark.runtime.console import format_names, pluralize

LOG = logging.getLogger("earmark")

_OWN_GROUPS = (
    "%s: every file is its own group; where several come from one recording or speaker, name it in the group "
    "column of the manifest, or results will be too good (--group-pattern reads it from the names of files or folders)"
)
_OWN_GROUPS_OF_CSV = (
    "%s: every file is its own group; where several come from one recording or speaker, name the column that says so "
    "(%s) with --group-column, in a config data.group_column, or results will be too good (--group-pattern reads it "
    "from the names of files or folders)"
)
_ONE_GROUP = (
    "group pattern %r: gives one group (%r) to all %d recordings, which no split can divide; correct it so that it "
    "finds what tells apart speakers, places or recordings"
)
_COLUMNS = (
    "give a CSV with the columns path,label and optionally group,fold (path may be called file or filename), or name "
    "them with --path-column, --label-column and --group-column, the last two in a config with data.label_column and "
    "data.group_column"
)


def read_folder(root: str | Path, group_pattern: str = "") -> list[Clip]:
    """Read a folder: its subfolders are the classes, the audio files at any depth in them the clips.

    `group_pattern` is a regular expression that finds the group in each file name, or, with a slash in it, in each path
    below the folder. Without it each file is its own group, with a warning. Audio files outside a subfolder are
    skipped with a warning.
    Clip ids are file names without extension, prefixed by the subfolder where two are alike.

    Raises:
        ManifestError: no subfolder has audio, two files differ in their extension only, none can be read, or the
            pattern is invalid or does not match a file name.
    """
    root = Path(root)
    inside = [path.relative_to(root) for path in audio_files(root)]
    loose = [path.name for path in inside if len(path.parts) == 1]
    inside = [path for path in inside if len(path.parts) > 1]
    if not inside:
        raise ManifestError(f"{root}: no subfolder has audio files; make one for each class, named as the class")
    if loose:
        LOG.warning("%s: %s in no class folder, skipped: %s", root, pluralize(len(loose), "file"), format_names(loose))
    if "/" not in group_pattern:  # one with a slash is of folders within those of the classes
        _warn_of_level(root, inside)
    ids = unique_ids([path.stem for path in inside], [path.parent.as_posix() for path in inside])
    if group_pattern:
        groups = groups_of_paths(inside, group_pattern)
    else:
        LOG.warning(_OWN_GROUPS, root)
        groups = ids
    clips = [Clip(i, root / path, path.parts[0], g) for i, path, g in zip(ids, inside, groups, strict=True)]
    return with_durations(clips, root)


def _warn_of_level(root: Path, inside: Sequence[Path]) -> None:
    """Say that there is one class only, or that no file lies in the folder of its class itself."""
    classes = list(dict.fromkeys(path.parts[0] for path in inside))
    nested = all(len(path.parts) > 2 for path in inside)
    example = "/".join(inside[0].parts[:2])
    level = f"; are the classes one level below, such as {example}?" if nested else "; make a folder for each class"
    if len(classes) == 1:
        LOG.warning("%s: there is only one class, %s%s", root, classes[0], level)
    elif nested:
        LOG.warning("%s: the folders of the classes (%s) hold folders only%s", root, format_names(classes), level)


def groups_of_paths(paths: Sequence[Path], pattern: str) -> list[str]:
    """The group in each file name or, if the pattern has a slash, in each path.

    It is the first capturing group of a regular expression, or all that it matches.

    Raises:
        ManifestError: the expression is invalid, or finds no text in a name.
    """
    names = [path.as_posix() if "/" in pattern else path.name for path in paths]
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ManifestError(f"group pattern {pattern!r}: not a regular expression ({error})") from None
    matches = [expression.search(name) for name in names]
    groups = [(match[1] if expression.groups else match[0]) if match else None for match in matches]
    missing = [name for name, group in zip(names, groups, strict=True) if not group]
    if missing:
        folders = "" if "/" in pattern else '; with a slash, as "^[^/]+/([^/]+)/", it is searched in the path'
        remedy = f"correct the pattern, or fill in the column group by hand{folders}"
        raise ManifestError(f"group pattern {pattern!r}: no group in {format_names(missing)}; {remedy}")
    if len(groups) > 1 and len(set(groups)) == 1:
        LOG.warning(_ONE_GROUP, pattern, groups[0], len(groups))
    return [str(group) for group in groups]


def read_csv(
    path: str | Path,
    label: str = "",
    group: str = "",
    group_pattern: str = "",
    path_column: str = "",
    recordings: str | Path | None = None,
) -> list[Clip]:
    """Read a CSV with the columns ``path`` and ``label``, and optionally ``group`` and ``fold``.

    Instead of ``path`` there may be one of ``file`` and ``filename``, in capitals or not.
    `label`, `group` and `path_column` name other columns for these three; a named one has to be there. `group_pattern`
    finds the group in each file name or path instead, as in `read_folder`.

    Paths are relative to `recordings`, or else to the CSV's folder. Without a group column each file is its own group,
    with a warning. Clip ids are file names without extension, prefixed by the folder where two are alike.

    Raises:
        ManifestError: the CSV cannot be used or lists segments, the pattern is invalid or finds no group, a cell is
            empty or a path given twice (named by the line), two files differ in their extension only, or none can be
            read.
    """
    path = Path(path)
    folder = Path(recordings) if recordings else path.parent
    if recordings and not folder.is_dir():
        raise ManifestError(f"--recordings {str(folder)!r}: no such folder; give the one that the paths start from")
    given = {"--path-column": path_column, "--label-column": label, "--group-column": group}
    label, group = label or "label", group or "group"
    rows = _rows_of_csv(path, given, (label, group), folder)
    where = [Path(row["path"]) for _, row in rows]
    ids = unique_ids([w.stem for w in where], [w.parent.as_posix() for w in where])
    groups = ids
    if group_pattern and group in rows[0][1]:
        raise ManifestError(f"{path}: has the column {group!r}; give no group pattern, or delete the column")
    if group_pattern:
        groups = groups_of_paths(where, group_pattern)
    elif group not in rows[0][1]:
        others = [column for column in rows[0][1] if column not in ("path", label, "fold", "")]
        LOG.warning(_OWN_GROUPS_OF_CSV, path, format_names(others) or "there is no other column")
    clips = [
        Clip(
            clip_id=clip_id,
            path=folder / row["path"],
            label=row[label],
            group=row.get(group, own_group),
            fold=fold_number(row["fold"], path, line) if row.get("fold") else None,
        )
        for clip_id, own_group, (line, row) in zip(ids, groups, rows, strict=True)
    ]
    return with_durations(clips, path)


def _rows_of_csv(
    path: Path, given: Mapping[str, str], columns: tuple[str, str], folder: Path
) -> list[tuple[int, dict[str, str]]]:
    """The rows by line, with paths as they are written here; `columns` are those of label and group."""
    rows = read_rows(path, ("path", columns[0]), _COLUMNS, given)
    times = time_columns(rows[0][1].keys())
    if times:
        raise ManifestError(f"{path}: columns {times[0]!r} and {times[1]!r}: {SEGMENTED}; for whole files, delete them")
    _check_cells(rows, path, ("path", *columns), folder)
    for _, row in rows:
        row["path"] = _portable(row["path"], folder)
    return rows


def _portable(name: str, folder: Path) -> str:
    """A path of a table that was made on Windows, with forward slashes unless there is a file of that very name."""
    return name if "\\" not in name or (folder / name).exists() else PureWindowsPath(name).as_posix()


def _check_cells(rows: list[tuple[int, dict[str, str]]], path: Path, columns: tuple[str, ...], folder: Path) -> None:
    first: dict[str, int] = {}
    for line, row in rows:
        for column in columns:
            if not row.get(column, "-"):
                raise ManifestError(f"{path}, line {line}: {column} is empty; fill it in or delete the line")
        file = os.path.normpath(folder.absolute() / row["path"])  # however it is written
        if first.setdefault(file, line) != line:
            raise ManifestError(f"{path}, line {line}: {row['path']} is already in line {first[file]}; delete one")
