"""Section: labels that look wrong, as a table, with a card to see and hear each clip at its head."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from urllib.parse import quote

from earmark.analysis.records import RunRecord
from earmark.analysis.rows import Number, Table, cell
from earmark.analysis.suspects import Suspect, Suspects, summary
from earmark.report.components import Section, html_table
from earmark.report.html import Html, join, tag
from earmark.report.mistakes import card_id, describe_clips, gallery

N_ROWS = 20
N_CARDS = 12
HEADER = ("clip", "group", "label", "looks like", "label, %", "looks like, %")


def suspects_section(records: Sequence[RunRecord], found: Suspects, shown: Collection[str]) -> Section:
    """The head of the list.

    Args:
        records: the runs of the comparison.
        found: the list.
        shown: ids of the clips that have a card already.
    """
    if found.reason:
        return Section("labels", "Labels", "Suspect labels", f"No list: {found.reason}.", tag("p"))
    lead = (
        "The list is as long as the estimated number of wrong labels, the least probable labels first (confident "
        "learning, Northcutt et al. 2021), according to runs that had these clips in their test subset. "
        f"{summary(found)} earmark audit --runs writes the whole list."
    )
    head = found.clips[:N_CARDS]
    cards = describe_clips(records, [s.clip_id for s in head if s.clip_id not in shown])
    linked = {s.clip_id for s in head} | set(shown)
    table = _table(found.clips[:N_ROWS], linked) if found.clips else tag("p", "No label looks wrong.")
    others = tag("h3", "Not among the errors above") if cards else None
    return Section("labels", "Labels", "Suspect labels", lead, join([table, others, gallery(cards) if cards else None]))


def _table(suspects: Sequence[Suspect], linked: Collection[str]) -> Html:
    rows = tuple(
        (
            cell("" if s.clip_id in linked else s.clip_id),
            cell(s.group),
            cell(s.label),
            cell(s.suggested),
            cell(_percent(s.label_probability)),
            cell(_percent(s.suggested_probability)),
        )
        for s in suspects
    )

    def link(row: int, column: int) -> Html | None:
        clip_id = suspects[row].clip_id
        if column or clip_id not in linked:
            return None
        return tag("a", clip_id, href=f"#{quote(card_id(clip_id))}")

    return html_table(Table("Suspect labels", HEADER, rows), link)


def _percent(value: float) -> Number:
    return Number(value, f"{100 * value:.0f}")
