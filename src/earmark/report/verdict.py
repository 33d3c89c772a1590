"""The outcome: verdicts in words, the headline tables, the paired differences and their tests."""

from __future__ import annotations

from collections.abc import Sequence

from earmark.analysis.compare import Comparison
from earmark.analysis.summary import METRICS, Aggregate, MetricSummary, VariantSummary
from earmark.analysis.tables import LEAK_MARK, WAIVER_MARK, mark, number, percent
from earmark.analysis.verdicts import METRIC_NAMES, p_text, points, power_text, verdict_text
from earmark.report.components import Section, chip, figures, heading, table
from earmark.report.html import Html, data, join, tag
from earmark.report.plots import Axis, color, forest_plot, interval_strip, linear_axis
from earmark.runtime.console import pluralize


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
    note = tag("p", f"{pluralize(v.n_runs, 'run')}; nothing to compare it with.", class_="note")
    return tag("li", size, tag("div", tag("p", text), note), class_="verdict")


def results_section(a: Aggregate) -> Section:
    """The headline table."""
    strips = {m: _strip_axis([v.metrics[m] for v in a.variants]) for m in ("accuracy", "uar")}
    titles = [tag("th", f"{heading(m)}, %", colspan="3", scope="col") for m in strips]
    rows = [_result_row(v, i, strips) for i, v in enumerate(a.variants)]
    others = [_others_row(v, i) for i, v in enumerate(a.variants)]
    lead = (
        "Of the clips of all folds together, averaged over seeds, with a 95 % interval from drawing groups of clips "
        "again. Beside it, how much single folds and seeds scatter: standard deviation and number."
    )
    tables = (
        table("Accuracy and average recall", ["Variant", *titles, "Runs"], rows),
        table("Further metrics", ["Further metrics", *(heading(m) for m in METRICS[2:])], others),
    )
    return Section("results", "Results", "Results", lead, join([*tables, _mark_legend(a)]))


def _strip_axis(summaries: Sequence[MetricSummary]) -> Axis:
    ends = [v for m in summaries for v in (m.low, m.pooled, m.high) if v is not None]
    return linear_axis("", ends, 6.0, 114.0, str)


def _result_row(v: VariantSummary, index: int, strips: dict[str, Axis]) -> list[Html]:
    name = tag("th", chip(v.variant, index), " ", tag("b", mark(v), class_="mark") if mark(v) else None, scope="row")
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
    return [tag("th", chip(v.variant, index), scope="row"), *cells]


def _mark_legend(a: Aggregate) -> Html | None:
    marks = "".join(mark(v) for v in a.variants)
    texts = {
        LEAK_MARK: "training has seen part of what is tested: the score proves nothing",
        WAIVER_MARK: "some groups cross parts by a published exception",
    }
    lines = [tag("p", f"{sign} {text}", class_="note") for sign, text in texts.items() if sign in marks]
    return join(lines)


def differences_section(a: Aggregate) -> Section | None:
    """Forest plots and the tests behind the verdicts."""
    if not a.comparisons:
        return None
    metrics = dict.fromkeys([a.metric, *(c.metric for c in a.comparisons)])
    plots = [forest_plot(heading(m), [c for c in a.comparisons if c.metric == m]) for m in metrics]
    lead = (
        "Each run is paired with the run of the other variant on the same fold and seed. The thick bar is what other "
        "groups of clips could have shown, the thin line adds what training on other folds could have; a difference "
        "is claimed only when neither reaches zero, with a correction for the number of comparisons."
    )
    details = tag("details", tag("summary", "All tests"), _tests_table(a), _ranks(a))
    return Section("differences", "Differences", "Paired differences", lead, join([figures(plots), details]))


def _tests_table(a: Aggregate) -> Html:
    head = ["Difference", "Metric", "Points", "95 % interval", "Pairs", "Corrected t-test", "Permutation", "McNemar"]
    rows = [_tests_row(c) for c in a.comparisons]
    return table("All tests", [*head, "Larger p, Holm", "Verdict"], rows)


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
    return join([title, table("Average rank", ["Variant", "Rank"], rows)])
