"""Your own recordings: a folder with one subfolder per class, or a CSV of paths and labels."""

from __future__ import annotations

import logging
from pathlib import Path

from earmark.audio.io import audio_files
from earmark.datasets.manifest import Clip, ManifestError, fold_number, read_rows, unique_ids
from earmark.datasets.recordings import with_durations

LOG = logging.getLogger("earmark")

_OWN_GROUPS = (
    "%s: every file is its own group; where several come from one recording or speaker, name it in the group "
    "column of clips.csv, or results will be too good"
)


def read_folder(root: str | Path) -> list[Clip]:
    """Read a folder: its subfolders are the classes, the audio files at any depth in them the clips.

    Each file is its own group, with a warning. Audio files outside a subfolder are skipped with a warning.
    Clip ids are file names without extension, prefixed by the subfolder where two are alike.

    Raises:
        ManifestError: no subfolder has audio, two files differ in their extension only, or none can be read.
    """
    root = Path(root)
    inside = [path.relative_to(root) for path in audio_files(root)]
    loose = [path.name for path in inside if len(path.parts) == 1]
    inside = [path for path in inside if len(path.parts) > 1]
    if not inside:
        raise ManifestError(f"{root}: no subfolder has audio files; make one for each class, named as the class")
    if loose:
        LOG.warning("%s: %d files are in no class folder and are skipped; the first: %s", root, len(loose), loose[0])
    ids = unique_ids([path.stem for path in inside], [path.parent.as_posix() for path in inside])
    LOG.warning(_OWN_GROUPS, root)
    clips = [Clip(i, root / path, path.parts[0], i) for i, path in zip(ids, inside, strict=True)]
    return with_durations(clips, root)


def read_csv(path: str | Path, label: str = "", group: str = "") -> list[Clip]:
    """Read a CSV with the columns ``path`` and ``label``, and optionally ``group`` and ``fold``.

    `label` and `group` name other columns for these two; a named group column has to be there.

    Paths are relative to the CSV's folder. Without a group column each file is its own group, with a
    warning. Clip ids are file names without extension, prefixed by the folder where two are alike.

    Raises:
        ManifestError: the CSV cannot be used, a cell is empty or a path given twice (named by the line), two
            files differ in their extension only, or none can be read.
    """
    path = Path(path)
    columns = ("path", label or "label", *([group] if group else []))
    rows = read_rows(path, columns, "give a CSV with the columns path,label and optionally group,fold")
    label, group = label or "label", group or "group"
    _check_cells(rows, path, ("path", label, group))
    where = [Path(row["path"]) for _, row in rows]
    ids = unique_ids([w.stem for w in where], [w.parent.as_posix() for w in where])
    if group not in rows[0][1]:
        LOG.warning(_OWN_GROUPS, path)
    clips = [
        Clip(
            clip_id=clip_id,
            path=path.parent / row["path"],
            label=row[label],
            group=row.get(group, clip_id),
            fold=fold_number(row["fold"], path, line) if row.get("fold") else None,
        )
        for clip_id, (line, row) in zip(ids, rows, strict=True)
    ]
    return with_durations(clips, path)


def _check_cells(rows: list[tuple[int, dict[str, str]]], path: Path, columns: tuple[str, ...]) -> None:
    first: dict[str, int] = {}
    for line, row in rows:
        for column in columns:
            if not row.get(column, "-"):
                raise ManifestError(f"{path}, line {line}: {column} is empty; fill it in or delete the line")
        if first.setdefault(row["path"], line) != line:
            raise ManifestError(
                f"{path}, line {line}: {row['path']} is already in line {first[row['path']]}; delete one"
            )
