"""What the sections of the report are made of: tables, figures side by side, names with their colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from earmark.analysis.summary import Aggregate
from earmark.analysis.verdicts import METRIC_NAMES
from earmark.report.html import Html, tag
from earmark.report.plots import color


class Section(NamedTuple):
    id: str
    short: str
    """In the navigation."""
    title: str
    lead: str
    body: Html


def table(label: str, head: Sequence[str | Html], rows: Sequence[Sequence[Html]]) -> Html:
    """A table that scrolls sideways where the page is too narrow."""
    cells = [h if isinstance(h, Html) else tag("th", h, scope="col") for h in head]
    body = tag("tbody", [tag("tr", row) for row in rows])
    whole = tag("table", tag("thead", tag("tr", cells)), body)
    return tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label=label)


def figures(drawn: Sequence[Html]) -> Html:
    """Figures side by side, as many as fit."""
    return tag("div", drawn, class_="figures")


def legend(a: Aggregate) -> Html | None:
    """The colour of each variant; None for one alone."""
    if len(a.variants) < 2:
        return None
    return tag("p", [chip(v.variant, i) for i, v in enumerate(a.variants)], class_="legend")


def chip(name: str, index: int) -> Html:
    """The name of a variant behind a dot of its colour."""
    return tag("span", tag("i", class_=f"chip {color(index)}"), name, class_="name")


def heading(metric: str) -> str:
    """The name of a metric, with a capital."""
    name = METRIC_NAMES[metric]
    return name[0].upper() + name[1:]
