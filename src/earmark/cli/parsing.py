"""Parsing of a command line by tyro, whose messages in boxes of several lines become one line."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from earmark.runtime.errors import EarmarkError

Parsed = TypeVar("Parsed")

REWORDED = {
    r"Missing from .*?:": "missing:",
    r"Unrecognized options:": "unrecognized arguments:",
    r"Argument helptext:": "usage:",
    r"Error parsing (\S+): (.*)": r"\1: \2",
    r"invalid literal for int\(\) with base 10: (.*)": r"\1 is not a whole number",
    r"could not convert string to float: (.*)": r"\1 is not a number",
    r"Could not find valid parse for arguments: (.*)": r"bad value \1",
}
"""What tyro says, and what is said instead."""


def parse_command_line(
    target: Callable[..., Parsed] | type[Parsed], argv: Sequence[str], program: str, **options: Any
) -> Parsed:
    """What `target`, a class or a function, returns for the arguments of a command line.

    Args:
        program: how the command line begins, for the help.
        options: further arguments of `tyro.cli`.

    Raises:
        EarmarkError: an argument is unknown, missing or has a bad value.
        SystemExit: the help was asked for and printed.
    """
    box = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    try:
        with contextlib.redirect_stderr(box):
            parsed = tyro.cli(target, args=argv, prog=program, **options)
    except SystemExit as end:
        if not end.code:
            raise
        problem = _own_error(end) or EarmarkError(f"{one_line(_read(box))}; see {program} --help")
        raise problem from None
    print(_read(box), end="", file=sys.stderr)
    return parsed


def _read(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def _own_error(end: BaseException) -> EarmarkError | None:
    """What a setting said of its value; tyro takes it for an error of its own and prints it in a box."""
    cause = end.__context__
    while cause and not isinstance(cause, EarmarkError):
        cause = cause.__context__
    return cause if isinstance(cause, EarmarkError) else None


def one_line(box: str) -> str:
    """What a box of tyro says, without the descriptions of options and without the reference to the help.

    After the title, statements are indented by two columns, names of options by four more, and their descriptions by
    eight; lines of dashes separate the parts of the box.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [line[2:].rstrip(" │╯") for line in text.splitlines()[1:]]
    parts = re.split(r"^[─-]{5,}$", "\n".join(lines), flags=re.MULTILINE)
    said = [_one_part(part) for part in parts if "For full helptext" not in part]
    return "; ".join(filter(None, said)) if len(parts) > 1 else " ".join(text.split())


def _one_part(part: str) -> str:
    statements = [line for line in part.splitlines() if line and not line.startswith("    ")]
    names = [line.strip() for line in part.splitlines() if re.match(r" {4}[^ (]", line)]
    if "Argument helptext:" in statements:
        names = names[:1]  # its description is indented by as much
    statement = " ".join(statements)
    for found, said in REWORDED.items():
        statement = re.sub(found, said, statement)
    return f"{statement[:1].lower()}{statement[1:]} {', '.join(names)}".strip(" .")
