"""The numbers of the outcome: scores with their spread, other metrics, and the paired differences."""

from __future__ import annotations

from collections.abc import Sequence

from earmark.analysis import rows
from earmark.analysis.aggregate import Aggregate, MetricSummary
from earmark.analysis.floor import REFERENCE_LEGEND
from earmark.analysis.verdicts import PAIRING, covered
from earmark.report.axes import Axis, color, linear_axis
from earmark.report.components import Decorate, Section, dot, dot_of_variant, figures, folded, html_table, titled
from earmark.report.html import Html, join, tag
from earmark.report.plots import forest_plot, interval_strip

INTERVAL_COLUMN = 2
"""Where the tables of one metric have its interval."""


def results_section(a: Aggregate) -> Section:
    """Tables of accuracy, average recall and the other metrics."""
    lead = (
        "Scores of the clips of all folds together, averaged over seeds. The 95 % interval covers which "
        f"{covered(a.fixed)} happened to be drawn; the standard deviations are those of single folds and seeds."
    )
    tables = [titled(rows.metric_table(a, metric), _decorate(a, metric)) for metric in ("accuracy", "uar")]
    others = titled(rows.metrics_table(a), dot_of_variant)
    settings = titled(rows.settings_table(a), words=True) if rows.settings_table(a).rows else None
    return Section("results", "Results", "Results", lead, join([*tables, others, _mark_legend(a), settings]))


def _decorate(a: Aggregate, metric: str) -> Decorate:
    """The dot of each variant, and its interval as a drawing on an axis that all rows have in common."""
    summaries = [v.metrics[metric] for v in a.variants]
    axis = _strip_axis(summaries)

    def decorate(row: int, column: int) -> Html | None:
        if row >= len(summaries):
            return None  # a reference
        m = summaries[row]
        if column == INTERVAL_COLUMN and axis is not None and m.pooled is not None:
            return interval_strip(m.low, m.pooled, m.high, axis, color(row))
        return dot(row) if column == 0 else None

    return decorate


def _strip_axis(summaries: Sequence[MetricSummary]) -> Axis | None:
    ends = [v for m in summaries for v in (m.low, m.pooled, m.high) if v is not None]
    return linear_axis("", ends, 6.0, 114.0, str) if ends else None


def _mark_legend(a: Aggregate) -> Html:
    lines = rows.mark_legend(a) + [REFERENCE_LEGEND] * bool(a.references.references)
    return join(tag("p", line, class_="note") for line in lines)


def differences_section(a: Aggregate) -> Section | None:
    """Forest plots, and the numbers of every comparison."""
    if not a.comparisons:
        return None
    metrics = dict.fromkeys([a.metric, *(c.metric for c in a.comparisons)])
    plots = [forest_plot(rows.title_case(m), [c for c in a.comparisons if c.metric == m]) for m in metrics]
    lead = (
        f"{PAIRING} A bar is the 95 % interval of the difference over {covered(a.fixed)}, for all comparisons of a "
        "metric together; the gray band is practically equal."
    )
    ranks = titled(rows.rank_table(a)) if len(a.ranks) > 1 else None
    numbers = folded("All numbers", html_table(rows.difference_table(a)), ranks)
    return Section("differences", "Differences", "Paired differences", lead, join([figures(plots), numbers]))
