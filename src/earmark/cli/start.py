"""Commands for the first minutes: demo, init, doctor, schema, completion."""

from __future__ import annotations

from functools import partial
from json import dumps
from pathlib import Path
from typing import Annotated, Literal

import tyro

from earmark.cli.arguments import OptionalOutput
from earmark.cli.errors import FOUND


def demo(folder: Path = Path("earmark-demo"), jobs: int = 0) -> None:
    """Run the whole pipeline on synthetic sounds; no download.

    Example: earmark demo

    Args:
        folder: Folder for everything that is written.
        jobs: Worker processes that train at the same time; 0 uses one per core, up to 4.
    """
    from earmark.demo import run_demo

    run_demo(folder, jobs)


def init(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = "own",
    output: OptionalOutput = None,
    force: bool = False,
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


def doctor(work: Path = Path("work"), json: bool = False) -> int:
    """Show versions, processor, GPU, caches and disk on one page.

    Paste it into an issue. Exit status 1 if there is a problem.

    Example: earmark doctor

    Args:
        work: Folder whose disk is measured: a file of 32 MiB is written and removed.
        json: Print JSON instead of text.
    """
    from earmark.cli.doctor import examine, format_page

    sections, problems = examine(work)
    print(dumps({**sections, "problems": problems}, indent=1) if json else format_page(sections, problems))
    return FOUND if problems else 0


def schema(output: OptionalOutput = None) -> None:
    """Write the JSON Schema of the configs, for editors.

    Example: earmark schema -o earmark.schema.json

    Args:
        output: The file; without it, the schema is printed.
    """
    from earmark.config.json_schema import suite_schema
    from earmark.runtime.files import write_text

    text = dumps(suite_schema(), indent=1) + "\n"
    if output is None:
        print(text, end="")
        return
    write_text(output, text)
    print(f'{output}: written; begin a config with the line "#:schema {output}"')


def completion(shell: Annotated[Literal["bash", "zsh", "fish", "powershell"], tyro.conf.Positional]) -> None:
    """Print the completion of commands and options for a shell.

    Example: earmark completion bash > ~/.local/share/bash-completion/completions/earmark

    Args:
        shell: Your shell.
    """
    from earmark.cli.completion import CommandWords, completion_script, options_of
    from earmark.cli.main import COMMANDS, run_command, summary

    words = {
        name: CommandWords(summary(command), options_of(partial(run_command, name, ["--help"])))
        for name, command in COMMANDS.items()
    }
    print(completion_script(shell, words), end="")
