"""Section: scores of probes by the number of groups per class that they were fitted on."""

from __future__ import annotations

from collections.abc import Sequence

from earmark.analysis.aggregate import Aggregate
from earmark.analysis.few_shots import more_recordings, shot_curves
from earmark.analysis.records import RunRecord
from earmark.analysis.rows import title_case
from earmark.report.axes import BOTTOM, LEFT, RIGHT, TOP, WIDTH, color, drawing, figure, frame, linear_axis, path
from earmark.report.components import Section, figures, legend
from earmark.report.html import Html, join, tag

HEIGHT = 270


def few_shots_section(records: Sequence[RunRecord], a: Aggregate) -> Section | None:
    """The curve of each probe, and whether more recordings would help; None without `probe.shots`."""
    by_variant = {v.variant: [r for r in records if r.variant == v.variant] for v in a.variants}
    curves = shot_curves(by_variant, a.metric)
    if not curves:
        return None
    index = {v.variant: i for i, v in enumerate(a.variants)}
    x_end = max(score.shots for curve in curves.values() for score in curve)
    scores = [v for c in curves.values() for s in c for v in (100 * (s.mean - s.std), 100 * (s.mean + s.std))]
    x = linear_axis("Groups per class in the training subset", (0, x_end), LEFT, WIDTH - RIGHT, _whole, whole=True)
    y = linear_axis(f"{title_case(a.metric)}, %", scores, HEIGHT - BOTTOM, TOP, lambda v: f"{v:.4g}")
    marks: list[Html] = []
    for variant, curve in curves.items():
        xs, ys = [x(s.shots) for s in curve], [y(100 * s.mean) for s in curve]
        marks.append(tag("path", d=path(xs, ys), class_=f"line {color(index[variant])}"))
        for s, at, height in zip(curve, xs, ys, strict=True):
            value = f"{100 * s.mean:.1f} ± {100 * s.std:.1f} %"
            tip = f"{variant}, {s.shots} groups per class, {s.n_clips:.0f} clips: {value}"
            marks.append(
                tag("circle", tag("title", tip), cx=at, cy=height, r=4.5, class_=f"dot {color(index[variant])}")
            )
    title = "Learning curve"
    plot = figure(title, drawing(HEIGHT, f"{title}: score by number of groups per class", frame(x, y, "y"), marks))
    full = {v.variant: v.metrics[a.metric].mean or 0.0 for v in a.variants}
    answers = [tag("p", more_recordings(curve, full[name], name), class_="remark") for name, curve in curves.items()]
    lead = "Probes fitted on few groups per class, mean of repeated draws and folds. Would more recordings help?"
    return Section("shots", "Few shots", "Few shots", lead, join([legend(a), figures([plot]), *answers]))


def _whole(value: float) -> str:
    return f"{value:.0f}"
