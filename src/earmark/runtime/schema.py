"""A check of what was read from a JSON file: the keys that must be there, and the type of each value."""

from __future__ import annotations

import json
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earmark.runtime.errors import EarmarkError

NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "a table", list: "a list"}
NAMES |= {type(None): "null"}


class SchemaError(EarmarkError):
    """Content of a file that lacks a key or has a value of the wrong type; the message names file and key."""


def read_json(path: Path, schema: Any) -> Any:
    """Read a JSON file whose content must fit `schema`; see `check_schema`.

    Raises:
        SchemaError: the file is missing or no JSON, or its content does not fit.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SchemaError(f"{path.name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{path.name} is no JSON: {error}") from None
    check_schema(content, schema, path.name)
    return content


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
