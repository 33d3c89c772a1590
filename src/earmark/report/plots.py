"""The report's plots as SVG, with axes, titles and a tooltip on every mark."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.analysis.breakdown import ReliabilityBin
from earmark.analysis.compare import Comparison
from earmark.analysis.metrics import N_BINS, confidence_bins
from earmark.analysis.verdicts import METRIC_NAMES, end_points, points
from earmark.report.axes import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    bottom_scale,
    drawing,
    figure,
    frame,
    linear_axis,
    log_axis,
    path,
    percent_axis,
    shorten,
)
from earmark.report.html import Html, join, tag


@dataclass(frozen=True)
class Curve:
    """A quantity over epochs: mean and spread, each (E,)."""

    name: str
    color: str
    mean: np.ndarray
    std: np.ndarray | None


def curves_plot(title: str, y_title: str, curves: Sequence[Curve], text: Callable[[float], str]) -> Html:
    """Mean curves over epochs with a band of one standard deviation."""
    height = 270
    ends = [v for c in curves for v in (c.mean - _band(c), c.mean + _band(c))]
    n_epochs = max(len(c.mean) for c in curves)
    x = linear_axis("Epoch", (0, n_epochs), LEFT, WIDTH - RIGHT, lambda v: f"{v:.0f}", whole=True)
    y = linear_axis(y_title, np.concatenate(ends), height - BOTTOM, TOP, text)
    marks = []
    for c in curves:
        xs = [x(e) for e in range(1, len(c.mean) + 1)]
        upper, lower = ([y(v) for v in c.mean + sign * _band(c)] for sign in (1, -1))
        if c.std is not None:
            outline = path([*xs, *reversed(xs)], [*upper, *reversed(lower)]) + "Z"
            marks.append(tag("path", d=outline, class_=f"band {c.color}"))
        last = tag("title", f"{c.name}: {text(float(c.mean[-1]))} after epoch {len(c.mean)}")
        if len(xs) > 1:
            marks.append(tag("path", last, d=path(xs, map(y, c.mean)), class_=f"line {c.color}"))
        else:  # a path of one point is not drawn
            marks.append(tag("line", x1=xs[0], x2=xs[0], y1=lower[0], y2=upper[0], class_=f"error {c.color}"))
            marks.append(tag("circle", last, cx=xs[0], cy=y(c.mean[0]), r=4.5, class_=f"dot {c.color}"))
    return figure(title, drawing(height, f"{title}: {y_title} by epoch", frame(x, y, "y"), marks))


def _band(curve: Curve) -> np.ndarray:
    return np.zeros(len(curve.mean)) if curve.std is None else curve.std


def reliability_plot(name: str, color: str, bins: Sequence[ReliabilityBin], ece: Html) -> Html:
    """Accuracy against confidence, with the fraction of clips per bin as bars along the bottom."""
    height = 330
    x = percent_axis("Confidence, %", LEFT, WIDTH - RIGHT)
    y = percent_axis("Accuracy, %", height - BOTTOM, TOP)
    most = max(b.n_clips for b in bins)
    marks = [tag("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="reference")]
    marks += [_clips_bar(b, x, y, most, color) for b in bins]
    marks.append(
        tag("path", d=path([x(b.confidence) for b in bins], [y(b.accuracy) for b in bins]), class_=f"line {color}")
    )
    marks += [
        tag("circle", _bin_tip(b), cx=x(b.confidence), cy=y(b.accuracy), r=4, class_=f"dot {color}") for b in bins
    ]
    svg = drawing(height, f"Reliability of {name}: accuracy by confidence", frame(x, y), marks)
    return figure(name, svg, join(["Calibration error ", ece, " %"]))


def _clips_bar(b: ReliabilityBin, x: Axis, y: Axis, most: float, color: str) -> Html:
    """The fullest bin takes a quarter of the height."""
    width = (x.end - x.start) / N_BINS
    left = x.start + width * int(confidence_bins(np.array(b.confidence)))
    tall = 0.25 * b.n_clips / most * (y.start - y.end)
    place = {"x": left + 1, "width": width - 2, "y": y.start - tall, "height": tall}
    return tag("rect", _bin_tip(b), class_=f"bar {color}", **place)


def _bin_tip(b: ReliabilityBin) -> Html:
    text = f"confidence {100 * b.confidence:.1f} %, accuracy {100 * b.accuracy:.1f} %, {b.n_clips:.1f} clips"
    return tag("title", text)


def forest_plot(title: str, comparisons: Sequence[Comparison]) -> Html:
    """Differences with their intervals, one row each, around the band that is practically equal.

    Zero and band are drawn beside the intervals only, so that no line crosses a name or a number.
    """
    row_height, top = 46, 4
    bottom = top + row_height * len(comparisons)
    rope = comparisons[0].rope
    ends = [-rope, rope, *(v for c in comparisons for v in _ends(c))]
    unit = f"Difference in {METRIC_NAMES[comparisons[0].metric]}, points"
    x = linear_axis(unit, ends, RIGHT, WIDTH - RIGHT, lambda v: f"{100 * v:+.3g}".replace("-", "−") if v else "0")
    names = {name for c in comparisons for name in (c.variant, c.baseline)}
    rows = [_forest_row(c, names, x, top + row_height * i) for i, c in enumerate(comparisons)]
    name = tag("text", unit, x=WIDTH / 2, y=bottom + 37, class_="axis", text_anchor="middle")
    return figure(
        title, drawing(bottom + 46, f"{title}: {unit}, with 95 % intervals", bottom_scale(x, bottom), name, rows)
    )


def _ends(c: Comparison) -> tuple[float, ...]:
    return (c.difference,) if c.judgment is None else (c.difference, c.judgment.low, c.judgment.high)


def _forest_row(c: Comparison, names: Collection[str], x: Axis, top: float) -> Html:
    y, j = top + 31, c.judgment
    claimed = "claim" if c.verdict in ("better", "worse") else "open"
    interval = "" if j is None else f" [{end_points(j.low, True)}, {end_points(j.high, True)}]"
    label = f"{c.variant} − {c.baseline}"
    shown = " − ".join(shorten(name, 17, names) for name in (c.variant, c.baseline))
    size = points(c.difference, True)
    band = {"x": x(-c.rope), "width": x(c.rope) - x(-c.rope), "y": y - 11, "height": 22}
    marks = [
        tag("text", shown, x=x.start, y=top + 12, class_="row"),
        tag("text", size + interval, x=x.end, y=top + 12, class_="row value", text_anchor="end"),
        tag("rect", **band, class_="rope"),
        tag("line", x1=x(0), x2=x(0), y1=y - 11, y2=y + 11, class_="zero"),
    ]
    if j is not None:
        marks.append(tag("line", x1=x(j.low), x2=x(j.high), y1=y, y2=y, class_="interval"))
    marks.append(tag("circle", cx=x(c.difference), cy=y, r=5, class_="estimate"))
    return tag("g", tag("title", f"{label}: {size} points{interval}, {c.verdict}"), marks, class_=claimed)


@dataclass(frozen=True)
class Dot:
    """A value in a row of `dots_plot`."""

    value: float
    color: str
    tip: str


def dots_plot(title: str, x_title: str, rows: Sequence[tuple[str, Sequence[Dot]]]) -> Html:
    """Fractions from 0 to 1, one row per name, with the dots of a row joined."""
    left, row_height = 128, 22
    height = TOP + row_height * len(rows) + BOTTOM
    x = percent_axis(x_title, left, WIDTH - RIGHT)
    y = Axis("", 0, len(rows), TOP, height - BOTTOM, (), str)
    marks, names = [], [name for name, _ in rows]
    for i, (name, dots) in enumerate(rows):
        at = y(i + 0.5)
        marks.append(
            tag(
                "text",
                tag("title", name),
                shorten(name, 18, names),
                x=left - 10,
                y=at + 4,
                class_="row",
                text_anchor="end",
            )
        )
        if dots:
            low, high = min(d.value for d in dots), max(d.value for d in dots)
            marks.append(tag("line", x1=x(0), x2=x(1), y1=at, y2=at, class_="guide"))
            marks.append(tag("line", x1=x(low), x2=x(high), y1=at, y2=at, class_="joint"))
        marks += [
            tag("circle", tag("title", dot.tip), cx=x(dot.value), cy=at + offset, r=4.5, class_=f"dot {dot.color}")
            for dot, offset in zip(dots, _offsets(dots), strict=True)
        ]
    return figure(title, drawing(height, f"{title}: {x_title}", frame(x, y), marks))


def _offsets(dots: Sequence[Dot]) -> list[float]:
    """How far each dot moves off its line, so that none hides another; nowhere if all are well apart."""
    values = sorted(dot.value for dot in dots)
    crowded = any(b - a < 0.025 for a, b in itertools.pairwise(values))
    step = min(3.0, 10 / max(len(dots) - 1, 1)) if crowded else 0.0
    return [step * (i - (len(dots) - 1) / 2) for i in range(len(dots))]


@dataclass(frozen=True)
class Point:
    """A variant in `scatter_plot`."""

    name: str
    color: str
    x: float
    y: float
    low: float | None
    high: float | None


def scatter_plot(title: str, x_title: str, dots: Sequence[Point], text: Callable[[float], str]) -> Html:
    """Accuracy with its interval by cost, from 0 or, over a wide range, logarithmic; each point with its name."""
    height = 290
    costs = [p.x for p in dots]
    wide = max(costs) > 8 * min(costs)
    x = (log_axis if wide else linear_axis)(x_title, costs if wide else [0, *costs], LEFT, WIDTH - RIGHT, text)
    ends = [v for p in dots for v in (p.y, p.low, p.high) if v is not None]
    y = linear_axis("Accuracy, %", ends, height - BOTTOM, TOP + 8, lambda v: f"{100 * v:.3g}")
    errors, marks, labels = [], [], []
    label_y = -math.inf
    for p in sorted(dots, key=lambda p: -p.y):
        at = x(p.x)
        if p.low is not None and p.high is not None:
            errors.append(tag("line", x1=at, x2=at, y1=y(p.low), y2=y(p.high), class_=f"error {p.color}"))
        tip = tag("title", f"{p.name}: {100 * p.y:.1f} %, {text(p.x)}")
        marks.append(tag("circle", tip, cx=at, cy=y(p.y), r=6, class_=f"dot {p.color}"))
        label_y = max(y(p.y) + 4, label_y + 14)  # names never lie on one another
        side = {"x": at + 11} if at < 0.7 * WIDTH else {"x": at - 11, "text_anchor": "end"}
        labels.append(tag("text", shorten(p.name, 40), y=label_y, class_="row halo", **side))
    return figure(title, drawing(height, f"{title}: Accuracy, % by {x_title}", frame(x, y), errors, marks, labels))


def interval_strip(low: float | None, value: float, high: float | None, axis: Axis, color: str) -> Html:
    """A small interval for a table cell, on an axis that all rows share."""
    marks = [tag("line", x1=axis.start, x2=axis.end, y1=9, y2=9, class_="guide")]
    if low is not None and high is not None:
        marks.append(tag("line", x1=axis(low), x2=axis(high), y1=9, y2=9, class_=f"error {color}"))
    marks.append(tag("circle", cx=axis(value), cy=9, r=4.5, class_=f"dot {color}"))
    return tag("svg", marks, viewBox="0 0 120 18", class_="strip", aria_hidden="true")
