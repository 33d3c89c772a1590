"""The answer of a whole comparison in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from earmark.analysis.compare import Comparison
from earmark.analysis.paired_model import MIN_GROUPS
from earmark.analysis.verdicts import (
    METRIC_NAMES,
    by_verdict,
    detectable_points,
    ordered,
    percent,
    points,
    verdict_text,
)
from earmark.runtime.console import format_names, pluralize

if TYPE_CHECKING:
    from earmark.analysis.aggregate import Aggregate, VariantSummary


def headline(a: Aggregate) -> str:
    """The answer of the whole comparison in a sentence; others name pairs that it lacks, and a floor not beaten."""
    return " ".join(filter(None, [_answer(a), uncompared_text(a), unbeaten_text(a)]))


def unbeaten_text(a: Aggregate) -> str:
    """That no variant is shown to beat the floor, or all are worse; empty where one is better, or it is not known."""
    best = a.references.best(a.metric)
    if best is None or not a.references.unbeaten:
        return ""
    alone = len(a.variants) == 1
    if all(check.worse for check in a.references.checks):
        return f"{'It is' if alone else 'All of them are'} worse than the floor, {best.name}."
    return f"{'It is not' if alone else 'None of them is'} shown to beat the floor, {best.name}."


def uncompared_text(a: Aggregate) -> str:
    """The pairs that have no run of the same fold and seed; empty without any."""
    pairs = format_names([f"{variant} and {baseline}" for variant, baseline in a.uncompared])
    return f"Without a run of the same fold and seed, and so not compared: {pairs}." if pairs else ""


def _answer(a: Aggregate) -> str:
    if not a.verdicts:
        return " ".join(_score(v, a) for v in a.variants)
    if len(a.verdicts) == 1:
        return verdict_text(a.verdicts[0])
    winner = _winner(a)
    if winner:
        others = format_names([v.variant for v in a.variants if v.variant != winner])
        return f"{winner} is better than all other variants in {METRIC_NAMES[a.metric]} ({others})."
    return _summary_of_verdicts(a)


def _score(v: VariantSummary, a: Aggregate) -> str:
    m = v.metrics[a.metric]
    interval = "" if m.low is None else f" (95 % interval {percent(m.low)} to {percent(m.high)})"
    return f"{v.variant} reaches {percent(m.pooled)} % {METRIC_NAMES[a.metric]}{interval}."


def _winner(a: Aggregate) -> str:
    """The variant that is better than every other one, if there is one."""
    wins = _wins(by_verdict(a.verdicts, "better", "worse"))
    return next((name for name, losers in wins.items() if len(losers) == len(a.variants) - 1), "")


def _summary_of_verdicts(a: Aggregate) -> str:
    """Who is better than whom, and how many pairs have another verdict."""
    name = METRIC_NAMES[a.metric]
    claims = by_verdict(a.verdicts, "better", "worse")
    equal, undecided, few = (by_verdict(a.verdicts, v) for v in ("practically equal", "undecided", "too few groups"))
    baselines = {c.baseline for c in a.verdicts}
    if len(undecided) == len(a.verdicts) and not a.uncompared:
        largest = max(undecided, key=lambda c: abs(c.difference))
        assert largest.judgment is not None, "it is undecided"
        size, effect = points(abs(largest.difference)), detectable_points(largest.judgment.detectable)
        who = f" ({' over '.join(ordered(largest))})" if largest.difference else ""
        which = f"the {len(a.variants)} variants apart" if len(baselines) > 1 else f"any variant from {baselines.pop()}"
        return (
            f"These runs cannot tell {which} in {name}: the largest difference is {size} points{who}, and it takes "
            f"{effect} points to be detected reliably."
        )
    if len(equal) == len(a.verdicts) and not a.uncompared:
        if len(baselines) == 1:
            return f"All other variants are practically equal to {baselines.pop()} in {name}."
        return f"The {len(a.variants)} variants are practically equal in {name}."
    if len(few) == len(a.verdicts):
        return f"Too few groups of clips to compare the {len(a.variants)} variants: a comparison needs {MIN_GROUPS}."
    winners_over: dict[str, list[str]] = {}
    for winner, losers in _wins(claims).items():
        winners_over.setdefault(format_names(losers), []).append(winner)
    texts = [
        f"{format_names(winners)} {'is' if len(winners) == 1 else 'are'} better than {losers}"
        for losers, winners in winners_over.items()
    ]
    counts = ((equal, "practically equal"), (undecided, "undecided"), (few, "without enough groups"))
    rest = [f"{pluralize(len(found), 'pair')} {what}" for found, what in counts if found]
    if not claims:
        return f"No variant is shown to be better in {name}: {', '.join(rest)}."
    return f"In {name}: {'; '.join(texts + rest)}."


def _wins(claims: Sequence[Comparison]) -> dict[str, list[str]]:
    """Who is better than whom."""
    found: dict[str, list[str]] = {}
    for winner, loser in map(ordered, claims):
        found.setdefault(winner, []).append(loser)
    return found
