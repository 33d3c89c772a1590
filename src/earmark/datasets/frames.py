"""Clips from a pandas DataFrame, by the rules for CSV tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from earmark.datasets.alike import warn_of_alike_names
from earmark.datasets.folder import clips_of_rows
from earmark.datasets.manifest import Clip, read_manifest
from earmark.datasets.rows import ManifestError, standard_columns
from earmark.runtime.errors import suggest

SOURCE = "DataFrame"


def clips_of_table(table: Any, root: str | Path, label_column: str, group_column: str) -> list[Clip]:
    """The clips of a manifest by its path, which takes no other argument, or of a DataFrame as by `clips_from_frame`.

    Raises:
        ManifestError: the table cannot be used, or a further argument is given for a manifest.
    """
    if not isinstance(table, str | Path):
        return clips_from_frame(table, root, label_column, group_column)
    if str(root) != "." or label_column or group_column:
        given = f"root = {str(root)!r}, label_column = {label_column!r}, group_column = {group_column!r}"
        raise ManifestError(f"{table}: {given} are for a DataFrame; leave them out, or give pandas.read_csv(...)")
    return read_manifest(Path(table))


def clips_from_frame(frame: Any, root: str | Path = ".", label_column: str = "", group_column: str = "") -> list[Clip]:
    """The clips that the rows of a DataFrame list.

    Args:
        frame: with a column `path`, one for the label and, where several clips belong together, one for the group;
            `path`, `label`, `group` and `fold` may be in capitals.
        root: folder that relative paths start from.
        label_column: empty takes `label`.
        group_column: empty takes `group`, where there is one.

    Raises:
        ManifestError: it is no DataFrame, a column or a recording is missing, or a value cannot be used.
    """
    if not hasattr(frame, "columns"):
        kind = type(frame).__name__
        raise ManifestError(f"clips: are of type {kind}; give the path of a manifest, a DataFrame or a list of Clip")
    given = {"label": label_column, "group": group_column}
    in_any_case = [name for name in ("path", "label", "group", "fold") if not given.get(name)]
    columns = list(standard_columns(map(str, frame.columns), in_any_case).values())
    for name, column in (("path", "path"), ("label_column", label_column or "label"), ("group_column", group_column)):
        if column and column not in columns:
            setting = "" if name == column else f"{name} = {column!r}: "
            there = suggest(column, columns) if columns else "; it has no columns"
            raise ManifestError(f"{SOURCE}: {setting}no column {column!r}{there}")
    if not len(frame):
        raise ManifestError(f"{SOURCE}: has no rows; give one for each recording")
    filled = frame.astype(object).where(frame.notna(), "")
    cells = [dict(zip(columns, (str(cell).strip() for cell in row), strict=True)) for row in filled.to_numpy()]
    rows = [(f"row {i}", row) for i, row in enumerate(cells, start=1)]
    clips = clips_of_rows(rows, SOURCE, Path(root).resolve(), label_column, group_column)
    warn_of_alike_names(clips, SOURCE)
    return clips
