"""The sections of the report: what the aggregate says, as text, tables and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from earmark.comparison import Comparison
from earmark.records import RunRecord
from earmark.report.curves import learning_curves
from earmark.report.markup import Html, data, join, tag
from earmark.report.plots import (
    Axis,
    Dot,
    Point,
    color,
    dots_plot,
    forest_plot,
    interval_strip,
    linear_axis,
    reliability_plot,
    scatter_plot,
)
from earmark.summary import METRICS, Aggregate, MetricSummary, VariantSummary
from earmark.tables import LEAK_MARK, MANY_GROUPS, WAIVER_MARK, mark, number, percent
from earmark.wording import METRIC_NAMES, p_text, points, power_text, verdict_text


class Section(NamedTuple):
    id: str
    short: str
    """In the navigation."""
    title: str
    lead: str
    body: Html


def verdict_section(a: Aggregate) -> Section:
    """What came out, in words, and what must be known before believing it."""
    cards = [_verdict(c) for c in a.verdicts] or [_score(v, a.metric) for v in a.variants]
    notes = [tag("li", note, class_="alarm" if "LEAKAGE" in note else None) for note in a.notes]
    warning = tag("div", tag("h3", "Before you believe this"), tag("ul", notes), class_="notes", role="note")
    body = join([tag("ul", cards, class_="verdicts"), warning if notes else None])
    return Section("verdict", "Verdict", "What the runs show", "", body)


def _verdict(c: Comparison) -> Html:
    kinds = {"better": "claim", "worse": "claim", "no difference shown": "open", "not enough runs": "few"}
    size = tag("span", data(c.difference, points(c.difference, True)), tag("small", "points"), class_="size")
    power = tag("p", power_text(c), class_="note") if power_text(c) else None
    return tag("li", size, tag("div", tag("p", verdict_text(c)), power), class_=f"verdict {kinds[c.verdict]}")


def _score(v: VariantSummary, metric: str) -> Html:
    """Where there is nothing to compare with."""
    m = v.metrics[metric]
    size = tag("span", data(m.pooled, percent(m.pooled)), tag("small", "%"), class_="size")
    interval = "" if m.low is None else f", 95 % interval {percent(m.low)} to {percent(m.high)}"
    text = f"{v.variant} reaches {percent(m.pooled)} % {METRIC_NAMES[metric]}{interval}."
    note = tag("p", f"{v.n_runs} run{'s' * (v.n_runs > 1)}; nothing to compare it with.", class_="note")
    return tag("li", size, tag("div", tag("p", text), note), class_="verdict")


def results_section(a: Aggregate) -> Section:
    """The headline table."""
    strips = {m: _strip_axis([v.metrics[m] for v in a.variants]) for m in ("accuracy", "uar")}
    titles = [tag("th", f"{_heading(m)}, %", colspan="3", scope="col") for m in strips]
    rows = [_result_row(v, i, strips) for i, v in enumerate(a.variants)]
    others = [_others_row(v, i) for i, v in enumerate(a.variants)]
    lead = (
        "Of the clips of all folds together, averaged over seeds, with a 95 % interval from drawing groups of clips "
        "again. Beside it, how much single folds and seeds scatter: standard deviation and number."
    )
    tables = (
        _table("Accuracy and average recall", ["Variant", *titles, "Runs"], rows),
        _table("Further metrics", ["Further metrics", *(_heading(m) for m in METRICS[2:])], others),
    )
    return Section("results", "Results", "Results", lead, join([*tables, _mark_legend(a)]))


def _strip_axis(summaries: Sequence[MetricSummary]) -> Axis:
    ends = [v for m in summaries for v in (m.low, m.pooled, m.high) if v is not None]
    return linear_axis("", ends, 6.0, 114.0, str)


def _heading(metric: str) -> str:
    name = METRIC_NAMES[metric]
    return name[0].upper() + name[1:]


def _result_row(v: VariantSummary, index: int, strips: dict[str, Axis]) -> list[Html]:
    name = tag("th", _chip(v.variant, index), " ", tag("b", mark(v), class_="mark") if mark(v) else None, scope="row")
    cells = [cell for m, axis in strips.items() for cell in _metric_cells(v.metrics[m], axis, index)]
    return [name, *cells, tag("td", data(v.n_runs, str(v.n_runs)))]


def _metric_cells(m: MetricSummary, axis: Axis, index: int) -> list[Html]:
    """The value, its interval as drawing and numbers, and its scatter."""
    strip = interval_strip(m.low, m.pooled, m.high, axis, color(index))
    spreads = ((m.std_folds, m.n_folds, "folds"), (m.std_seeds, m.n_seeds, "seeds"))
    lines = [
        tag("small", "± ", data(s, percent(s)), f" over {n} {what}", class_="below") for s, n, what in spreads if n > 1
    ]
    return [
        tag("td", tag("strong", data(m.pooled, percent(m.pooled))), class_="main"),
        tag("td", strip, _interval_text(m), class_="spread"),
        tag("td", lines, class_="spread"),
    ]


def _interval_text(m: MetricSummary, metric: str = "") -> Html | None:
    if m.low is None:
        return None
    low, high = (data(end, number(metric, end)) for end in (m.low, m.high))
    return tag("small", low, " to ", high, class_="below")


def _others_row(v: VariantSummary, index: int) -> list[Html]:
    cells = [
        tag("td", data(v.metrics[m].pooled, number(m, v.metrics[m].pooled)), _interval_text(v.metrics[m], m))
        for m in METRICS[2:]
    ]
    return [tag("th", _chip(v.variant, index), scope="row"), *cells]


def _chip(name: str, index: int) -> Html:
    return tag("span", tag("i", class_=f"chip {color(index)}"), name, class_="name")


def _mark_legend(a: Aggregate) -> Html | None:
    marks = "".join(mark(v) for v in a.variants)
    texts = {
        LEAK_MARK: "training has seen part of what is tested: the score proves nothing",
        WAIVER_MARK: "some groups cross parts by a published exception",
    }
    lines = [tag("p", f"{sign} {text}", class_="note") for sign, text in texts.items() if sign in marks]
    return join(lines)


def _table(label: str, head: Sequence[str | Html], rows: Sequence[Sequence[Html]]) -> Html:
    """A table that scrolls sideways where the page is too narrow."""
    cells = [h if isinstance(h, Html) else tag("th", h, scope="col") for h in head]
    body = tag("tbody", [tag("tr", row) for row in rows])
    table = tag("table", tag("thead", tag("tr", cells)), body)
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=label)


def differences_section(a: Aggregate) -> Section | None:
    """Forest plots and the tests behind the verdicts."""
    if not a.comparisons:
        return None
    metrics = dict.fromkeys([a.metric, *(c.metric for c in a.comparisons)])
    plots = [forest_plot(_heading(m), [c for c in a.comparisons if c.metric == m]) for m in metrics]
    lead = (
        "Each run is paired with the run of the other variant on the same fold and seed. The thick bar is what other "
        "groups of clips could have shown, the thin line adds what training on other folds could have; a difference "
        "is claimed only when neither reaches zero, with a correction for the number of comparisons."
    )
    details = tag("details", tag("summary", "All tests"), _tests_table(a), _ranks(a))
    return Section("differences", "Differences", "Paired differences", lead, join([_figures(plots), details]))


def _tests_table(a: Aggregate) -> Html:
    head = ["Difference", "Metric", "Points", "95 % interval", "Pairs", "Corrected t-test", "Permutation", "McNemar"]
    rows = [_tests_row(c) for c in a.comparisons]
    return _table("All tests", [*head, "Larger p, Holm", "Verdict"], rows)


def _tests_row(c: Comparison) -> list[Html]:
    interval = "–" if c.low is None else [data(c.low, points(c.low, True)), " to ", data(c.high, points(c.high, True))]
    clips = tag("small", f" {c.only_variant} : {c.only_baseline} clips")
    cells = [
        c.metric,
        data(c.difference, points(c.difference, True)),
        interval,
        data(c.n_pairs, str(c.n_pairs)),
        _p_value(c.t_p),
        _p_value(c.permutation_p),
        [_p_value(c.mcnemar_p), clips],
        _p_value(c.p_holm),
        c.verdict,
    ]
    return [tag("th", f"{c.variant} − {c.baseline}", scope="row"), *(tag("td", cell) for cell in cells)]


def _p_value(p: float | None) -> Html | str:
    return "–" if p is None else data(p, p_text(p))


def _ranks(a: Aggregate) -> Html | None:
    if len(a.ranks) < 2:
        return None
    rows = [
        [tag("th", name, scope="row"), tag("td", data(rank, f"{rank:.2f}"))]
        for name, rank in sorted(a.ranks.items(), key=lambda item: item[1])
    ]
    title = tag("h3", f"Average rank over {a.n_ranked_folds} folds, by {METRIC_NAMES[a.metric]}")
    return join([title, _table("Average rank", ["Variant", "Rank"], rows)])


def _figures(figures: Sequence[Html]) -> Html:
    return tag("div", figures, class_="figures")


def _legend(a: Aggregate) -> Html | None:
    if len(a.variants) < 2:
        return None
    return tag("p", [_chip(v.variant, i) for i, v in enumerate(a.variants)], class_="legend")


def learning_section(records: Sequence[RunRecord], a: Aggregate) -> Section:
    """Curves over epochs."""
    plots, lead = learning_curves(records, {v.variant: i for i, v in enumerate(a.variants)})
    return Section("learning", "Learning", "Learning curves", lead, join([_legend(a), _figures(plots)]))


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
    table = _table(what, [f"{what}, %", *(v.variant for v in a.variants)], body)
    numbers = tag("details", tag("summary", "The numbers"), table, open=n_plots == 1)
    if n_plots == 1:
        return join([_legend(a), _figures([*plots, numbers])])
    return join([_legend(a), _figures(plots), numbers])


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
    return Section("calibration", "Calibration", "Is it as sure as it should be?", lead, _figures(plots))


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
            tag("th", _chip(v.variant, i), scope="row"),
            tag("td", data(v.n_parameters, f"{v.n_parameters:,}")),
            tag("td", data(v.multiply_adds, f"{v.multiply_adds:,}")),
            tag("td", data(v.train_seconds, "–" if v.train_seconds is None else f"{v.train_seconds:.0f}")),
            tag("td", ", ".join(v.devices)),
        ]
        for i, v in enumerate(a.variants)
    ]
    lead = "Every variant had the same budget of epochs, unless a note above says otherwise."
    return Section(
        "cost", "Cost", "What it costs", lead, join([_figures(plots) if plots else None, _table("Costs", head, rows)])
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
    runs = tag("details", tag("summary", f"All {len(records)} runs"), _table("All runs", head, rows))
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
