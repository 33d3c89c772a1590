"""A check of what was read from disk: keys and types of a JSON file, columns and cells of a CSV."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from earmark.runtime.console import printable
from earmark.runtime.errors import EarmarkError

NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "a table", list: "a list"}
NAMES |= {type(None): "null"}
MAX_BYTES = 2**28
"""Size of a JSON or CSV file, 256 MiB: that of an audit of a million clips."""
MAX_DEPTH = 32
"""Tables and lists in each other."""
MAX_HEADER = 2**16
"""Characters in which the first separator of a CSV is looked for."""


_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SEPARATOR = re.compile(r"sep=([,;\t])[,;\t]*\s*")
_FIRST_CELL = re.compile(r'(?:"(?:[^"]|"")*"|[^",;\t]*)([,;\t])')


class SchemaError(EarmarkError):
    """Content of a file that lacks a key or has a value of the wrong type; the message names file and key."""


def read_json(path: Path, schema: Any) -> Any:
    """Read a JSON file whose content must fit `schema`; see `check_schema`.

    Raises:
        SchemaError: the file is missing or no JSON, or its content does not fit.
    """
    name = printable(path.name)
    content = parse_json(read_text(path), name)
    check_schema(content, schema, name)
    return content


def parse_json(text: str, where: str) -> Any:
    """The content of a JSON text.

    Args:
        text: what was read.
        where: the file, for the message.

    Raises:
        SchemaError: it is not JSON, or nested too deeply.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{where} is not JSON: {error}") from None
    if is_deep(content, MAX_DEPTH):
        raise SchemaError(f"{where} is nested more than {MAX_DEPTH} times")
    if _ESCAPED_SURROGATE.search(text) and _SURROGATE.search(json.dumps(content, ensure_ascii=False)):
        raise SchemaError(f"{where} has half of a surrogate pair, which is not a character")
    return content


def read_text(path: Path) -> str:
    """The text of a file of a possible size.

    Raises:
        SchemaError: the file is missing, too large or no text in UTF-8.
    """
    name = printable(path.name)
    try:
        check_size(path)
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SchemaError(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise SchemaError(f"{name} is not UTF-8 text (byte 0x{byte:02x}); save it again as UTF-8") from None


def check_size(path: Path, most: int = MAX_BYTES) -> None:
    """Raise `SchemaError` for a device, a pipe, a folder, or a file of more than `most` bytes, before it is opened.

    Raises:
        OSError: there is nothing at the path.
    """
    size = path.stat().st_size
    if not path.is_file():
        raise SchemaError(f"{printable(path.name)} is not a file")
    if size > most:
        raise SchemaError(f"{printable(path.name)} is {size >> 20} MiB, at most {most >> 20} are read")


def read_table(path: Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """The rows of a CSV with a header line; every cell is text.

    Raises:
        SchemaError: the file is missing, too large or no CSV, lacks one of `columns`, names a column twice, or has a
            row with another number of cells than the header (named by its line).
    """
    name = printable(path.name)
    text = read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=csv_delimiter(text[:MAX_HEADER]))
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise SchemaError(f"{name}, line {reader.line_num}: is not CSV: {error}") from None
    header = rows[0][1] if rows else []
    for column in columns:
        if header.count(column) != 1:
            problem = "lacks" if column not in header else "has twice"
            raise SchemaError(f"{name} {problem} the column {column!r}")
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise SchemaError(f"{name}, line {line}: has {len(row)} cells, the header {len(header)}")
    return [dict(zip(header, row, strict=True)) for _, row in rows[1:]]


def csv_delimiter(header: str) -> str:
    """What separates the cells of a CSV: the comma, semicolon or tab after the first cell of its header line.

    A spreadsheet writes semicolons in countries where the comma is the decimal sign.
    """
    match = _FIRST_CELL.match(header)
    return match[1] if match else ","


def csv_reader(file: TextIO) -> csv.DictReader[str]:
    """The rows of an open CSV with a header line, whatever separates its cells, see `csv_delimiter`.

    Names of columns are without surrounding blanks. A first line ``sep=;``, which is for Excel, is no header.
    """
    first = file.readline(MAX_HEADER)
    separator = _SEPARATOR.fullmatch(first)
    file.seek(0)
    reader = csv.DictReader(file, delimiter=separator[1] if separator else csv_delimiter(first))
    if separator:
        next(reader.reader)
    reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
    return reader


def decimal_number(value: Any) -> float:
    """A number, which text may write with a decimal comma.

    Raises:
        ValueError: the text is no number.
        TypeError: the value is none.
    """
    return float(value.replace(",", ".") if isinstance(value, str) else value)


def is_deep(content: Any, depth: int) -> bool:
    """Whether tables and lists are nested deeper than `depth`; without recursion, which has a limit of its own."""
    level = [content]
    for _ in range(depth):
        level = [
            item
            for value in level
            if isinstance(value, dict | list | tuple)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return False
    return any(isinstance(value, dict | list | tuple) for value in level)


def check_schema(content: Any, schema: Any, where: str) -> None:
    """Raise `SchemaError` unless `content` has the shape of `schema`.

    Args:
        content: what `json.loads` returned.
        schema: a type (`str`, `int`, `float`, `bool`, `dict`, `list`, or a union such as ``float | None``), a dict of
            keys with a schema each (``"key?"`` may be missing, further keys are allowed, the key `str` stands for
            every key), or a list of one schema, that of each item. A `float` may be written as a whole number;
            it is finite, and an `int` has 64 bits.
        where: the file, for the message.
    """
    _check(content, schema, where, "")


def _check(content: Any, schema: Any, where: str, key: str) -> None:
    if isinstance(schema, dict):
        _check_type(content, dict, where, key)
        _check_table(content, schema, where, key)
    elif isinstance(schema, list):
        _check_type(content, list, where, key)
        for index, item in enumerate(content):
            _check(item, schema[0], where, f"{key}[{index}]")
    else:
        _check_type(content, schema, where, key)


def _check_table(content: Mapping[str, Any], schema: Mapping[Any, Any], where: str, key: str) -> None:
    for name, expected in schema.items():
        if name is str:
            for each, value in content.items():
                _check(value, expected, where, _join(key, each))
            continue
        optional = name.endswith("?")
        name = name.removesuffix("?")
        if name in content:
            _check(content[name], expected, where, _join(key, name))
        elif not optional:
            raise SchemaError(f"{where} lacks the key {_join(key, name)!r}")


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _check_type(value: Any, expected: Any, where: str, key: str) -> None:
    choices = typing.get_args(expected) if isinstance(expected, types.UnionType) else (expected,)
    if any(_is(value, choice) for choice in choices):
        return
    shown = json.dumps(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    subject = f"{where}: {key} = {shown}" if key else f"{where}: {shown}"
    raise SchemaError(f"{subject} must be {' or '.join(NAMES[choice] for choice in choices)}")


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return isinstance(value, kind) and not (isinstance(value, int) and abs(value) >= 2**63)
