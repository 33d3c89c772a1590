"""What the audit of the recordings found, as a section of the report."""

from __future__ import annotations

from collections.abc import Sequence

from earmark.audit.findings import findings, headline, tables
from earmark.audit.record import AuditReport
from earmark.report.components import Section, table
from earmark.report.html import Html, join, tag


def audit_section(report: AuditReport) -> Section:
    """The verdict, worst first, and the details behind it; all text is escaped."""
    rows = [(f.level, f.check, f.found, f.remedy) for f in findings(report)]
    verdict = tag("div", _table("What was found", ("Level", "Check", "Found", "What to do"), rows), class_="words")
    details = [
        tag("details", tag("summary", caption), _table(caption, head, rows))
        for caption, (head, *rows) in tables(report)
    ]
    lead = (
        "What in the recordings and in the split would inflate results: copies and groups on both sides, labels that "
        f"the files themselves give away. {headline(report)}."
    )
    return Section("audit", "Audit", "Audit of the recordings", lead, join([verdict, details]))


def _table(label: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Html:
    """The first cell of each row names it."""
    return table(label, head, [[tag("th", row[0], scope="row"), *(tag("td", c) for c in row[1:])] for row in rows])
