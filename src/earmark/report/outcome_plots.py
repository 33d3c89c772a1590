"""The two pictures of the first screen: every variant's score beside chance, and what is probable for every pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from earmark.analysis.aggregate import Aggregate, MetricSummary
from earmark.analysis.compare import Comparison
from earmark.analysis.rows import title_case
from earmark.analysis.verdicts import ordered, percent, probability_text, rope_text
from earmark.report.axes import WIDTH, Axis, bottom_scale, color, drawing, figure, percent_axis, shorten
from earmark.report.html import Html, tag

ROW = 40
NAME_WIDTH, VALUE_WIDTH = 100, 126
LINE, CHARACTER = 15, 6.5
"""Height of a line of text, and the width of a character."""
SAME_LINE = 0.005
"""Scores that differ by no more share a line."""
MIN_LABELED = 0.12
"""Segments of a bar that are narrower have no number in them."""


def score_plot(a: Aggregate) -> Html:
    """The score of each variant with its interval, and lines at chance and at the references."""
    lines = _reference_lines(a)
    row, top = 30, LINE * len(lines) + 10
    bottom = top + row * len(a.variants)
    x = percent_axis("", NAME_WIDTH, WIDTH - VALUE_WIDTH)
    names = [v.variant for v in a.variants]
    rows = [_score_row(names, i, v.metrics[a.metric], x, top + row * (i + 0.5)) for i, v in enumerate(a.variants)]
    title = f"{title_case(a.metric)}, %"
    marks = (bottom_scale(x, bottom), _references(lines, x, bottom), rows)
    return figure(title, drawing(bottom + 24, f"{title}: scores with 95 % intervals", *marks))


def _score_row(names: Sequence[str], index: int, m: MetricSummary, x: Axis, y: float) -> Html:
    name = names[index]
    interval = "" if m.low is None else f" [{percent(m.low)}, {percent(m.high)}]"
    marks = [
        tag("text", tag("title", name), shorten(name, 13, names), x=0, y=y + 4, class_="row"),
        tag("line", x1=x.start, x2=x.end, y1=y, y2=y, class_="guide"),
        tag("text", percent(m.pooled) + interval, x=WIDTH, y=y + 4, class_="row value", text_anchor="end"),
    ]
    if m.low is not None and m.high is not None:
        marks.append(tag("line", x1=x(m.low), x2=x(m.high), y1=y, y2=y, class_=f"error {color(index)}"))
    if m.pooled is not None:
        marks.append(tag("circle", cx=x(m.pooled), cy=y, r=5.5, class_=f"dot {color(index)}"))
    return tag("g", tag("title", f"{name}: {percent(m.pooled)} %{interval}"), marks)


def _reference_lines(a: Aggregate) -> list[tuple[str, float]]:
    """Chance, and every reference that has another score, the lowest first; equal ones share a line."""
    scores = [(r.name, r.score(a.metric)) for r in a.references.references] or [("most frequent class", a.floor)]
    lines = [("chance", a.chance)]
    for name, value in sorted(scores, key=lambda line: line[1]):
        if abs(value - lines[-1][1]) > SAME_LINE:
            lines.append((name, value))
        elif lines[-1][0] != "chance":
            lines[-1] = (f"{lines[-1][0]}, {name}", lines[-1][1])
    return lines


def _references(lines: Sequence[tuple[str, float]], x: Axis, bottom: float) -> list[Html]:
    """Dashed lines with their names beside their upper ends, the lowest on top, so that no line crosses a name."""
    marks, labels = [], []
    for i, (name, value) in enumerate(lines):
        at, y = x(value), LINE * (i + 1)
        label = f"{name} {percent(value)}"
        left = min(at + 5, WIDTH - CHARACTER * len(label))
        marks.append(tag("line", x1=at, x2=at, y1=y - 9, y2=bottom, class_="reference"))
        labels.append(tag("text", label, x=left, y=y, class_="tick halo"))
    return marks + labels


def probability_plot(comparisons: Sequence[Comparison], index_of: Mapping[str, int]) -> Html:
    """One bar per pair, in three segments: the higher score better, practically equal, the other one better.

    Args:
        comparisons: those with a judgment.
        index_of: place of each variant, for its color.
    """
    rows = [_bar(c, index_of, ROW * i) for i, c in enumerate(comparisons)]
    note = (
        f"In color: the probability that this variant is better by more than {rope_text(comparisons[0])}. "
        "Gray: practically equal."
    )
    svg = drawing(ROW * len(rows) + 2, "Probabilities of better, practically equal and worse", rows)
    return figure("Which one is better?", svg, note)


def _bar(c: Comparison, index_of: Mapping[str, int], top: float) -> Html:
    assert c.judgment is not None, "only comparisons with a judgment have a bar"
    first, second = ordered(c)
    better, worse = c.judgment.probability_better, c.judgment.probability_worse
    if first != c.variant:
        better, worse = worse, better
    length = 17 if c.verdict == "undecided" else 26  # the word is between the names
    marks = [
        tag("text", shorten(first, length, index_of), x=0, y=top + 12, class_="row"),
        tag("text", shorten(second, length, index_of), x=WIDTH, y=top + 12, class_="row", text_anchor="end"),
    ]
    if c.verdict == "undecided":
        marks.append(tag("text", "undecided", x=WIDTH / 2, y=top + 12, class_="tick", text_anchor="middle"))
    equal = c.judgment.probability_equal
    segments = ((better, color(index_of[first])), (equal, "equal"), (worse, color(index_of[second])))
    start = 0.0
    for probability, kind in segments:
        marks += _segment(probability, kind, start, top)
        start += probability * WIDTH
    texts = [probability_text(p) for p in (better, equal, worse)]
    tip = f"{first} better: {texts[0]}; practically equal: {texts[1]}; {second} better: {texts[2]}"
    return tag("g", tag("title", tip), marks)


def _segment(probability: float, kind: str, start: float, top: float) -> list[Html]:
    width = probability * WIDTH
    marks = [tag("rect", x=start, y=top + 17, width=width, height=18, class_=f"segment {kind}")]
    if probability >= MIN_LABELED:
        place = {"x": start + width / 2, "y": top + 30, "text_anchor": "middle"}
        label = "inside equal" if kind == "equal" else "inside"
        marks.append(tag("text", probability_text(probability), class_=label, **place))
    return marks
