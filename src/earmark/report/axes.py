"""Axes, frames and figures that all plots of the report share: SVG drawn for a width of 440.

Colors come from the page's style sheet: an element of class ``v3`` has the color of the third variant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from earmark.report.html import Html, tag

WIDTH = 440
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 12, 46
N_COLORS = 16
"""In the style sheet; lines of the second half are dashed, too."""
N_TICKS = 5
"""Steps on an axis, approximately."""


def color(index: int) -> str:
    """The class that has the color of the variant with this index."""
    return f"v{index % N_COLORS + 1}"


def shorten(name: str, length: int, others: Iterable[str] = ()) -> str:
    """A name without its middle where there is no room for all of it: names of groups often differ at the end.

    Where its middle alone tells it apart from one of the others, its end or its beginning is left out.
    """
    kept = length - 1
    cuts = ((kept // 2, kept - kept // 2), (kept, 0), (0, kept))
    others = [other for other in others if other != name]
    apart = (cut for cut in cuts if _cut(name, *cut) not in {_cut(other, *cut) for other in others})
    return _cut(name, *next(apart, cuts[0]))


def _cut(name: str, first: int, last: int) -> str:
    """The first and last characters of a name that is longer than those with a dot for what is left out."""
    return name if len(name) <= first + 1 + last else f"{name[:first]}…{name[len(name) - last :]}"


@dataclass(frozen=True)
class Axis:
    """A scale from values to coordinates, with its ticks."""

    title: str
    low: float
    high: float
    start: float
    """Coordinate of `low`."""
    end: float
    """Coordinate of `high`."""
    ticks: tuple[float, ...]
    text: Callable[[float], str]
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def linear_axis(
    title: str, values: Iterable[float], start: float, end: float, text: Callable[[float], str], whole: bool = False
) -> Axis:
    """An axis whose ends are round numbers around the values; `whole`: its ticks are whole numbers."""
    values = list(values)
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    step = _round_step((high - low) / N_TICKS, whole)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(i * step for i in range(first, last + 1))
    return Axis(title, ticks[0], ticks[-1], start, end, ticks, text)


def _round_step(step: float, whole: bool) -> float:
    step = max(step, 1.0) if whole else step
    power = 10.0 ** math.floor(math.log10(step))
    return next(
        m * power for m in ((1, 2, 3, 5, 10) if whole else (1, 2, 2.5, 5, 10)) if m * power >= step * (1 - 1e-9)
    )


def log_axis(title: str, values: Sequence[float], start: float, end: float, text: Callable[[float], str]) -> Axis:
    """A logarithmic axis with ticks at 1, 2 and 5 times the powers of ten."""
    low, high = min(values) / 1.3, max(values) * 1.3
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
    whole = [t for t in ticks if math.log10(t) == round(math.log10(t))]
    return Axis(title, low, high, start, end, tuple(whole if len(whole) > 2 else ticks), text, True)


def percent_axis(title: str, start: float, end: float) -> Axis:
    """Fractions from 0 to 1 in percent."""
    return Axis(title, 0.0, 1.0, start, end, (0.0, 0.25, 0.5, 0.75, 1.0), lambda v: f"{100 * v:.0f}")


def bottom_scale(x: Axis, y: float) -> list[Html]:
    """The line of an axis below a plot without a frame, with its tick labels."""
    rule = tag("line", x1=x.start, x2=x.end, y1=y, y2=y, class_="rule")
    return [rule, *(tag("text", x.text(v), x=x(v), y=y + 17, class_="tick", text_anchor="middle") for v in x.ticks)]


def figure(title: str, drawing: Html, note: str | Html = "") -> Html:
    """A drawing with its title above and a note below."""
    return tag("figure", tag("figcaption", title), drawing, tag("p", note, class_="note") if note else None)


def drawing(height: float, title: str, *children: Any) -> Html:
    """The SVG element; `title` is what a screen reader says."""
    box = f"0 0 {WIDTH} {height:g}"
    return tag("svg", tag("title", title), *children, viewBox=box, role="img", class_="plot")


def frame(x: Axis, y: Axis, grid: str = "xy") -> Html:
    """Grid lines, tick labels and axis titles."""
    top, bottom = min(y.start, y.end), max(y.start, y.end)
    left, right = min(x.start, x.end), max(x.start, x.end)
    parts: list[Html] = []
    for value in x.ticks:
        at = x(value)
        parts += [tag("line", x1=at, x2=at, y1=top, y2=bottom, class_="guide")] * ("x" in grid)
        parts += [tag("text", x.text(value), x=at, y=bottom + 17, class_="tick", text_anchor="middle")]
    for value in y.ticks:
        at = y(value)
        parts += [tag("line", x1=left, x2=right, y1=at, y2=at, class_="guide")] * ("y" in grid)
        parts += [tag("text", y.text(value), x=left - 8, y=at + 4, class_="tick", text_anchor="end")]
    middle = (top + bottom) / 2
    turned = f"translate(13 {middle:.1f}) rotate(-90)"
    parts += [
        tag("text", x.title, x=(left + right) / 2, y=bottom + 37, class_="axis", text_anchor="middle"),
        tag("text", y.title, transform=turned, class_="axis", text_anchor="middle"),
    ]
    return tag("g", parts)


def path(xs: Iterable[float], ys: Iterable[float]) -> str:
    """The `d` of a polyline."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True))
