"""Tables of other tools as clips: the audiofolder of Hugging Face datasets, and filewise tables of audformat.

<https://huggingface.co/docs/datasets/audio_dataset#audiofolder>, <https://audeering.github.io/audformat/data-tables.html>.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from earmark.datasets.listed_files import TEST, TRAIN, VALID
from earmark.datasets.manifest import Clip, unique_ids
from earmark.datasets.recordings import SEGMENTED, contents, with_durations
from earmark.datasets.rows import ManifestError, read_rows
from earmark.runtime.console import brief, format_names, pluralize, printable
from earmark.runtime.errors import suggest
from earmark.runtime.schema import SchemaError, check_schema, parse_json, read_text

LOG = logging.getLogger("earmark")

GROUP_COLUMNS = ("group", "speaker", "speaker_id")
"""Columns that are taken as the group where no other is named; the first that there is."""
SPLITS = {
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), TEST),
    **dict.fromkeys(("validation", "valid", "val", "dev", "devel"), VALID),
    **dict.fromkeys(("train", "training"), TRAIN),
}
"""Names of folders and tables that are an official split, and the folds that they become."""


@dataclass(frozen=True)
class Row:
    """A row of a table: a recording with what is known of it."""

    path: Path
    cells: dict[str, str]
    where: str
    """File and line, for messages."""
    fold: int | None = None


def read_audiofolder(root: str | Path, label: str = "", group: str = "") -> list[Clip]:
    """Read an audiofolder: every ``metadata.csv`` or ``metadata.jsonl`` in it, with the column ``file_name``.

    Folders named test, validation or train (and their synonyms) become the folds 1, 2 and 3.

    Args:
        root: the folder.
        label: column of the label; empty takes ``label``.
        group: column of the group; empty takes ``group``, ``speaker`` or ``speaker_id``, else each file is its own
            group, with a warning.

    Raises:
        ManifestError: there is no such file, a column is missing, or no recording can be read.
    """
    root = Path(root)
    tables = sorted(path for path in root.rglob("metadata.*") if path.suffix in (".csv", ".jsonl"))
    if not tables:
        raise ManifestError(
            f"{root}: holds no metadata.csv or metadata.jsonl, but {contents(root)}; add one with the columns "
            "file_name,label, or set data.dataset = 'folder' where each class has its folder"
        )
    rows = []
    for table in tables:
        for line, cells in _json_lines(table) if table.suffix == ".jsonl" else read_rows(table, ("file_name",), _NAMES):
            where, path = f"{table}, line {line}", table.parent / _inside(cells.get("file_name", ""), table, line)
            rows.append(Row(path, cells, where, _fold(path.relative_to(root).parts[:-1])))
    return _clips(rows, root, label or "label", group, "file_name")


_NAMES = "give the columns file_name and label"


def _inside(name: str, table: Path, line: int) -> str:
    """A file name, as long as it stays in the folder of the table."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise ManifestError(f"{table}, line {line}: file_name {brief(name)!r} leaves the folder; give a path within it")
    return name


def _json_lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    rows, line = [], 0
    try:
        for line, text in enumerate(read_text(path).split("\n"), start=1):
            if text.strip():
                content = parse_json(text, "the line")
                check_schema(content, {str: str | int | float | bool | None}, "the line")
                rows.append((line, {k: "" if v is None else str(v).strip() for k, v in content.items()}))
    except SchemaError as error:
        where = f"{path}, line {line}" if line else path
        raise ManifestError(f"{where}: cannot be read ({brief(str(error))}); give one JSON object per line") from None
    return rows


