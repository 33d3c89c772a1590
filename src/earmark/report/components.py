"""What the sections of the report are made of: tables, figures side by side, names with their color."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from earmark.analysis.aggregate import Aggregate
from earmark.analysis.rows import Cell, Number, Table
from earmark.report.axes import color
from earmark.report.html import Html, data, join, tag

Decorate = Callable[[int, int], Html | None]
"""From the row and column of a cell, each counted from 0, to what stands before its text."""


class Section(NamedTuple):
    id: str
    short: str
    """In the navigation."""
    title: str
    lead: str
    body: Html
    collapsed: bool = False
    """Whether the reader has to open it."""


def html_table(content: Table, decorate: Decorate = lambda row, column: None, words: bool = False) -> Html:
    """A table that scrolls sideways where the page is too narrow.

    Args:
        decorate: what stands before the text of a cell: the dot of a variant, a drawing.
        words: cells are sentences, which are wrapped and left-aligned.
    """
    head = [tag("th", text, scope="col") for text in content.header]
    body = [tag("tr", [_cell(c, i, j, decorate) for j, c in enumerate(row)]) for i, row in enumerate(content.rows)]
    whole = tag("table", tag("thead", tag("tr", head)), tag("tbody", body), class_="words" if words else None)
    return tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label=content.title)


def _cell(cell: Cell, row: int, column: int, decorate: Decorate) -> Html:
    small = tag("small", _parts(cell.small), class_="below") if cell.small else None
    before = decorate(row, column)
    main = _parts(cell.main)
    return tag("td", before, main, small) if column else tag("th", before, main, small, scope="row")


def _parts(parts: Sequence[str | Number]) -> Html:
    return join(part if isinstance(part, str) else data(part.value, part.text) for part in parts)


def dot_of_variant(row: int, column: int) -> Html | None:
    """The colored dot before the name of the variant in each row."""
    return dot(row) if column == 0 else None


def titled(content: Table, *args: Any, **kwargs: Any) -> Html:
    """A table below its title."""
    return join([tag("h3", content.title), html_table(content, *args, **kwargs)])


def figures(drawn: Sequence[Html]) -> Html:
    """Figures side by side, as many as fit."""
    return tag("div", drawn, class_="figures")


def folded(summary: str, *children: Any) -> Html:
    """What a reader may open."""
    return tag("details", tag("summary", summary), *children)


def legend(a: Aggregate) -> Html | None:
    """The color of each variant; None for one alone."""
    if len(a.variants) < 2:
        return None
    names = [tag("span", dot(i), v.variant, class_="name") for i, v in enumerate(a.variants)]
    return tag("p", names, class_="legend")


def dot(index: int) -> Html:
    """A dot in the color of a variant."""
    return tag("i", class_=f"chip {color(index)}")
