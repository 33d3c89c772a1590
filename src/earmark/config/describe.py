"""What each setting means: the sentence below a field of a config, for files that people edit."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Setting:
    """One setting of a section."""

    name: str
    annotation: Any
    """Its type, resolved."""
    default: Any
    meaning: str
    """The sentence below the field; empty for a section."""


def settings(section: type) -> Iterator[Setting]:
    """The settings of a config dataclass, in order."""
    hints, meanings = typing.get_type_hints(section), _meanings(section)
    for f in dataclasses.fields(section):
        factory = f.default_factory
        default = f.default if factory is dataclasses.MISSING else factory()
        yield Setting(f.name, hints[f.name], default, meanings.get(f.name, ""))


@cache
def _meanings(section: type) -> dict[str, str]:
    """The string below each field of a class, read from its source."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(definition, ast.ClassDef)
    found, name = {}, ""
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name:
            found[name] = " ".join(str(node.value.value).split())
    return found
