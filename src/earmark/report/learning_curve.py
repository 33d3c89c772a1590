"""Section: learning curves, the score by the number of training groups; and the plot that few shots share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from earmark.analysis.aggregate import Aggregate
from earmark.analysis.learning_curve import CurvePoint
from earmark.analysis.rows import curve_table, title_case
from earmark.analysis.verdicts import curve_text
from earmark.report.axes import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    color,
    drawing,
    figure,
    frame,
    linear_axis,
    log_axis,
    path,
)
from earmark.report.components import Section, figures, folded, html_table, legend
from earmark.report.html import Html, join, tag

HEIGHT = 270
WIDE = 4
"""Beyond this ratio of its ends, the number of groups is on a logarithmic axis."""


class Score(NamedTuple):
    """A mark of `groups_plot`: a score in percent with its spread."""

    n_groups: float
    mean: float
    std: float
    tip: str


def learning_curve_section(a: Aggregate) -> Section | None:
    """The curve of each variant, and whether more recordings would help; None without `train_fractions`."""
    if not a.curves:
        return None
    index = {v.variant: i for i, v in enumerate(a.variants)}
    curves = {index[c.variant]: [_score(c.variant, p) for p in c.points] for c in a.curves}
    plot = groups_plot("Groups in the training subset", f"{title_case(a.metric)}, %", curves)
    answers = [tag("p", curve_text(curve), class_="remark") for curve in a.curves]
    lead = (
        "Would more recordings help? Every variant is also trained on fractions of the training groups, stratified by "
        "class, with as many steps as with all of them; the test clips are the same. A bar is one standard deviation "
        "over draws."
    )
    numbers = folded("All numbers", html_table(curve_table(a)))
    return Section("curve", "More data", "Learning curve", lead, join([legend(a), figures([plot]), *answers, numbers]))


def _score(variant: str, p: CurvePoint) -> Score:
    spread = "" if p.std is None else f" ± {100 * p.std:.1f}"
    tip = f"{variant}, {p.n_groups:.0f} groups, {p.n_clips:.0f} clips: {100 * p.mean:.1f}{spread} %"
    return Score(p.n_groups, 100 * p.mean, 100 * (p.std or 0.0), tip)


def groups_plot(x_title: str, y_title: str, curves: Mapping[int, Sequence[Score]]) -> Html:
    """Scores by the number of groups; each curve in the color of its variant's place."""
    numbers = [s.n_groups for scores in curves.values() for s in scores]
    x = _groups_axis(x_title, numbers)
    ends = [v for scores in curves.values() for s in scores for v in (s.mean - s.std, min(s.mean + s.std, 100.0))]
    y = linear_axis(y_title, ends, HEIGHT - BOTTOM, TOP, lambda v: f"{v:.4g}")
    marks = [mark for place, scores in curves.items() for mark in _marks(scores, x, y, color(place))]
    return figure(y_title, drawing(HEIGHT, f"{y_title} by {x_title}", frame(x, y, "y"), marks))


def _groups_axis(title: str, numbers: Sequence[float]) -> Axis:
    """Logarithmic over a wide range, with a tick for each of a few numbers that are well apart."""
    if max(numbers) > WIDE * min(numbers):
        axis = log_axis(title, numbers, LEFT, WIDTH - RIGHT, lambda v: f"{v:.0f}")
    else:
        axis = linear_axis(title, (0, max(numbers)), LEFT, WIDTH - RIGHT, lambda v: f"{v:.0f}", whole=True)
    places = sorted(set(numbers))
    apart = all(axis(b) - axis(a) > 30 for a, b in pairwise(places))
    return replace(axis, ticks=tuple(places)) if apart else axis


def _marks(scores: Sequence[Score], x: Axis, y: Axis, color_class: str) -> list[Html]:
    """The line, the spread of the draws, and the dots."""
    marks = [tag("path", d=path([x(s.n_groups) for s in scores], [y(s.mean) for s in scores]), class_="line")]
    for s in scores:
        at, low, high = x(s.n_groups), y(s.mean - s.std), y(min(s.mean + s.std, y.high))
        if s.std:
            marks.append(tag("line", x1=at, x2=at, y1=low, y2=high, class_="error thin"))
        marks.append(tag("circle", tag("title", s.tip), cx=at, cy=y(s.mean), r=4.5, class_="dot"))
    return [tag("g", marks, class_=color_class)]
