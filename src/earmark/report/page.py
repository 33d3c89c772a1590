"""The page as a whole: sections in order, one style sheet, one script, written as a single file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Literal

from earmark.analysis.aggregate import Aggregate, aggregate
from earmark.analysis.joint_model import ROPE
from earmark.analysis.learning_curve import split_points
from earmark.analysis.merge import as_records
from earmark.analysis.records import RunError, RunRecord
from earmark.analysis.slices import LABEL, Column, labels_of
from earmark.analysis.suspects import find_suspects
from earmark.analysis.tables import protocol
from earmark.audit.record import AuditReport, read_audit
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
    slices_section,
)
from earmark.report.embedding import embedding_section
from earmark.report.few_shots import few_shots_section
from earmark.report.html import Html, join, tag
from earmark.report.learning_curve import learning_curve_section
from earmark.report.mistakes import Mistake, find_mistakes, gallery
from earmark.report.results import differences_section, results_section
from earmark.report.shipped import shipped_section
from earmark.report.suspects import N_CARDS, suspects_section
from earmark.report.tuning import tuning_section
from earmark.report.verdict import verdict_section
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import GENERATOR, check_own_file, write_text

TOGETHER = re.compile(r"(?<=\bp) (=|&lt;) |(?<=&[lg]t;) (?=\d)| (?=%)")
"""Spaces that no line is broken at: ``p < 0.01``, ``> 99 %``."""


def write_report(
    runs: str | Path | Iterable[str | Path] | Sequence[RunRecord],
    path: str | Path,
    metric: str = "",
    baseline: str | None = None,
    audit: AuditReport | str | Path | None = None,
    rope: float = ROPE,
    model: str | Path | None = None,
    title: str = "",
    by: Column | tuple[str, Mapping[str, str]] | Literal["label"] | None = None,
) -> Aggregate:
    """Write the report on finished runs as one HTML file.

    Args:
        runs: a folder of runs, several, or what `earmark.read_runs` returned.
        path: the file to write; its folder is created.
        metric: what verdicts are about, `accuracy` or `uar`; empty takes that of the plan, or else accuracy.
        baseline: the variant that all others are compared with; empty compares all pairs, None follows the plan.
        audit: what `earmark.audit_clips` found, or the file of `earmark audit --json`, to be shown as a section.
        model: a model folder that `earmark finalize` made from the runs, to be shown as a section.
        rope: largest difference that is equal for practical purposes, as a fraction.
        title: heading of the page; empty takes the name of the suite, or the names of the folders.
        by: what divides the clips into slices, to be shown as a section: `label`, or a name and the value of each clip,
            ``("site", {clip_id: site})``.

    Returns:
        The aggregate whose numbers the page prints.

    Raises:
        RunError: runs that must not be put into one table (see `earmark.analysis.comparable.check_comparable`), or the
            model was made from others.
        AuditError: the audit is of other recordings than the runs.
        EarmarkError: there is another file than a report.
    """
    path = Path(path)
    if path.suffix.lower() not in ("", ".html", ".htm"):
        raise EarmarkError(f"{path}: a report is a page; give a name that ends in .html")
    check_own_file(path, GENERATOR.format("report"), "report")
    audited = read_audit(audit) if isinstance(audit, str | Path) else audit
    records = as_records(runs)
    if isinstance(by, str) and by != LABEL:
        raise RunError(f"by = {by!r}: give 'label', or ({by!r}, a dict with the value of each clip)")
    column = Column(LABEL, labels_of(records)) if isinstance(by, str) else by and Column(*by)
    summary = aggregate(records, metric, baseline, rope, column)
    write_text(path, report_page(summary, records, audited, Path(model) if model else None, title))
    return summary


def report_page(
    summary: Aggregate,
    records: Sequence[RunRecord],
    audit: AuditReport | None,
    model: Path | None,
    title: str,
) -> str:
    """The HTML of the report."""
    records, _ = split_points(records)
    mistakes, suspects = find_mistakes(records), find_suspects(records)
    errors = [mistake.clip_id for mistake in mistakes]
    cards = {*errors, *(suspect.clip_id for suspect in suspects.clips[:N_CARDS])}
    sections = [
        verdict_section(summary),
        results_section(summary),
        differences_section(summary),
        slices_section(summary),
        tuning_section(records),
        learning_section(records, summary),
        learning_curve_section(summary),
        few_shots_section(records, summary),
        embedding_section(records, cards),
        confusion_section(summary),
        classes_section(records, summary),
        groups_section(summary),
        calibration_section(records, summary),
        shipped_section(model, records) if model else None,
        cost_section(summary),
        _mistakes_section(mistakes),
        suspects_section(records, suspects, errors),
        audit_section(audit, records) if audit else None,
        method_section(records),
    ]
    shown = [section for section in sections if section is not None]
    navigation = tag("ul", [tag("li", tag("a", s.short, href=f"#{s.id}")) for s in shown])
    asset = files("earmark.report") / "assets"
    template = Template((asset / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=join(title or f"{summary.name}: comparison of {len(summary.variants)} variants"),
        name=_breakable(title or summary.name),
        protocol=join(protocol(summary)),
        style=(asset / "style.css").read_text(encoding="utf-8"),
        script=(asset / "script.js").read_text(encoding="utf-8"),
        navigation=navigation,
        body=join(_render(section) for section in shown),
    )


def _breakable(heading: str) -> Html:
    """A heading that is broken, where it must be, after the signs that join names, and not within a name."""
    return Html(re.sub(r"([+_-])(?=\w)", r"\1<wbr>", join(heading)))


def _render(section: Section) -> Html:
    heading = tag("h2", section.title, id=f"{section.id}-title")
    lead = tag("p", section.lead, class_="lead") if section.lead else None
    inside = [heading, lead, section.body]
    if section.collapsed:
        inside = [tag("details", tag("summary", heading), lead, section.body, class_="optional")]
    whole = tag("section", inside, id=section.id, aria_labelledby=f"{section.id}-title")
    return Html(TOGETHER.sub(lambda m: m[0].replace(" ", "\N{NO-BREAK SPACE}"), whole))


def _mistakes_section(mistakes: Sequence[Mistake]) -> Section:
    title, clips = "The most confident errors", "mean prediction over all runs is wrong, the most confident first"
    if mistakes and not mistakes[0].has_probs:
        title, clips = "Errors", "most frequent label over all runs is wrong"
    lead = f"Clips whose {clips}. Listen to them: the label may be wrong, or the sound may be missing."
    body = gallery(mistakes) if mistakes else tag("p", "No clip is wrong on average over the runs.")
    return Section("mistakes", "Errors", title, lead, body)
