"""What the comparisons mean, in plain words: the answer in one sentence, and a sentence for each pair."""

from __future__ import annotations

from collections.abc import Sequence

from earmark.analysis.aggregate import Aggregate, VariantSummary
from earmark.analysis.compare import Comparison
from earmark.analysis.paired_model import MIN_GROUPS
from earmark.runtime.console import format_names, pluralize

METRIC_NAMES = {
    "accuracy": "accuracy",
    "uar": "average recall (UAR)",
    "macro_f1": "macro F1",
    "top3_accuracy": "top-3 accuracy",
    "roc_auc": "ROC-AUC",
    "nll": "log-loss (nats)",
    "ece": "calibration error (ECE)",
}


def points(value: float, signed: bool = False) -> str:
    """A difference of fractions in points, to one decimal, with a true minus sign: 0.0123 is 1.2."""
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    return text.replace("-0.0", "0.0").replace("+0.0", "0.0").replace("-", "−")


def percent(value: float | None) -> str:
    """A fraction as a percentage to one decimal, without the sign; a dash for None."""
    return "–" if value is None else f"{100 * value:.1f}"


def p_text(p: float) -> str:
    """A p-value as ``p = 0.012``, or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.0995 else f"p = {p:.2f}"


def probability_text(value: float) -> str:
    """A probability in whole percent; beyond 99 % and 1 % by the bound."""
    if value > 0.99:
        return "> 99 %"
    return "< 1 %" if value < 0.01 else f"{100 * value:.0f} %"


def verdict_text(comparison: Comparison) -> str:
    """The verdict of a comparison in a sentence."""
    writers = {
        "better": _better,
        "worse": _better,
        "practically equal": _equal,
        "undecided": _undecided,
        "too few groups": _too_few_groups,
    }
    return writers[comparison.verdict](comparison)


def _better(c: Comparison) -> str:
    """The better one is named first, whichever of the two it is."""
    reverse = c.verdict == "worse"
    winner, loser = (c.baseline, c.variant) if reverse else (c.variant, c.baseline)
    low, high = (-c.high, -c.low) if reverse else (c.low, c.high)
    size, name = points(abs(c.difference)), METRIC_NAMES[c.metric]
    return f"{winner} is better than {loser} by {size} points of {name} ({_interval(low, high, c)}, {p_text(c.p)})."


def _equal(c: Comparison) -> str:
    return (
        f"{c.variant} and {c.baseline} are practically equal in {METRIC_NAMES[c.metric]}: the difference is "
        f"{_estimate(c)}, within ±{_rope(c)}."
    )


def _undecided(c: Comparison) -> str:
    return f"{c.variant} against {c.baseline} is undecided in {METRIC_NAMES[c.metric]}: {_estimate(c)}."


def _too_few_groups(c: Comparison) -> str:
    return (
        f"Too few groups of clips to compare {c.variant} with {c.baseline}: {c.n_groups}, and a comparison needs "
        f"{MIN_GROUPS} ({points(c.difference, signed=True)} points)."
    )


def _estimate(c: Comparison) -> str:
    return f"{points(c.difference, signed=True)} points ({_interval(c.low, c.high, c, signed=True)})"


def _interval(low: float, high: float, c: Comparison, signed: bool = False) -> str:
    family = f" for all {c.n_comparisons} comparisons" if c.n_comparisons > 1 else ""
    return f"95 % interval{family} {points(low, signed)} to {points(high, signed)}"


def _rope(c: Comparison) -> str:
    return f"{100 * c.rope:g} point{'s' * (c.rope != 0.01)}"


def probabilities_text(c: Comparison) -> str:
    """How probable it is that the variant is better, practically equal and worse; empty with too few groups."""
    if c.probabilities is None:
        return ""
    better, equal, worse = (probability_text(p) for p in c.probabilities)
    return (
        f"Probability that {c.variant} is better by more than {_rope(c)}: {better}; practically equal: {equal}; "
        f"worse by more than {_rope(c)}: {worse}."
    )


def power_text(c: Comparison) -> str:
    """For an undecided comparison: the minimum detectable effect, and what would lower it; else empty."""
    if c.verdict != "undecided" or c.detectable is None:
        return ""
    return f"Minimum detectable effect at 80 % power: {points(c.detectable)} points. {advice(c)}".strip()


def advice(c: Comparison) -> str:
    """What would decide an undecided comparison."""
    return ""


def headline(a: Aggregate) -> str:
    """The answer of the whole comparison in one sentence."""
    if not a.verdicts:
        return " ".join(_score(v, a) for v in a.variants)
    if len(a.verdicts) == 1:
        return verdict_text(a.verdicts[0])
    winner = _winner(a)
    if winner:
        return (
            f"{winner} is better in {METRIC_NAMES[a.metric]} than "
            f"{format_names([v.variant for v in a.variants if v.variant != winner])}."
        )
    return _summary_of_verdicts(a)


def _score(v: VariantSummary, a: Aggregate) -> str:
    m = v.metrics[a.metric]
    interval = "" if m.low is None else f" (95 % interval {percent(m.low)} to {percent(m.high)})"
    return f"{v.variant} reaches {percent(m.pooled)} % {METRIC_NAMES[a.metric]}{interval}."


def _winner(a: Aggregate) -> str:
    """The variant that is better than every other one, if there is one."""
    wins: dict[str, int] = {}
    for c in a.verdicts:
        if c.verdict in ("better", "worse"):
            name = c.variant if c.verdict == "better" else c.baseline
            wins[name] = wins.get(name, 0) + 1
    return next((name for name, n in wins.items() if n == len(a.variants) - 1), "")


def _summary_of_verdicts(a: Aggregate) -> str:
    """Who is better than whom, and how many comparisons have another verdict."""
    claims = by_verdict(a.verdicts, "better", "worse")
    equal, undecided, few = (by_verdict(a.verdicts, v) for v in ("practically equal", "undecided", "too few groups"))
    if len(undecided) == len(a.verdicts):
        largest = max(undecided, key=lambda c: abs(c.difference))
        return (
            f"No difference in {METRIC_NAMES[a.metric]} between the {len(a.variants)} variants can be shown: the "
            f"largest is {points(abs(largest.difference))} points, and all {len(undecided)} comparisons are undecided."
        )
    if len(few) == len(a.verdicts):
        return (
            f"Too few groups of clips to compare the {len(a.variants)} variants: {few[0].n_groups}, and a comparison "
            f"needs {MIN_GROUPS}."
        )
    parts = [f"{_claim(c)}" for c in claims]
    counts = ((equal, "practically equal"), (undecided, "undecided"), (few, "without enough groups"))
    parts += [f"{pluralize(len(found), 'pair')} {what}" for found, what in counts if found]
    return f"In {METRIC_NAMES[a.metric]}: {'; '.join(parts)}."


def _claim(c: Comparison) -> str:
    winner, loser = (c.variant, c.baseline) if c.verdict == "better" else (c.baseline, c.variant)
    return f"{winner} is better than {loser}"


def by_verdict(comparisons: Sequence[Comparison], *verdicts: str) -> list[Comparison]:
    """The comparisons with one of these verdicts."""
    return [c for c in comparisons if c.verdict in verdicts]
