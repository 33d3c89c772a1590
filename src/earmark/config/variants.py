"""What the variants of a suite may be called and may change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from earmark.config.sections import ConfigError, check_setting
from earmark.runtime.names import name_problem


def check_name(name: str, setting: str) -> None:
    """Refuse a name of a suite or variant, given by `setting`, that no folder can have everywhere."""
    remedy = name_problem(name)
    check_setting(not remedy, setting, name, remedy)


def check_variant(where: str, changes: Any) -> None:
    """Refuse a variant that changes the name, fold, seed or data, which all variants share."""
    remedy = "give a table, for example model.attention = 'se'"
    check_setting(isinstance(changes, dict), where, changes, remedy)
    for key in ("name", "variant", "fold", "seed"):
        remedy = "a variant changes sections, for example model.name; names, folds and seeds are the suite's"
        check_setting(key not in changes, f"{where}.{key}", changes.get(key), remedy)
    remedy = "variants are compared on the same clips; make a suite for each"
    check_setting("data" not in changes, f"{where}.data", changes.get("data"), remedy)
    path = changes["split"].get("path") if isinstance(changes.get("split"), dict) else None
    check_setting(path is None, f"{where}.split.path", path, remedy)


def check_distinct(settings: Mapping[str, Mapping[str, Any]], unused: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse two variants that are one training: the same runs would be trained twice and compared.

    Args:
        settings: what affects the result of each variant, by its name.
        unused: those of them that change nothing in the variant, and what each of them needs.
    """
    seen: list[str] = []
    for name, own in settings.items():
        for other in seen:
            differ = [key for key in own if settings[other][key] != own[key]]
            if not differ:
                raise ConfigError(f"variants {other} and {name} have the same settings; change one or leave it out")
            if all(key in unused[name] and key in unused[other] for key in differ):
                needs = f"{differ[0]} changes nothing here, because it needs {unused[name][differ[0]]}"
                raise ConfigError(f"variants {other} and {name} are one training: {needs}; set that, or leave one out")
        seen.append(name)
