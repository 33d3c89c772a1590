"""One status line that is rewritten on a terminal and repeated now and then in a log file."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO, TypeVar

T = TypeVar("T")
MAX_BRIEF = 200
MAX_NAMES = 5
"""A message names this many offenders and counts the others."""
LOG_SECONDS = 15.0
"""Where the output is no terminal, a status is printed at most this often."""


class Progress:
    """Prints lines that stay and a status that does not."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = 0
        self._last = 0.0

    def status(self, text: str) -> None:
        """Replace the status line."""
        if self._terminal:
            text = text[: shutil.get_terminal_size().columns - 1]
            print("\r" + text.ljust(self._shown), end="", file=sys.stderr, flush=True)
            self._shown = len(text)
        elif time.monotonic() - self._last > LOG_SECONDS:
            print(text, file=sys.stderr, flush=True)
            self._last = time.monotonic()

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self.clear()
        print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the status line, before something else is printed."""
        if self._shown:
            print("\r" + " " * self._shown + "\r", end="", file=sys.stderr, flush=True)
            self._shown = 0


def progress_bar(items: Iterable[T], title: str, total: int, unit: str) -> Iterator[T]:
    """The items, counted by a bar on a terminal, and by a line now and then in a log file."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, title, total, unit=unit)
        return
    last = time.monotonic()
    for n, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last > LOG_SECONDS:
            print(f"{title}: {n} of {pluralize(total, unit)}", file=sys.stderr, flush=True)
            last = time.monotonic()


def terminal_width() -> int:
    """Characters in a line of the terminal that stdout is; 0 where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def print_wrapped(text: str) -> None:
    """Print text; on a terminal, prose is broken between words, and lines of tables (two spaces, or |) are not."""
    if width := terminal_width():
        wrap = functools.partial(textwrap.fill, width=width, break_long_words=False, break_on_hyphens=False)
        text = "\n".join(
            line if "  " in line or line.startswith("| ") else wrap(line, subsequent_indent="  ")
            for line in text.split("\n")
        )
    print(text)


def print_while_read(text: str, stream: TextIO) -> None:
    """Print a line at once; when the reader of the stream has gone away, as `head` does, drop it and what follows."""
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        drop_output(stream)


def drop_output(stream: TextIO) -> None:
    """Write nothing more to stdout or stderr, which the interpreter flushes once more at the end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def printable(path: object) -> str:
    """A path or name as one line: line breaks, marks of direction and undecodable bytes are escaped."""
    text = str(path)
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def brief(text: str) -> str:
    """The text as one line, without its end where it is longer than `MAX_BRIEF` characters."""
    text = printable(text[: MAX_BRIEF + 1])
    return text if len(text) <= MAX_BRIEF else text[: MAX_BRIEF - 3] + "..."


def pluralize(n: int, word: str) -> str:
    """A number and what it counts: 1 run, 2 runs, 3 classes."""
    plural = "es" if word.endswith("s") else "s"
    return f"{n} {word}{plural * (n != 1)}"


def format_names(names: Sequence[str]) -> str:
    """Up to five names, and how many more there are."""
    rest = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + rest


def format_duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
