"""Your own recordings: a folder with one subfolder per class, or a CSV of paths and labels."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from earmark.audio.io import audio_files
from earmark.datasets.manifest import Clip, unique_ids
from earmark.datasets.recordings import SEGMENTED, time_columns, with_durations
from earmark.datasets.rows import ManifestError, fold_number, read_rows
from earmark.runtime.console import format_names, pluralize

LOG = logging.getLogger("earmark")

_OWN_GROUPS = (
    "%s: every file is its own group; if several come from one recording or speaker, scores will be too high: fill in "
    "the group column of the manifest, or use --group-pattern to read groups from file or folder names"
)
_OWN_GROUPS_OF_CSV = (
    "%s: every file is its own group; if several come from one recording or speaker, scores will be too high: select "
    "their column with --group-column or data.group_column (other columns: %s), or use --group-pattern to read groups "
    "from file or folder names"
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
        ManifestError: there is no such folder, no subfolder has audio, two files differ in their extension only, none
            can be read, or the pattern is invalid or does not match a file name.
    """
    root = Path(root)
    if not root.is_dir():
        raise ManifestError(f"{root}: no such folder")
    inside = [path.relative_to(root) for path in audio_files(root)]
    loose = [path.name for path in inside if len(path.parts) == 1]
    inside = [path for path in inside if len(path.parts) > 1]
    if not inside:
        raise ManifestError(f"{root}: no subfolder has audio files; make one for each class, named as the class")
    if loose:
        LOG.warning("%s: %s in no class folder, skipped: %s", root, pluralize(len(loose), "file"), format_names(loose))
    if "/" not in group_pattern:  # one with a slash is of folders within those of the classes
        _warn_of_level(root, inside)
    ids = unique_ids([path.stem for path in inside], [path.parent.as_posix() for path in inside], inside)
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

    It is what the first capturing group of a regular expression that takes part in the match finds, so that
    alternatives can have one each; or else all that the expression finds.

    Raises:
        ManifestError: the expression is invalid, or finds no text in a name.
    """
    names = [path.as_posix() if "/" in pattern else path.name for path in paths]
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ManifestError(f"group pattern {pattern!r}: not a regular expression ({error})") from None
    matches = [expression.search(name) for name in names]
    captured = [(*match.groups(), match[0]) if match else () for match in matches]
    groups = [next((text for text in texts if text is not None), "") for texts in captured]
    missing = [name for name, group in zip(names, groups, strict=True) if not group]
    if missing:
        folders = "" if "/" in pattern else '; with a slash, as "^[^/]+/([^/]+)/", it is searched in the path'
        remedy = f"correct the pattern, add an alternative such as |^.* for them, or fill in the column group{folders}"
        raise ManifestError(f"group pattern {pattern!r}: no group in {format_names(missing)}; {remedy}")
    if len(groups) > 1 and len(set(groups)) == 1:
        LOG.warning(_ONE_GROUP, pattern, groups[0], len(groups))
    return groups


def read_csv(
    path: str | Path,
    label: str = "",
    group: str = "",
    group_pattern: str = "",
    path_column: str = "",
    recordings: str | Path | None = None,
) -> list[Clip]:
    """Read a CSV with the columns ``path`` and ``label``, and optionally ``group`` and ``fold``.

    Instead of ``path`` there may be one of ``file`` and ``filename``; all of these may be in capitals.
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
    in_any_case = [name for name, other in (("label", label), ("group", group), ("fold", "")) if not other]
    rows = read_rows(path, ("path", label or "label"), _COLUMNS, given, in_any_case)
    return clips_of_rows([(f"line {n}", row) for n, row in rows], path, folder, label, group, group_pattern)


def clips_of_rows(
    rows: Sequence[tuple[str, dict[str, str]]],
    source: str | Path,
    folder: Path,
    label: str = "",
    group: str = "",
    group_pattern: str = "",
) -> list[Clip]:
    """The clips that the rows of a table list, see `read_csv`.

    Args:
        rows: each with where it is, such as ``line 3``, and its cells by column; all have ``path`` and the label.
        source: the table, for messages.
        folder: that relative paths start from.
        label, group: columns of the label and the group; empty takes ``label`` and ``group``.
        group_pattern: finds the group in each file name or path instead.

    Raises:
        ManifestError: as in `read_csv`.
    """
    label, group = label or "label", group or "group"
    columns = rows[0][1].keys()
    times = time_columns(columns)
    if times:
        problem = f"columns {times[0]!r} and {times[1]!r}: {SEGMENTED}; for whole files, delete them"
        raise ManifestError(f"{source}: {problem}")
    _check_cells(rows, source, ("path", label, group), folder)
    files = [Path(_portable(row["path"], folder)) for _, row in rows]
    ids = unique_ids([file.stem for file in files], [file.parent.as_posix() for file in files], files)
    groups = ids
    if group_pattern and group in columns:
        raise ManifestError(f"{source}: has the column {group!r}; give no group pattern, or delete the column")
    if group_pattern:
        groups = groups_of_paths(files, group_pattern)
    elif group not in columns:
        others = [column for column in columns if column not in ("path", label, "fold", "")]
        LOG.warning(_OWN_GROUPS_OF_CSV, source, format_names(others) or "none")
    clips = [
        Clip(
            clip_id=clip_id,
            path=folder / file,
            label=row[label],
            group=row.get(group, own_group),
            fold=fold_number(row["fold"], f"{source}, {at}") if row.get("fold") else None,
        )
        for clip_id, own_group, file, (at, row) in zip(ids, groups, files, rows, strict=True)
    ]
    return with_durations(clips, source)


def _portable(name: str, folder: Path) -> str:
    """A path of a table that was made on Windows, with forward slashes unless there is a file of that very name."""
    return name if "\\" not in name or (folder / name).exists() else PureWindowsPath(name).as_posix()


def _check_cells(
    rows: Sequence[tuple[str, dict[str, str]]], source: str | Path, columns: tuple[str, str, str], folder: Path
) -> None:
    """Refuse empty cells, and a recording in two rows; `columns` are those of path, label and group."""
    first: dict[str, tuple[str, str]] = {}
    for at, row in rows:
        for column in columns:
            if not row.get(column, "-"):
                raise ManifestError(f"{source}, {at}: {column} is empty; fill it in or delete the row")
        file, label = os.path.normpath(folder.absolute() / row["path"]), row[columns[1]]  # however it is written
        there, other = first.setdefault(file, (at, label))
        if there != at:
            labels = f" as {other!r}, here it is {label!r}" if other != label else ""
            raise ManifestError(f"{source}, {at}: {row['path']} is already in {there}{labels}; delete one")
