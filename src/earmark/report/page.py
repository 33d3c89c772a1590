"""The page as a whole: sections in order, one style sheet, one script, written as a single file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from earmark.analysis.aggregate import aggregate
from earmark.analysis.records import RunRecord
from earmark.analysis.summary import Aggregate
from earmark.analysis.tables import protocol
from earmark.audit.record import AuditReport
from earmark.report.audit import audit_section
from earmark.report.components import Section
from earmark.report.confusion import confusion_section
from earmark.report.details import (
    calibration_section,
    classes_section,
    cost_section,
    groups_section,
    learning_section,
    method_section,
)
from earmark.report.html import Html, join, tag
from earmark.report.mistakes import find_mistakes, gallery
from earmark.report.verdict import differences_section, results_section, verdict_section
from earmark.runtime.files import write_text


def write_report(
    records: Sequence[RunRecord],
    path: str | Path,
    metric: str = "accuracy",
    baseline: str = "",
    audit: AuditReport | None = None,
) -> Aggregate:
    """Write the report on finished runs as one HTML file.

    Args:
        records: the runs of one comparison, from `earmark.analysis.aggregate.read_runs`.
        path: the file to write; its folder is made.
        metric: what verdicts are about, `accuracy` or `uar`.
        baseline: the variant that all others are compared with; empty compares every two.
        audit: what the audit of the recordings found, to be shown as a section.

    Returns:
        The aggregate whose numbers the page prints.

    Raises:
        RunError: runs that must not be put into one table (see `earmark.analysis.records.check_comparable`).
    """
    summary = aggregate(records, metric, baseline)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, report_page(summary, records, audit))
    return summary


def report_page(summary: Aggregate, records: Sequence[RunRecord], audit: AuditReport | None = None) -> str:
    """The HTML of the report."""
    sections = [
        verdict_section(summary),
        results_section(summary),
        differences_section(summary),
        learning_section(records, summary),
        confusion_section(summary),
        classes_section(summary),
        groups_section(summary),
        calibration_section(summary),
        cost_section(summary),
        _mistakes_section(records),
        audit_section(audit) if audit else None,
        method_section(summary, records),
    ]
    shown = [section for section in sections if section is not None]
    navigation = tag("ul", [tag("li", tag("a", s.short, href=f"#{s.id}")) for s in shown])
    asset = files("earmark.report") / "assets"
    template = Template((asset / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=join(f"{summary.name}: comparison of {len(summary.variants)} variants"),
        name=join(summary.name),
        protocol=join(protocol(summary)),
        style=(asset / "style.css").read_text(encoding="utf-8"),
        script=(asset / "script.js").read_text(encoding="utf-8"),
        navigation=navigation,
        body=join(_render(section) for section in shown),
    )


def _render(section: Section) -> Html:
    heading = tag("h2", section.title, id=f"{section.id}-title")
    lead = tag("p", section.lead, class_="lead") if section.lead else None
    whole = tag("section", heading, lead, section.body, id=section.id, aria_labelledby=f"{section.id}-title")
    return Html(re.sub(r"(?<=\bp) (=|&lt;) | (?=%)", lambda m: m[0].replace(" ", "\N{NO-BREAK SPACE}"), whole))


def _mistakes_section(records: Sequence[RunRecord]) -> Section:
    mistakes = find_mistakes(records)
    lead = (
        "Clips that all runs together get wrong, the surest first. Listen before you blame the network: the label may "
        "be wrong, or the sound may not be there."
    )
    body = gallery(mistakes) if mistakes else tag("p", "On average over the runs, no clip is mistaken.")
    return Section("mistakes", "Mistakes", "The most confident mistakes", lead, body)
