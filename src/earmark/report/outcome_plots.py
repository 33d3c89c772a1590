"""The two pictures of the first screen: every variant's score beside chance, and what is probable for every pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from earmark.analysis.aggregate import Aggregate, MetricSummary
from earmark.analysis.compare import Comparison
from earmark.analysis.rows import title_case
from earmark.analysis.verdicts import percent, probability_text
from earmark.report.axes import RIGHT, WIDTH, Axis, color, drawing, figure, percent_axis
from earmark.report.html import Html, tag

ROW = 40
MIN_LABELED = 0.12
"""Segments of a bar that are narrower have no number in them."""


def score_plot(a: Aggregate) -> Html:
    """The score of each variant with its interval, and lines at chance and at the most frequent class."""
    top, bottom = 26, 26 + ROW * len(a.variants)
    x = percent_axis("", RIGHT, WIDTH - RIGHT)
    ticks = [tag("text", x.text(v), x=x(v), y=bottom + 17, class_="tick", text_anchor="middle") for v in x.ticks]
    rule = tag("line", x1=x.start, x2=x.end, y1=bottom, y2=bottom, class_="rule")
    rows = [_score_row(v.variant, v.metrics[a.metric], x, top + ROW * i, i) for i, v in enumerate(a.variants)]
    title = f"{title_case(a.metric)}, %"
    whole = drawing(bottom + 24, f"{title}: scores with 95 % intervals", rule, ticks, _references(a, x, bottom), rows)
    return figure(title, whole)


def _score_row(name: str, m: MetricSummary, x: Axis, top: float, index: int) -> Html:
    if m.pooled is None:
        return tag("g", tag("text", f"{name} –", x=x.start, y=top + 12, class_="row halo"))
    y = top + 24
    interval = "" if m.low is None else f" [{percent(m.low)}, {percent(m.high)}]"
    marks = [tag("text", f"{name}  {percent(m.pooled)}{interval}", x=x.start, y=top + 12, class_="row halo")]
    marks.append(tag("line", x1=x.start, x2=x.end, y1=y, y2=y, class_="guide"))
    if m.low is not None and m.high is not None:
        marks.append(tag("line", x1=x(m.low), x2=x(m.high), y1=y, y2=y, class_=f"error {color(index)}"))
    marks.append(tag("circle", cx=x(m.pooled), cy=y, r=5.5, class_=f"dot {color(index)}"))
    return tag("g", tag("title", f"{name}: {percent(m.pooled)} %{interval}"), marks)


def _references(a: Aggregate, x: Axis, bottom: float) -> list[Html]:
    """Dashed lines at chance and, where that is another score, at the most frequent class."""
    lines = {"chance": a.chance}
    if a.floor > a.chance + 0.005:
        lines["most frequent class"] = a.floor
    marks = []
    for name, value in lines.items():
        at = x(value)
        label = f"{name} {percent(value)}"
        side = {"text_anchor": "end", "x": at - 4} if name == "chance" and len(lines) > 1 and at > 90 else {"x": at + 4}
        marks.append(tag("line", x1=at, x2=at, y1=4, y2=bottom, class_="reference"))
        marks.append(tag("text", label, y=14, class_="tick halo", **side))
    return marks


def probability_plot(comparisons: Sequence[Comparison], index_of: Mapping[str, int]) -> Html:
    """One bar per pair, in three segments: the left one better, practically equal, the right one better.

    Args:
        comparisons: those with probabilities.
        index_of: place of each variant, for its color.
    """
    rows = [_bar(c, index_of, ROW * i) for i, c in enumerate(comparisons)]
    rope = f"{100 * comparisons[0].rope:g} point{'s' * (comparisons[0].rope != 0.01)}"
    note = f"Colored: the probability that this variant is better by more than {rope}. Gray: practically equal."
    svg = drawing(ROW * len(rows) + 4, "Probabilities of better, practically equal and worse", rows)
    return figure("Which is better?", svg, note)


def _bar(c: Comparison, index_of: Mapping[str, int], top: float) -> Html:
    better, equal, worse = c.probabilities or (0.0, 1.0, 0.0)
    start, end = RIGHT, WIDTH - RIGHT
    ours, theirs = color(index_of[c.variant]), color(index_of[c.baseline])
    marks = [
        tag("text", c.variant, x=start, y=top + 12, class_="row"),
        tag("text", c.baseline, x=end, y=top + 12, class_="row", text_anchor="end"),
    ]
    at = start
    for probability, kind in ((better, f"part {ours}"), (equal, "part equal"), (worse, f"part {theirs}")):
        width = probability * (end - start)
        marks.append(tag("rect", x=at, y=top + 17, width=width, height=18, class_=kind))
        if probability >= MIN_LABELED:
            text = probability_text(probability)
            label = "inside equal" if kind == "part equal" else "inside"
            marks.append(tag("text", text, x=at + width / 2, y=top + 30, class_=label, text_anchor="middle"))
        at += width
    texts = [probability_text(p) for p in (better, equal, worse)]
    tip = f"{c.variant} better: {texts[0]}; practically equal: {texts[1]}; {c.baseline} better: {texts[2]}"
    return tag("g", tag("title", tip), marks)
