"""The first screen: the answer in one sentence, its picture, what each pair says, and what to know beforehand."""

from __future__ import annotations

from collections.abc import Sequence

from earmark.analysis.aggregate import Aggregate
from earmark.analysis.compare import Comparison
from earmark.analysis.headline import headline
from earmark.analysis.verdicts import (
    assumption_text,
    best_text,
    by_verdict,
    floor_text,
    group_power_text,
    points,
    power_text,
    probabilities_text,
    verdict_text,
)
from earmark.report.components import Section, figures, folded
from earmark.report.html import Html, data, join, prose, tag
from earmark.report.outcome_plots import probability_plot, score_plot

MAX_BARS = 8
"""More pairs than this are shown on request."""
MAX_CLAIMS = 6
"""More claims than this are shown on request."""
MAX_SEPARATE = 2
"""More pairs than this with the same other verdict are grouped."""


def verdict_section(a: Aggregate) -> Section:
    """The answer and what it rests on."""
    notes = [tag("li", prose(note), class_="alarm" if "LEAKAGE" in note else None) for note in a.notes]
    warning = tag("div", tag("h3", "Before you rely on this"), tag("ul", notes), class_="notes", role="note")
    remarks = [
        tag("p", prose(text), class_="remark") for text in (best_text(a), assumption_text(a), floor_text(a)) if text
    ]
    body = join([figures(_pictures(a)), _pairs(a), remarks, warning if notes else None])
    return Section("verdict", "Verdict", headline(a), "", body)


def _pictures(a: Aggregate) -> list[Html]:
    """Scores, and a bar for each pair: the largest differences first, the others on request."""
    index_of = {v.variant: i for i, v in enumerate(a.variants)}
    pairs = [c for c in a.verdicts if c.judgment is not None]
    pairs.sort(key=lambda c: -abs(c.difference))
    if not pairs:
        return [score_plot(a)]
    shown, others = pairs[:MAX_BARS], pairs[MAX_BARS:]
    picture = probability_plot(shown, index_of)
    if others:
        more = folded(f"{len(others)} further pairs", probability_plot(others, index_of))
        picture = tag("div", picture, more)
    return [picture, score_plot(a)]


def _pairs(a: Aggregate) -> Html | None:
    """Cards of the claims, the largest first, and one for several pairs with another verdict.

    For a single pair the details alone.
    """
    if len(a.verdicts) == 1:
        details = _details(a.verdicts[0])
        return tag("p", details, class_="remark") if details else None
    claims = sorted(by_verdict(a.verdicts, "better", "worse"), key=lambda c: -abs(c.difference))
    cards = [_card(c) for c in claims[:MAX_CLAIMS]]
    if len(claims) > MAX_CLAIMS:
        rest = tag("ul", [_card(c) for c in claims[MAX_CLAIMS:]], class_="verdicts")
        cards.append(tag("li", folded(f"{len(claims) - MAX_CLAIMS} more claims, with smaller differences", rest)))
    for verdict in ("practically equal", "undecided", "too few groups"):
        found = by_verdict(a.verdicts, verdict)
        if len(found) > MAX_SEPARATE:
            cards.append(_group_card(found, verdict))
        else:
            cards += [_card(c) for c in found]
    return tag("ul", cards, class_="verdicts") if cards else None


def _card(c: Comparison) -> Html:
    kind = "claim" if c.verdict in ("better", "worse") else "open"
    difference = abs(c.difference) if kind == "claim" else c.difference  # its sentence begins with the better one
    size = tag("span", data(difference, points(difference, True)), tag("small", "points"), class_="size")
    return tag("li", size, tag("div", _sentences(c)), class_=f"verdict {kind}")


def _sentences(c: Comparison) -> list[Html]:
    details = _details(c)
    return [tag("p", verdict_text(c)), *[tag("p", details, class_="note")] * bool(details)]


def _details(c: Comparison) -> str:
    return " ".join(filter(None, [probabilities_text(c), power_text(c)]))


def _group_card(found: Sequence[Comparison], verdict: str) -> Html:
    """One card for pairs of the same verdict, with each of them on request."""
    count = tag("span", str(len(found)), tag("small", "pairs"), class_="size")
    low, high = (points(end(c.difference for c in found), True) for end in (min, max))
    text = f"{len(found)} pairs are {verdict}: their differences are {low} to {high} points."
    if verdict == "too few groups":
        text = f"{len(found)} pairs have too few groups of clips for an interval."
    each = folded("Each pair", [tag("div", _sentences(c), class_="pair") for c in found])
    power = group_power_text(found)
    note = tag("p", power, class_="note") if power else None
    return tag("li", count, tag("div", tag("p", text), note, each), class_="verdict open")
