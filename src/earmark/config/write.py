"""Write a suite as TOML: what differs from the defaults."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from earmark.config.suite import SuiteConfig, to_dict


def suite_toml(suite: SuiteConfig, comment: str = "") -> str:
    """The text of a config that `read_suite` reads as this suite.

    Args:
        comment: what its first lines say.
    """
    default, content = to_dict(SuiteConfig()), to_dict(suite)
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    tables = {key: value for key, value in content.items() if isinstance(value, dict) and key != "variants"}
    lines += [f"{key} = {_value(value)}" for key, value in content.items() if key not in tables and key != "variants"]
    for name, table in tables.items():
        changed = {key: value for key, value in table.items() if value != default[name][key]}
        lines += [f"\n[{name}]", *_lines(changed)] * bool(changed)
    for name, changes in content["variants"].items():
        lines += [f"\n[variants.{_key(name)}]", *_lines(changes)]
    return "\n".join(lines) + "\n"


def _lines(table: dict[str, Any]) -> list[str]:
    return [f"{name} = {_value(value)}" for name, value in _flat(table)]


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and the values that are no tables."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{_key(key)}.")
        else:
            yield prefix + _key(key), value


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _value(value: Any) -> str:
    """A value as TOML; text and lists are written as in JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value).replace("\x7f", "\\u007f")
