"""The configs that come with earmark, as commented files to start from.

In a copy of the repository they are in `configs/`; in an installed package in `earmark/configs/`.
"""

from __future__ import annotations

import json
import re
import textwrap
import typing
from collections.abc import Iterable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from earmark.config.describe import Setting, settings
from earmark.config.suite import SuiteConfig
from earmark.runtime.errors import EarmarkError, suggest
from earmark.runtime.files import write_text

WIDTH = 118
"""Comments longer than this are wrapped."""


def config_folder() -> Path:
    """The folder of the configs that come with earmark."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parents[1] / "configs"


def starter_names() -> list[str]:
    """The names that `write_starter` accepts; the first five are those that most people start from."""
    names = {path.stem for path in config_folder().glob("*.toml") if not path.stem.startswith("product_")}
    first = [name for name in ("own", "esc10", "esc50", "emodb", "probe") if name in names]
    return first + sorted(names - set(first))


def starter_remedy(missing: Path) -> str:
    """What to do where a config file is missing: write the starter of its name, or that for your own recordings."""
    name = missing.stem if missing.stem in starter_names() else "own"
    return f"give a .toml file; `earmark init {name}` writes {name}.toml into this folder"


def write_starter(name: str, output: Path, force: bool = False) -> None:
    """Write a config that comes with earmark, with every other setting as a comment.

    Raises:
        EarmarkError: there is no such config, or `output` exists and `force` is not given.
    """
    if name not in starter_names():
        raise EarmarkError(f"config {name!r}: does not come with earmark{suggest(name, starter_names())}")
    if output.exists() and not force:
        raise EarmarkError(f"{output}: exists; choose another file with -o, or replace it with --force")
    text = (config_folder() / f"{name}.toml").read_text(encoding="utf-8")
    write_text(output, comment_settings(text.replace(f"configs/{name}.toml", output.as_posix())))


def comment_settings(text: str) -> str:
    """The text of a suite with a comment for each setting that it leaves out, at the end of its section."""
    head, *blocks = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    given = {_heading(block): block for block in blocks if "." not in _heading(block)}
    tables = {_heading(block) for block in blocks}
    top = [setting for setting in settings(SuiteConfig) if setting.name != "variants"]
    parts = [_complete(head, [setting for setting in top if not is_dataclass(setting.annotation)])]
    for section in top:
        if is_dataclass(section.annotation):
            block = given.get(section.name, f"# [{section.name}]\n")
            known = settings(typing.cast(type, section.annotation))
            parts.append(_complete(block, [s for s in known if f"{section.name}.{s.name}" not in tables]))
    return "".join([*parts, *(block for block in blocks if "." in _heading(block))])


def _complete(block: str, known: Iterable[Setting]) -> str:
    """A section and a comment for each known setting that it does not mention."""
    mentioned = set(re.findall(r"^(?:# )?(\w+) *=", block, flags=re.MULTILINE))
    return "\n".join([block.rstrip(), *(_comment(s) for s in known if s.name not in mentioned)]) + "\n\n"


def _heading(block: str) -> str:
    match = re.match(r"\[([^\]]+)\]", block)
    return match[1] if match else ""


def _comment(setting: Setting) -> str:
    """A setting at its default, as a comment that is valid TOML without the sign."""
    line = f"# {setting.name} = {_toml(setting.default)}"
    if len(line) + len(setting.meaning) + 4 <= WIDTH:
        return f"{line}  # {setting.meaning}"
    meaning = textwrap.wrap(
        setting.meaning, WIDTH, initial_indent="#   # ", subsequent_indent="#   # ", break_on_hyphens=False
    )
    return "\n".join([line, *meaning])


def _toml(value: Any) -> str:
    """A default as TOML."""
    return "{}" if value == {} else json.dumps(value)
