"""Kinds of arguments that several verbs share."""

from pathlib import Path
from typing import Annotated

import tyro

Given = Annotated[Path, tyro.conf.Positional]
"""A path that must be given."""
Paths = Annotated[tuple[Path, ...], tyro.conf.Positional]
"""Any number of paths."""
Names = Annotated[tuple[str, ...], tyro.conf.Positional]
"""Any number of names."""
Output = Annotated[Path, tyro.conf.arg(aliases=["-o"])]
"""Where to write; `-o` for short."""
OptionalOutput = Annotated[Path | None, tyro.conf.arg(aliases=["-o"])]
"""Where to write, if anywhere else than usual."""
