"""Rows of text as a table: in aligned columns for a terminal, or in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet takes for a formula (OWASP, CSV injection)."""


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows, the header among them, as lines of equal width: the first column left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    )
    return "\n".join("  ".join(line) for line in lines)


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
