"""What the audit of the recordings found, as a section of the report."""

from __future__ import annotations

from collections.abc import Sequence

from earmark.analysis.records import RunRecord
from earmark.analysis.rows import Table, cell
from earmark.audit.findings import findings, headline, tables
from earmark.audit.record import AuditError, AuditReport
from earmark.report.components import Section, folded, html_table
from earmark.report.html import Html, join

UNCHECKED = "The runs do not record which recordings they used, so this audit may be of others."


def audit_section(report: AuditReport, records: Sequence[RunRecord]) -> Section:
    """The verdict, most serious first, and the details; all text is escaped.

    Raises:
        AuditError: the audit is of other recordings than the runs.
    """
    used = {record.manifest_digest for record in records}
    if used - {"", report.manifest_digest}:
        raise AuditError(
            f"audit: it is of other recordings ({report.n_clips} clips in {report.n_groups} groups) than the runs, or "
            "of their manifest before rows were changed; run `earmark audit CLIPS.csv --json FILE` with it as it is now"
        )
    found = [(f.level, f.check, f.found, f.remedy) for f in findings(report)]
    verdict = _table("Findings", ("Level", "Check", "Found", "What to do"), found, words=True)
    details = [folded(caption, _table(caption, head, rows)) for caption, (head, *rows) in tables(report)]
    lead = (
        "What in the recordings and in the split would inflate results: copies and groups in several subsets, labels "
        f"that properties of the files give away. {headline(report)}."
    )
    lead = lead if "" not in used else f"{lead} {UNCHECKED}"
    return Section("audit", "Audit", "Audit of the recordings", lead, join([verdict, details]), collapsed=True)


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], words: bool = False) -> Html:
    content = tuple(tuple(cell(str(text)) for text in row) for row in rows)
    return html_table(Table(title, tuple(header), content), words=words)