def read_audformat(root: str | Path, label: str = "", group: str = "") -> list[Clip]:
    """Read the filewise tables of an audformat database, or one table (``db.<table>.csv``).

    Columns of several tables are joined by file. A file without a label is left out. Tables whose names have a part
    test, dev or train become the folds 1, 2 and 3.

    Args:
        root: the folder with ``db.yaml``, or a table in it.
        label: column of the label; empty takes ``label`` or ``emotion``.
        group: as in `read_audiofolder`.

    Raises:
        ManifestError: there is no filewise table in CSV, tables contradict each other, a column is missing, or no
            recording can be read.
    """
    root = Path(root)
    folder = root if root.is_dir() else root.parent
    tables = sorted(root.glob("db.*.csv")) if root.is_dir() else [root]
    if not tables:
        raise ManifestError(
            f"{root}: holds no table db.<name>.csv, but {contents(root)}; give the folder of the database, with its "
            "tables as CSV: audformat.Database.save(root, storage_format='csv')"
        )
    rows: dict[str, Row] = {}
    n_segmented = 0
    for table in tables:
        lines = read_rows(table, (), "give a table of audformat")
        n_segmented += "start" in lines[0][1]
        if "file" in lines[0][1] and "start" not in lines[0][1]:
            _join(rows, lines, table, folder)
    if not rows:
        raise ManifestError(
            f"{root}: {SEGMENTED if n_segmented else 'no table has the column file; give one that has'}"
        )
    columns = {column for row in rows.values() for column in row.cells}
    label = label or ("label" if "label" in columns or "emotion" not in columns else "emotion")
    labeled = [row for row in rows.values() if row.cells.get(label)] if label in columns else list(rows.values())
    if len(labeled) < len(rows):
        LOG.warning("%s: left out without a label: %s", root, pluralize(len(rows) - len(labeled), "file"))
    return _clips(labeled, root, label, group, "file")


def _join(rows: dict[str, Row], lines: Iterable[tuple[int, dict[str, str]]], table: Path, folder: Path) -> None:
    """Add the columns of a table to the rows of the files."""
    fold = _fold(table.name.split(".")[1:-1])
    for line, cells in lines:
        where, name = f"{table}, line {line}", cells["file"]
        row = rows.setdefault(name, Row(folder / name, {}, where, fold))
        for column, value in cells.items():
            if value and row.cells.setdefault(column, value) != value:
                raise ManifestError(
                    f"{where}: {column} of {brief(name)} is {value!r}, but {row.cells[column]!r} in {row.where}; "
                    "give one table instead of the folder"
                )


def _fold(names: Sequence[str]) -> int | None:
    """The fold by the first name that is one of an official split."""
    return next((SPLITS[name.lower()] for name in names if name.lower() in SPLITS), None)


def _clips(rows: Sequence[Row], root: Path, label: str, group: str, name: str) -> list[Clip]:
    """The rows as clips, once their columns are known to be there and filled."""
    columns = list(dict.fromkeys(column for row in rows for column in row.cells if column not in (name, "")))
    group = group or next((column for column in GROUP_COLUMNS if column in columns), "")
    for setting, column in (("label_column", label), ("group_column", group)):
        if column and column not in columns:
            raise ManifestError(f"{root}: data.{setting} = {column!r}: no such column{suggest(column, columns)}")
    if not group:
        text = "%s: every file is its own group; select the column of the speaker or source with data.group_column (%s)"
        LOG.warning(text, root, format_names([column for column in columns if column != label]) or "no other column")
    for row in rows:
        empty = next((column for column in (name, label, group) if column and not row.cells.get(column)), None)
        if empty:
            raise ManifestError(f"{row.where}: {empty} is empty; fill it in or delete the line")
    _check_once(rows)
    names = [PurePosixPath(row.cells[name]) for row in rows]
    ids = unique_ids([path.stem for path in names], [_qualifier(row.path, root) for row in rows], names)
    folds = [row.fold for row in rows]
    keep = len(set(folds)) > 1 and None not in folds
    return with_durations(
        [
            Clip(i, row.path, row.cells[label], row.cells[group] if group else i, row.fold if keep else None)
            for i, row in zip(ids, rows, strict=True)
        ],
        root,
    )


def _check_once(rows: Sequence[Row]) -> None:
    first: dict[Path, str] = {}
    for row in rows:
        if first.setdefault(row.path, row.where) != row.where:
            raise ManifestError(f"{row.where}: {printable(row.path)} is already in {first[row.path]}; delete one")


def _qualifier(path: Path, root: Path) -> str:
    """The folders of a recording below the root, as a text."""
    base = root if root.is_dir() else root.parent
    parent = path.parent
    return (parent.relative_to(base) if parent.is_relative_to(base) else parent).as_posix()
