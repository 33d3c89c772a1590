"""Commands for the first minutes: demo, init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from earmark.cli.arguments import OptionalOutput


def demo(folder: Path = Path("earmark-demo"), jobs: int = 0) -> None:
    """Run the whole pipeline on synthetic sounds; no download.

    Example: earmark demo

    Args:
        folder: Folder for everything that is written.
        jobs: Worker processes that train at the same time; 0 uses one per core.
    """
    from earmark.demo import run_demo

    run_demo(folder, jobs)


def init(
    name: Annotated[str, tyro.conf.Positional] = "own", output: OptionalOutput = None, force: bool = False
) -> None:
    """Write a commented config to start from.

    Names: own, esc10, esc50, emodb, probe, and the other configs of the documentation, such as esc10-attention.

    Example: earmark init own -o own.toml

    Args:
        name: Name of the config.
        output: The file; defaults to NAME.toml in this folder.
        force: Replace the file if it exists.
    """
    from earmark.config.starters import write_starter

    output = output or Path(f"{name}.toml")
    write_starter(name, output, force)
    print(f"{output}: written; lines that begin with # are the other settings at their defaults")
    print(f"next: earmark suite {output}")
