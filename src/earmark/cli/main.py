"""The `earmark` command: its commands by pipeline stage, its help and its exit status.

tyro builds the arguments of a command from the signature of its function. Nothing heavy is imported before a command
needs it, so that `earmark --help` answers at once.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

import earmark
from earmark.cli import (
    data,
    deploy,
    features,
    hub,
    judge,
    ledger,
    models,
    predict,
    results,
    splits,
    start,
    training,
    tune,
)
from earmark.cli.arguments import check_arguments
from earmark.cli.errors import report_errors
from earmark.cli.parsing import parse_command_line
from earmark.runtime.console import printable
from earmark.runtime.errors import EarmarkError, suggest
from earmark.runtime.memory import keep_freed_memory
from earmark.runtime.names import is_unicode

Command = Callable[..., int | None]
"""A command; its result is the exit status, None for 0."""

GROUPS: dict[str, dict[str, Command]] = {
    "Start": {
        "demo": start.demo,
        "init": start.init,
        "doctor": start.doctor,
        "schema": start.schema,
        "completion": start.completion,
    },
    "Data": {
        "download": data.download,
        "manifest": data.manifest,
        "join": data.join,
        "cut": data.cut,
        "validate": data.validate,
        "augment": data.augment,
    },
    "Features": {"spectrograms": features.spectrograms, "show": features.show},
    "Splits": {"split": splits.split, "audit": splits.audit},
    "Training": {
        "models": models.models,
        "check-model": models.check_model,
        "train": training.train,
        "suite": training.suite,
        "tune": tune.tune,
        "status": training.status,
        "reproduce": training.reproduce,
        "optimism": training.optimism,
    },
    "Results": {
        "aggregate": results.aggregate,
        "evaluate": judge.evaluate,
        "import": judge.import_,
        "floor": judge.floor,
        "compare": judge.compare,
        "report": results.report,
        "ledger": ledger.ledger,
    },
    "Deployment": {
        "finalize": deploy.finalize,
        "card": hub.card,
        "push": hub.push,
        "predict": predict.predict,
        "listen": deploy.listen,
        "embed": predict.embed,
        "export": deploy.export,
        "serve": deploy.serve,
        "benchmark": deploy.benchmark,
    },
}
COMMANDS: dict[str, Command] = {name: command for group in GROUPS.values() for name, command in group.items()}
WITH_CONFIG = ("train", "suite", "tune", "optimism")
"""Commands whose first argument is a config file that the other arguments override."""

RESUMABLE = (*WITH_CONFIG, "demo", "download", "spectrograms", "reproduce", "finalize")
"""Commands that resume where they were stopped when they are run again."""
ENDLESS = ("listen", "serve")
"""Commands that run until they are stopped."""

EXIT_STATUS = """\
Exit status: 0 success, 1 found something (a leak, bad files, failed runs),
             2 could not run, 130 interrupted"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line.

    Raises:
        SystemExit: the exit status is not 0; `earmark.cli.errors` lists them.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if os.environ.get("NO_COLOR"):
        tyro._experimental_options["ansi_codes"] = False
    if not args or args[0] in ("-h", "--help", "help", "--version"):
        with report_errors("earmark"):
            print(f"earmark {earmark.__version__}" if args[:1] == ["--version"] else overview())
        return
    name, rest = args[0], args[1:]
    if name in WITH_CONFIG:  # the commands that train
        keep_freed_memory()
    program = f"earmark {name}" if name in COMMANDS else "earmark"
    with report_errors(program, resumes=name in RESUMABLE, endless=name in ENDLESS):
        status = run_command(name, rest)
    if status:
        sys.exit(status)


def run_command(name: str, argv: Sequence[str]) -> int | None:
    """Run one command and return its exit status.

    Raises:
        EarmarkError: there is no such command, or it could not run.
    """
    if any("\0" in argument for argument in argv):
        raise EarmarkError("an argument has a zero byte, which no path has; leave it out")
    for argument in argv:
        if not is_unicode(argument):
            raise EarmarkError(
                f"{printable(argument)}: is not UTF-8 text; rename the file or folder, and give that name"
            )
    if name not in COMMANDS:
        raise EarmarkError(f"unknown command {name!r}{suggest(name, COMMANDS)}")
    if name in WITH_CONFIG:
        return COMMANDS[name](argv)
    if name == "listen":
        deploy.refuse_recordings(argv)
    command = COMMANDS[name]
    arguments = parse_command_line(_bind(command), argv, f"earmark {name}")
    check_arguments(name, arguments)  # numbers out of range and impossible outputs, before anything is done
    return command(**arguments)


def _bind(command: Command) -> Callable[..., dict[str, Any]]:
    """A function with the signature of a command that returns its arguments by name."""

    @functools.wraps(command)
    def bound(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return inspect.signature(command).bind(*args, **kwargs).arguments

    return bound


def overview() -> str:
    """What `earmark --help` prints: every command with its first sentence, grouped by pipeline stage."""
    usage = "usage: earmark COMMAND [ARGUMENTS]      (help: earmark COMMAND --help)"
    question = str(earmark.__doc__).splitlines()[0].removeprefix("earmark: ")
    lines = [usage, "", question[0].upper() + question[1:]]
    for group, commands in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {name:<13}{summary(command)}" for name, command in commands.items()]
    return "\n".join([*lines, "", EXIT_STATUS, "", "Start with `earmark demo`."])


def summary(command: Command) -> str:
    """The first line of a command's help."""
    return str(command.__doc__).splitlines()[0]
