"""The sections behind the outcome: learning, classes, groups, calibration, cost, and how it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from earmark.analysis.records import RunRecord
from earmark.analysis.summary import Aggregate
from earmark.analysis.tables import MANY_GROUPS, percent
from earmark.report.components import Section, chip, figures, legend, table
from earmark.report.html import Html, data, join, tag
from earmark.report.learning import learning_curves
from earmark.report.plots import Dot, Point, color, dots_plot, reliability_plot, scatter_plot


def learning_section(records: Sequence[RunRecord], a: Aggregate) -> Section:
    """Curves over epochs."""
    plots, lead = learning_curves(records, {v.variant: i for i, v in enumerate(a.variants)})
    return Section("learning", "Learning", "Learning curves", lead, join([legend(a), figures(plots)]))


def classes_section(a: Aggregate) -> Section:
    """Recall of each class."""
    rows = {name: [v.recall[name] for v in a.variants] for name in a.class_names}
    return Section("classes", "Classes", "Recall of each class", _DOTS, _dots(a, "Recall", rows))


def groups_section(a: Aggregate) -> Section | None:
    """Accuracy of each group, where they are few."""
    if a.n_groups > MANY_GROUPS:
        return None
    groups = sorted({group for v in a.variants for group in v.groups})
    rows = {g: [v.groups[g].accuracy if g in v.groups else None for v in a.variants] for g in groups}
    return Section("groups", "Groups", "Accuracy of each group (speaker, source)", _DOTS, _dots(a, "Accuracy", rows))


_DOTS = "The hardest first; a line joins the variants."


def _dots(a: Aggregate, what: str, rows: Mapping[str, Sequence[float | None]]) -> Html:
    """Shares per name and variant, sorted by their mean, as plots of at most 25 rows and as a table."""
    names = sorted(rows, key=lambda name: (_mean(rows[name]), name))
    dots = [(name, _dots_of_row(a, name, rows[name])) for name in names]
    n_plots = -(-len(dots) // 25)
    size = -(-len(dots) // n_plots)
    plots = []
    for start in range(0, len(dots), size):
        part = "" if n_plots == 1 else f", {start + 1} to {min(start + size, len(dots))} of {len(dots)}"
        plots.append(dots_plot(what + part, f"{what}, %", dots[start : start + size]))
    body = [[tag("th", n, scope="row"), *(tag("td", data(value, percent(value))) for value in rows[n])] for n in names]
    shares = table(what, [f"{what}, %", *(v.variant for v in a.variants)], body)
    numbers = tag("details", tag("summary", "The numbers"), shares, open=n_plots == 1)
    if n_plots == 1:
        return join([legend(a), figures([*plots, numbers])])
    return join([legend(a), figures(plots), numbers])


def _mean(values: Sequence[float | None]) -> float:
    """Of the values there are; without any, more than a share can be, so that it sorts last."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 2.0


def _dots_of_row(a: Aggregate, name: str, values: Sequence[float | None]) -> list[Dot]:
    return [
        Dot(value, color(i), f"{v.variant}, {name}: {100 * value:.1f} %")
        for i, (v, value) in enumerate(zip(a.variants, values, strict=True))
        if value is not None
    ]


def calibration_section(a: Aggregate) -> Section:
    """Reliability diagrams."""
    errors = [v.metrics["ece"].pooled for v in a.variants]
    plots = [
        reliability_plot(v.variant, color(i), v.reliability, data(ece, percent(ece)))
        for i, (v, ece) in enumerate(zip(a.variants, errors, strict=True))
    ]
    lead = (
        "Does 80 % sure mean right four times in five? On the diagonal it does; below it the network is too sure of "
        "itself. Bars along the bottom: how many clips have that confidence."
    )
    return Section("calibration", "Calibration", "Is it as sure as it should be?", lead, figures(plots))


def cost_section(a: Aggregate) -> Section:
    """What accuracy costs, as plots and as a table."""
    plots = []
    if len(a.variants) > 1:
        plots.append(_cost_plot(a, "Parameters", [v.n_parameters for v in a.variants], _thousands))
        seconds = [v.train_seconds for v in a.variants]
        if None not in seconds and min(seconds) > 0:
            plots.append(_cost_plot(a, "Training time of a run, s", seconds, lambda s: f"{s:g}"))
    head = ["Variant", "Parameters", "Multiply-adds per window", "Training time of a run, s", "Device"]
    rows = [
        [
            tag("th", chip(v.variant, i), scope="row"),
            tag("td", data(v.n_parameters, f"{v.n_parameters:,}")),
            tag("td", data(v.multiply_adds, f"{v.multiply_adds:,}")),
            tag("td", data(v.train_seconds, "–" if v.train_seconds is None else f"{v.train_seconds:.0f}")),
            tag("td", ", ".join(v.devices)),
        ]
        for i, v in enumerate(a.variants)
    ]
    lead = "Every variant had the same budget of epochs, unless a note above says otherwise."
    return Section(
        "cost", "Cost", "What it costs", lead, join([figures(plots) if plots else None, table("Costs", head, rows)])
    )


def _cost_plot(a: Aggregate, x_title: str, costs: Sequence[float], text) -> Html:
    accuracy = [v.metrics["accuracy"] for v in a.variants]
    dots = [
        Point(v.variant, color(i), float(cost), m.pooled, m.low, m.high)
        for i, (v, cost, m) in enumerate(zip(a.variants, costs, accuracy, strict=True))
    ]
    return scatter_plot(f"Accuracy by {x_title[0].lower()}{x_title[1:]}", x_title, "Accuracy, %", dots, text)


def _thousands(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"


def method_section(a: Aggregate, records: Sequence[RunRecord]) -> Section:
    """How to read the numbers, and every run."""
    texts = (
        "Two things differ when an experiment is repeated: the clips that are scored, and the training. The bootstrap "
        "draws groups of clips (a speaker, a source recording) with replacement; the corrected resampled t-test "
        "(Nadeau and Bengio 2003) compares folds, seeds averaged, and allows for the clips that their training sets "
        "share; the permutation test exchanges the two variants' predictions group by group.",
        "A difference is claimed when both tests find it at 5 %, after Holm's correction for the number of "
        "comparisons. McNemar's test is given for comparison with the literature; it takes clips as independent and "
        "decides nothing here.",
        "The test part was scored once per run, after training. Runs that chose their epoch on what they report are "
        "refused, and nothing on this page is a best of several runs.",
    )
    head = ["Variant", "Fold", "Seed", "Accuracy, %", "UAR, %", "Epoch kept", "Training, s", "Run"]
    rows = [_run_row(r) for r in sorted(records, key=lambda r: (r.variant, r.cell))]
    runs = tag("details", tag("summary", f"All {len(records)} runs"), table("All runs", head, rows))
    return Section("method", "Method", "How this was measured", "", join([*(tag("p", t) for t in texts), runs]))


def _run_row(r: RunRecord) -> list[Html]:
    accuracy, uar = r.result["metrics"]["accuracy"], r.result["metrics"]["uar"]
    seconds = r.timing.get("train_seconds")
    return [
        tag("th", r.variant, scope="row"),
        tag("td", str(r.config.fold)),
        tag("td", str(r.config.seed)),
        tag("td", data(accuracy, percent(accuracy))),
        tag("td", data(uar, percent(uar))),
        tag("td", f"{r.result['kept_epoch']} of {r.result['epochs']}"),
        tag("td", "–" if seconds is None else f"{seconds:.0f}"),
        tag("td", tag("code", r.id)),
    ]
