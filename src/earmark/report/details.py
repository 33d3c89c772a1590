"""The sections that explain the outcome: learning, classes, groups, calibration, cost, and how it was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from earmark.analysis import rows
from earmark.analysis.aggregate import Aggregate
from earmark.analysis.breakdown import calibration_error_by_chance, recall_intervals
from earmark.analysis.calibrate import CalibrationReport, calibrate_records
from earmark.analysis.records import RunRecord, are_fixed
from earmark.analysis.rows import Cell, Number, Table, cell
from earmark.analysis.slice_tables import contrast_table, score_name, slice_table, slice_texts
from earmark.analysis.tables import MANY_GROUPS, column_legend
from earmark.analysis.verdicts import percent
from earmark.report.axes import color
from earmark.report.components import Section, dot_of_variant, figures, folded, html_table, legend
from earmark.report.html import Html, data, join, tag
from earmark.report.learning import learning_curves
from earmark.report.plots import Dot, Point, dots_plot, reliability_plot, scatter_plot

MOST_ROWS = 25
"""Of one plot of dots."""


def learning_section(records: Sequence[RunRecord], a: Aggregate) -> Section | None:
    """Curves over epochs; None where no run has any."""
    plots, lead = learning_curves(records, {v.variant: i for i, v in enumerate(a.variants)})
    if not plots:
        return None
    return Section("learning", "Training", "Training curves", lead, join([legend(a), figures(plots)]))


def classes_section(records: Sequence[RunRecord], a: Aggregate) -> Section:
    """Recall of each class."""
    names = {v.variant for v in a.variants}
    intervals = recall_intervals([record for record in records if record.variant in names])
    recall = {name: [v.recall[name] for v in a.variants] for name in a.class_names}
    body = _dots(a, "Recall", recall, rows.recall_table(a, intervals))
    lead = f"{_DOTS} In the table, each number has its 95 % interval below it."
    return Section("classes", "Classes", "Recall of each class", lead, body, collapsed=True)


def groups_section(a: Aggregate) -> Section | None:
    """Accuracy of each group, where they are few."""
    if a.n_groups > MANY_GROUPS:
        return None
    groups = sorted({group for v in a.variants for group in v.groups})
    scores = {g: [v.groups[g].accuracy if g in v.groups else None for v in a.variants] for g in groups}
    body = _dots(a, "Accuracy", scores, rows.group_table(a))
    return Section("groups", "Groups", "Accuracy of each group (speaker, source)", _DOTS, body, collapsed=True)


def slices_section(a: Aggregate) -> Section | None:
    """The slices of the clips that the comparison was asked for."""
    if a.slices is None:
        return None
    s = a.slices
    found = {(e.value, e.variant): e.estimate for e in s.scores}
    scores = {one.value: [found.get((one.value, v.variant)) for v in a.variants] for one in s.slices}
    texts = tag("ul", [tag("li", text) for text in slice_texts(s)])
    name = score_name(s)
    plots = _dots(a, name[0].upper() + name[1:], scores, slice_table(s))
    differences = folded("Differences between variants", html_table(contrast_table(s))) if s.differences else None
    return Section("slices", f"By {s.column}", f"By {s.column}: {name}", _DOTS, join([texts, plots, differences]))


_DOTS = "The hardest first; a line connects the variants."


def _dots(a: Aggregate, what: str, values: Mapping[str, Sequence[float | None]], numbers: rows.Table) -> Html:
    """Scores per name and variant, sorted by their mean, as plots and as a table."""
    names = sorted(values, key=lambda name: (_mean(values[name]), name))
    dots = [(name, _dots_of_row(a, name, values[name])) for name in names]
    n_plots = -(-len(dots) // MOST_ROWS)
    size = -(-len(dots) // n_plots)
    plots = []
    for start in range(0, len(dots), size):
        span = "" if n_plots == 1 else f", {start + 1} to {min(start + size, len(dots))} of {len(dots)}"
        plots.append(dots_plot(what + span, f"{what}, %", dots[start : start + size]))
    return join([legend(a), figures(plots), folded("All numbers", html_table(numbers))])


def _mean(values: Sequence[float | None]) -> float:
    """Of the values that are known; without any, more than a score can be, so that it comes last."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 2.0


def _dots_of_row(a: Aggregate, name: str, values: Sequence[float | None]) -> list[Dot]:
    return [
        Dot(value, color(i), f"{v.variant}, {name}: {100 * value:.1f} %")
        for i, (v, value) in enumerate(zip(a.variants, values, strict=True))
        if value is not None
    ]


