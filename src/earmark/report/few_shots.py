"""Section: scores of probes by the number of groups per class that they were fitted on."""

from __future__ import annotations

from collections.abc import Sequence

from earmark.analysis.aggregate import Aggregate
from earmark.analysis.few_shots import ShotScore, last_gain, shot_curves
from earmark.analysis.records import RunRecord
from earmark.analysis.rows import title_case
from earmark.report.components import Section, figures, legend
from earmark.report.html import join, tag
from earmark.report.learning_curve import Score, groups_plot


def few_shots_section(records: Sequence[RunRecord], a: Aggregate) -> Section | None:
    """The curve of each probe; None without `probe.shots`."""
    by_variant = {v.variant: [r for r in records if r.variant == v.variant] for v in a.variants}
    curves = shot_curves(by_variant, a.metric)
    if not curves:
        return None
    index = {v.variant: i for i, v in enumerate(a.variants)}
    scores = {index[name]: [_score(name, s) for s in curve] for name, curve in curves.items()}
    plot = groups_plot("Groups per class in training", f"{title_case(a.metric)}, %", scores)
    full = {v.variant: v.metrics[a.metric].mean or 0.0 for v in a.variants}
    gains = [tag("p", last_gain(curve, full[name], name), class_="remark") for name, curve in curves.items()]
    lead = (
        "Probes fitted on few groups of clips per class, mean of repeated draws and folds. A bar is one standard "
        "deviation over draws."
    )
    return Section("shots", "Few shots", "Few shots", lead, join([legend(a), figures([plot]), *gains]))


def _score(variant: str, s: ShotScore) -> Score:
    value = f"{100 * s.mean:.1f} ± {100 * s.std:.1f} %"
    tip = f"{variant}, {s.shots} groups per class, {s.n_clips:.0f} clips: {value}"
    return Score(s.shots, 100 * s.mean, 100 * s.std, tip)
