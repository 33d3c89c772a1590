"""Rows of the CSVs that list clips."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from earmark.runtime.console import brief
from earmark.runtime.errors import EarmarkError, suggest
from earmark.runtime.schema import check_size, csv_reader


class ManifestError(EarmarkError):
    """A manifest or dataset that cannot be used; the message names the file or row and the remedy."""


def not_utf8(error: UnicodeDecodeError) -> str:
    """What is said of a table in another encoding, or of a workbook of Excel."""
    return f"is not UTF-8 text (byte 0x{error.object[error.start]:02x}); save it again, in Excel as 'CSV UTF-8'"


def path_column(columns: Iterable[str]) -> str:
    """The column that names the recordings: ``path``, or else the only one of ``file`` and ``filename``, any case."""
    columns = [str(column) for column in columns]
    known = ("path", "file", "filename")
    for there in ([c for c in columns if c in known], [c for c in columns if c.lower() in known]):
        if len(there) == 1:
            return there[0]
    return "path"


def standard_columns(columns: Iterable[str], known: Sequence[str]) -> dict[str, str]:
    """What each column is called here: a known name that it has in capitals, unless another column has that name."""
    columns = list(columns)
    return {c: c.lower() if c.lower() in known and c.lower() not in columns else c for c in columns}


def find_column(columns: Iterable[str], names: Iterable[str]) -> str:
    """The column that has the first of these names, in another case only if none has one as it is; empty without one.

    Args:
        columns: those that there are.
        names: those that are looked for, the preferred one first.
    """
    columns, names = list(columns), list(names)
    in_any_case = {column.lower(): column for column in reversed(columns)}
    found = [name for name in names if name in columns]
    found += [in_any_case[name.lower()] for name in names if name.lower() in in_any_case]
    return next(iter(found), "")


def read_rows(
    path: Path,
    columns: Sequence[str],
    remedy: str,
    given: Mapping[str, str] | None = None,
    in_any_case: Sequence[str] = (),
) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV with a header line as (line number, cells without surrounding blanks).

    Where `columns` has ``path``, the cells of the column that stands for it have this name, see `path_column`.

    Args:
        path: the CSV.
        columns: what it has to have.
        remedy: ends the messages.
        given: columns that the user has named, by option; that of ``--path-column`` stands for ``path``.
        in_any_case: columns that may be written in capitals too; their cells have these names.

    Raises:
        ManifestError: the file is missing, is no CSV in UTF-8, has no rows, lacks one of `columns` or has a
            row with more cells than the header.
    """
    try:
        check_size(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv_reader(file)
            rows = [(reader.line_num, row) for row in reader]
            header = reader.fieldnames or []
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: {not_utf8(error)}") from None
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ManifestError(f"{path}: cannot be read ({reason}); {remedy}") from None
    if not header:
        raise ManifestError(f"{path}: is empty; {remedy}")
    known = standard_columns(header, in_any_case)
    header = [known[name] for name in header]
    named = _path_column(header, given or {}, path) if "path" in columns else "path"
    for column in (named if column == "path" else column for column in columns):
        if header.count(column) > 1:
            raise ManifestError(f"{path}: has the column {column!r} twice; rename or delete one")
        if column not in header:
            raise ManifestError(f"{path}: no column {column!r} among {brief(', '.join(header))}; {remedy}")
    if not rows:
        raise ManifestError(f"{path}: has no rows; {remedy}")
    renamed = [(line, {known.get(name, name): cell for name, cell in row.items()}) for line, row in rows]
    return [(line, _cells(row, path, line, named)) for line, row in renamed]


def _path_column(header: Sequence[str], given: Mapping[str, str], path: Path) -> str:
    """The column of the path; refuses columns that were named and are not there, or are that of the path."""
    for option, column in given.items():
        if column and column not in header:
            raise ManifestError(f"{path}: {option} {column!r}: no such column{suggest(column, header)}")
    named = given.get("--path-column") or path_column(header)
    for option, column in given.items():
        if option != "--path-column" and column in (named, "path"):
            raise ManifestError(f"{path}: {option} {column!r}: is the column of the path; name another one")
    return named


def _cells(row: Mapping[Any, str | None], path: Path, line: int, named: str) -> dict[str, str]:
    if None in row:
        raise ManifestError(f"{path}, line {line}: more cells than columns; put cells with commas in quotes")
    kept = {name: cell for name, cell in row.items() if name == named or name != "path"}
    return {"path" if name == named else name: (cell or "").strip() for name, cell in kept.items()}


def fold_number(text: str, where: str) -> int:
    """The fold in a cell, a whole number from 1; pandas writes `1.0` where a column has gaps.

    Args:
        text: the cell.
        where: file and line, for the message.

    Raises:
        ManifestError: it is something else.
    """
    text = text.removesuffix(".0")
    if not (text.isdecimal() and len(text) <= 9 and int(text) >= 1):
        remedy = "folds are numbered from 1: add 1 to each" if text == "0" else "give a whole number from 1"
        remedy += " (of an official split, 1 is test, 2 validation and 3 training)" if text.isalpha() else ""
        raise ManifestError(f"{where}: fold {text!r}; {remedy}")
    return int(text)
