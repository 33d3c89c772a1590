"""Rows of text as a table: in aligned columns for a terminal, or in Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from earmark.runtime.console import terminal_width

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet takes for a formula (OWASP, CSV injection)."""


def align_columns(rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Rows, the header among them, as lines of equal width: the first column left-aligned, the others right-aligned.

    Where that is too wide, words of one cell go below each other; if that does not do, each row goes below its name.

    Args:
        width: of the terminal, in characters; 0 for any, None for that of stdout.
    """
    limit = terminal_width() if width is None else width
    table = _align([[row] for row in rows])
    if not limit or _width(table) <= limit:
        return table
    broken = _break_cells(rows)
    return next((text for text in (_align(broken), _align_below_names(broken)) if _width(text) <= limit), table)


def _width(text: str) -> int:
    return max(map(len, text.split("\n")))


def _align(rows: Sequence[Sequence[Sequence[str]]]) -> str:
    """Rows, each of one or several lines of cells, as text."""
    lines = [line for row in rows for line in row]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(t.rjust(width) for t, width in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def _align_below_names(rows: Sequence[Sequence[Sequence[str]]]) -> str:
    """The same with the first cell of each row in a line of its own, and the others below it."""
    lines = iter(_align([[("", *line[1:]) for line in row] for row in rows]).split("\n"))
    names = ("".join(line[0] for line in row) for row in rows)
    texts = ([*filter(None, [name]), *(next(lines) for _ in row)] for name, row in zip(names, rows, strict=True))
    return "\n".join(line for text in texts for line in text)


def _break_cells(rows: Sequence[Sequence[str]]) -> list[list[tuple[str, ...]]]:
    """Each row as lines of cells: all but the first are broken between words, and the header ends in its last line."""
    columns = [
        [[text] for text in column] if i == 0 else _break(column) for i, column in enumerate(zip(*rows, strict=True))
    ]
    table = []
    for i, cells in enumerate(zip(*columns, strict=True)):
        height = max(map(len, cells))
        padding = ([""] * (height - len(cell)) for cell in cells)
        padded = [p + cell if i == 0 else cell + p for p, cell in zip(padding, cells, strict=True)]
        table.append(list(zip(*padded, strict=True)))
    return table


def _break(column: Sequence[str]) -> list[list[str]]:
    """The lines of each cell, as narrow as the longest word; below the header, a cell with a number is one word."""
    words = [[text] if i and any(map(str.isdigit, text)) else text.split() for i, text in enumerate(column)]
    least = max((len(word) for cell in words for word in cell), default=1)
    return [textwrap.wrap(text, least, break_long_words=False, break_on_hyphens=False) or [""] for text in column]


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """Rows, the header first, as a Markdown table; their text is escaped."""
    header, *body = ([escape_markdown(text) for text in row] for row in rows)
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape_markdown(text: str) -> str:
    """Text whose special characters Markdown prints as they are."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(text.splitlines()))


def spreadsheet_cell(value: Any) -> Any:
    """A value for a CSV that people open: text that a spreadsheet would run as a formula begins with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in FORMULA else value
