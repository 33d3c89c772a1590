"""Argument types that several commands share."""

from pathlib import Path
from typing import Annotated

import tyro

RequiredPath = Annotated[Path, tyro.conf.Positional]
"""A positional path."""
OptionalPositionalPath = Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[PATH]")]
"""A positional path that may be left out."""
Paths = Annotated[tuple[Path, ...], tyro.conf.Positional]
"""Any number of positional paths."""
Names = Annotated[tuple[str, ...], tyro.conf.Positional]
"""Any number of positional names."""
Output = Annotated[Path, tyro.conf.arg(aliases=["-o"])]
"""Where to write; `-o` for short."""
OptionalOutput = Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
"""Where to write if not to the default place; `-o` for short."""
OptionalPath = Annotated[Path | None, tyro.conf.arg(metavar="PATH")]
"""A path that may be left out."""
OptionalName = Annotated[str | None, tyro.conf.arg(metavar="NAME")]
"""A name that may be left out."""
Augmentations = Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--variants"])]
"""Names of augmentations; the option used to be called `--variants`."""
OptionalInt = Annotated[int | None, tyro.conf.arg(metavar="INT")]
"""A whole number that may be left out."""
