"""The JSON Schema of a suite file, with which editors complete and check TOML."""

from __future__ import annotations

import json
import types
import typing
from dataclasses import is_dataclass
from typing import Any, Literal

from earmark.config.bounds import BOUNDS
from earmark.config.describe import Setting, settings
from earmark.config.search import TunedConfig
from earmark.config.suite import SuiteConfig

TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", Any: None}
DIALECT = "http://json-schema.org/draft-07/schema#"
"""The dialect that editors of TOML understand."""


def suite_schema() -> dict[str, Any]:
    """The JSON Schema of a suite: each setting with type, choices, bounds, default and meaning; no other keys."""
    top = _table(SuiteConfig)
    sections = [name for name, schema in top["properties"].items() if "$ref" in schema]
    names = {name: _section(SuiteConfig, name) for name in sections}
    of_variant = [name for name in sections if name not in ("data", "search")] + ["tuned"]
    shared = {name: {"$ref": f"#/definitions/{name}"} for name in of_variant}
    names["tuned"] = TunedConfig  # of variants alone
    variant = {"type": "object", "properties": shared, "additionalProperties": False}
    top["properties"]["variants"] |= {"additionalProperties": variant}
    about = {"$schema": DIALECT, "title": "Suite of earmark", "description": "A comparison of models, in TOML."}
    return about | top | {"definitions": {name: _table(section, f"{name}.") for name, section in names.items()}}


def _section(config: type, name: str) -> type:
    return next(setting.annotation for setting in settings(config) if setting.name == name)


def _table(section: type, prefix: str = "") -> dict[str, Any]:
    """A dataclass as a table without further keys; `prefix` is the section's name and a dot."""
    properties = {setting.name: _property(setting, prefix) for setting in settings(section)}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _property(setting: Setting, prefix: str) -> dict[str, Any]:
    if is_dataclass(setting.annotation):
        return {"$ref": f"#/definitions/{setting.name}"}
    about = {"description": setting.meaning} if setting.meaning else {}
    default = {} if setting.default == {} else {"default": json.loads(json.dumps(setting.default))}
    low, high = BOUNDS.get(prefix + setting.name, (None, None))
    bounds = {"minimum": low, "maximum": high} if setting.annotation in (int, float) and low is not None else {}
    return _type(setting.annotation) | bounds | default | about


def _type(annotation: Any) -> dict[str, Any]:
    """An annotated type as JSON Schema."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _type(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(arguments[1])}
    assert not isinstance(annotation, types.UnionType), "settings have one type"
    name = TYPES[annotation]
    return {"type": name} if name else {}