def calibration_section(records: Sequence[RunRecord], a: Aggregate) -> Section | None:
    """Reliability diagrams of the variants with probabilities, and what calibration would change; None without any."""
    plots, by_chance = [], []
    for i, v in enumerate(a.variants):
        if v.labels_only:
            continue
        error = v.metrics["ece"].pooled
        plots.append(reliability_plot(v.variant, color(i), v.reliability, data(error, percent(error))))
        by_chance.append(percent(calibration_error_by_chance(v.reliability)))
    if not plots:
        return None
    least, most = min(by_chance, key=float), max(by_chance, key=float)
    lead = (
        "On the diagonal, predictions with 80 % confidence are right in 80 % of the cases; below it the network is "
        "overconfident. The bars along the bottom show how many clips have that confidence. The "
        "calibration error (ECE) of each diagram is the mean over seeds. With as many clips, even calibrated "
        f"probabilities have one of about {least if least == most else f'{least} to {most}'} %, and more where the "
        "clips of a group are alike."
    )
    found = {v.variant: calibrate_records([r for r in records if r.variant == v.variant]) for v in a.variants}
    after = [tag("p", _AFTER), html_table(_calibration_table(found), dot_of_variant)] if any(found.values()) else []
    return Section("calibration", "Calibration", "Calibration", lead, join([figures(plots), *after]), collapsed=True)


def _calibration_table(reports: Mapping[str, CalibrationReport | None]) -> Table:
    """Temperature, log loss in nats and calibration error of each variant before and after, cross-fitted."""
    header = ("variant", "temperature", "log loss", "log loss after", "ECE, %", "ECE after, %")
    table = [(cell(variant), *_calibration_cells(report)) for variant, report in reports.items()]
    return Table("Calibration, cross-fitted", header, tuple(table))


def _calibration_cells(report: CalibrationReport | None) -> tuple[Cell, ...]:
    if report is None:
        return (cell(None),) * 5
    fitted = report.calibration
    losses = [cell(Number(loss, f"{loss:.3f}")) for loss in (report.log_loss_before, report.log_loss_after)]
    errors = [cell(Number(error, percent(error))) for error in (report.error_before, report.error_after)]
    temperature = Number(fitted.temperature, f"{fitted.temperature:.2f}")
    return (cell(temperature, " and bias" if fitted.bias else ""), *losses, *errors)


_AFTER = (
    "A temperature, and a bias per class, are fitted to each variant if they lower its log loss. Before and after are "
    "cross-fitted: each fold is calibrated by the others. The finalize command stores the calibration in the model. "
    "The calibration errors of this table are of the predictions of all seeds together."
)


def cost_section(a: Aggregate) -> Section:
    """Accuracy against parameters, MACs and training time, as plots and as a table."""
    body = join([figures(_cost_plots(a)), html_table(rows.cost_table(a), dot_of_variant)])
    lead = "MACs are multiply-accumulate operations per window; the training time is the mean of the runs."
    if any(v.cost.n_parameters is None for v in a.variants):
        lead += " The costs of imported predictions are not known (–)."
    if not a.equal_machines:
        lead += " Training times are not compared: the runs had different devices or numbers of threads."
    return Section("cost", "Cost", "Cost", lead, body, collapsed=True)


def _cost_plots(a: Aggregate) -> list[Html]:
    if len(a.variants) < 2:
        return []
    costs = [v.cost for v in a.variants]
    plots = []
    parameters = [c.n_parameters for c in costs if c.n_parameters]
    if len(parameters) == len(costs):
        plots.append(_cost_plot(a, "Parameters", parameters, _thousands))
    seconds = [c.train_seconds for c in costs if c.train_seconds]
    if a.equal_machines and len(seconds) == len(costs):
        plots.append(_cost_plot(a, "Training time of a run, s", seconds, lambda s: f"{s:g}"))
    return plots


def _cost_plot(a: Aggregate, x_title: str, costs: Sequence[float], text: Callable[[float], str]) -> Html:
    accuracy = [v.metrics["accuracy"] for v in a.variants]
    dots = [
        Point(v.variant, color(i), float(cost), m.pooled or 0.0, m.low, m.high)
        for i, (v, cost, m) in enumerate(zip(a.variants, costs, accuracy, strict=True))
    ]
    return scatter_plot(f"Accuracy by {x_title[0].lower()}{x_title[1:]}", x_title, dots, text)


def _thousands(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"


METHOD = (
    "A comparison has one estimate, one interval and one p. The differences of all clips in all pairs of runs go "
    "through one model: a mean difference, plus what varies with groups of clips (a speaker, a source recording), "
    "with seeds and with training sets. Its interval covers all of these. Where the runs say little about one of "
    "them (few seeds, one training set), a weakly informative prior stands in for it.",
    "A variant is better when the 95 % interval, for all comparisons together, excludes 0 and is not wholly within the "
    "gray band. Two variants are practically equal when it is, or when their difference lies within the band with a "
    "probability of 95 %, or more with several comparisons; and undecided otherwise.",
    "Runs that selected their epoch on the clips that they report are refused.",
)


def method_section(records: Sequence[RunRecord]) -> Section:
    """How to read the numbers, and every run."""
    texts = (*METHOD, column_legend(are_fixed(records)))
    runs = folded(f"All {len(records)} runs", html_table(rows.run_table(records)))
    return Section("method", "Method", "Method", "", join([*(tag("p", t) for t in texts), runs]), collapsed=True)
