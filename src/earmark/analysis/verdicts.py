"""What the comparisons mean, in plain words: the answer in one sentence, and a sentence for each pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from earmark.analysis.compare import Comparison, Judgment
from earmark.analysis.learning_curve import LearningCurve
from earmark.analysis.paired_model import MIN_GROUPS
from earmark.runtime.console import format_names, pluralize

if TYPE_CHECKING:
    from earmark.analysis.aggregate import Aggregate

FEW_DIFFERING = 3
"""Groups that show a difference, below which it is said what practically equal rests on."""
METRIC_NAMES = {
    "accuracy": "accuracy",
    "uar": "average recall (UAR)",
    "macro_f1": "macro F1",
    "top3_accuracy": "top-3 accuracy",
    "roc_auc": "ROC-AUC",
    "nll": "log-loss (nats)",
    "ece": "calibration error (ECE)",
}
PAIRING = "Runs of a fold are paired by seed, or in the order of their seeds where these differ."
"""What a difference is between, in captions; a note of `pair_seeds` says the rest."""
FAR = 5
"""More groups alone are no advice where they are this many times those that it takes with more seeds and folds."""


def points(value: float, signed: bool = False) -> str:
    """A difference of fractions in points, to one decimal, with a true minus sign: 0.0123 is 1.2."""
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    return text.replace("-0.0", "0.0").replace("+0.0", "0.0").replace("-", "−")


def detectable_points(value: float) -> str:
    """A minimum detectable effect in points; no difference is larger than 100."""
    return "over 100.0" if value > 1 else points(value)


def percent(value: float | None) -> str:
    """A fraction as a percentage to one decimal, without the sign; a dash for None."""
    return "–" if value is None else f"{100 * value:.1f}"


def p_text(p: float) -> str:
    """A p-value as ``p = 0.012``, or ``p < 0.001``; never rounded to the other side of 0.05, or to it."""
    if p < 0.001:
        return "p < 0.001"
    if p >= 0.0995:
        return f"p = {p:.2f}"
    return f"p = {p:.3f}" if f"{p:.3f}" != "0.050" else "p < 0.05" if p < 0.05 else f"p = {max(p, 0.0501):.4f}"


def probability_text(value: float) -> str:
    """A probability in whole percent; beyond 99 % and 1 % by the bound, and just below 95 % to one decimal."""
    if value > 0.99:
        return "> 99 %"
    if 0.945 <= value < 0.95:
        return f"{math.floor(1000 * value) / 10:.1f} %"
    return "< 1 %" if value < 0.01 else f"{100 * value:.0f} %"


def verdict_text(c: Comparison) -> str:
    """The verdict of a comparison in a sentence."""
    if c.judgment is None:
        return (
            f"Too few groups of clips to compare {c.variant} with {c.baseline}: {pluralize(c.n_groups, 'group')}, and "
            f"a comparison needs {MIN_GROUPS}."
        )
    writers = {"better": _better, "worse": _better, "practically equal": _equal, "undecided": _undecided}
    return writers[c.verdict](c, c.judgment)


def _better(c: Comparison, j: Judgment) -> str:
    """The better one is named first, whichever of the two it is."""
    winner, loser = ordered(c)
    low, high = (j.low, j.high) if c.difference >= 0 else (-j.high, -j.low)
    size, name = points(abs(c.difference)), METRIC_NAMES[c.metric]
    return f"{winner} is better than {loser} by {size} points of {name} ({_interval(low, high, c)}, {p_text(j.p)})."


def _equal(c: Comparison, j: Judgment) -> str:
    text = (
        f"{c.variant} and {c.baseline} are practically equal in {METRIC_NAMES[c.metric]}: {_estimate(c, j)}, and the "
        f"probability of a difference of at most {rope_text(c)} is {probability_text(j.probability_equal)}."
    )
    return " ".join(filter(None, [text, basis_of_equal(c)]))


def basis_of_equal(c: Comparison) -> str:
    """What practically equal rests on where next to no group shows a difference; else empty."""
    unseen = 1 - 0.05 ** (1 / c.n_groups)  # a difference in this fraction of all groups is in none of these in 5 %
    if c.verdict != "practically equal" or c.differing_groups >= FEW_DIFFERING or unseen < c.rope:
        return ""
    n = c.differing_groups
    shown = f"Only {n} of {c.n_groups} groups show{'s' * (n == 1)}" if n else "No group shows"
    return f"{shown} any difference; one in less than {100 * unseen:.0f} % of all groups may be missed."


def _undecided(c: Comparison, j: Judgment) -> str:
    return f"{c.variant} against {c.baseline} is undecided in {METRIC_NAMES[c.metric]}: {_estimate(c, j)}."


def ordered(c: Comparison) -> tuple[str, str]:
    """The variant with the higher score first."""
    return (c.variant, c.baseline) if c.difference >= 0 else (c.baseline, c.variant)


def _estimate(c: Comparison, j: Judgment) -> str:
    return f"{points(c.difference, signed=True)} points ({_interval(j.low, j.high, c, signed=True)})"


def _interval(low: float, high: float, c: Comparison, signed: bool = False) -> str:
    family = f" for all {c.n_comparisons} comparisons" if c.n_comparisons > 1 else ""
    return f"95 % interval{family} {end_points(low, signed)} to {end_points(high, signed)}"


def end_points(value: float, signed: bool = False) -> str:
    """An end of an interval in points, with a second decimal where it would look like 0."""
    text = points(value, signed)
    if text != "0.0" or abs(value) < 5e-5:
        return text
    return f"{100 * value:{'+' * signed}.2f}".replace("-", "−")


def rope_text(c: Comparison) -> str:
    """Up to which difference two variants are practically equal."""
    return f"{100 * c.rope:g} point{'s' * (c.rope != 0.01)}"


def probabilities_text(c: Comparison) -> str:
    """How probable it is that the higher score is better, practically equal and worse; empty with too few groups."""
    if c.judgment is None:
        return ""
    j, (first, second) = c.judgment, ordered(c)
    sides = (j.probability_better, j.probability_worse)
    better, worse = sides if c.difference >= 0 else sides[::-1]
    alone = " of this pair alone" if c.n_comparisons > 1 else ""
    return (
        f"Probability{alone} of a difference of more than {rope_text(c)}: {first} better {probability_text(better)}, "
        f"{second} better {probability_text(worse)}; practically equal {probability_text(j.probability_equal)}."
    )


def power_text(c: Comparison) -> str:
    """For an undecided comparison: the minimum detectable effect, and what would decide it; else empty."""
    if c.judgment is None or c.verdict != "undecided":
        return ""
    effect = detectable_points(c.judgment.detectable)
    return f"Minimum detectable effect at 80 % power: {effect} points. {advice(c, c.judgment)}"


def group_power_text(found: Sequence[Comparison]) -> str:
    """Of undecided pairs: what they can detect, and what would decide the largest difference; empty without any."""
    undecided = by_verdict(found, "undecided")
    if not undecided:
        return ""
    largest = max(undecided, key=lambda c: abs(c.difference))
    assert largest.judgment is not None, "it is undecided"
    pairs = "" if len(undecided) == len(found) else " of the undecided pairs"
    effects = f"Minimum detectable effect{pairs} at 80 % power: {detectable_text(undecided)}"
    return f"{effects}. {advice(largest, largest.judgment)}"


def detectable_text(comparisons: Sequence[Comparison]) -> str:
    """The range of the minimum detectable effects at 80 % power."""
    effects = [c.judgment.detectable for c in comparisons if c.judgment is not None]
    low, high = detectable_points(min(effects)), detectable_points(max(effects))
    return f"{low} points" if low == high else f"{low} to {high} points"


def advice(c: Comparison, j: Judgment) -> str:
    """What would detect the difference that was found, or the smallest that matters."""
    groups_alone = j.needed_groups is not None and j.needed_groups <= FAR * j.least_groups
    counts = (
        (j.needed_seeds, "seeds per fold"),
        (j.needed_folds, "folds of repeated partitions"),
        (j.needed_groups if groups_alone else None, "groups of clips"),
    )
    ways = [f"{n} {what}" for n, what in counts if n is not None]
    goal = f"a difference of {points(j.goal)} points"
    if j.goal == c.rope:
        goal = f"a difference as small as {rope_text(c)}, the limit of practically equal"
    if not ways:
        ways = [f"more than about {float(f'{j.least_groups:.2g}'):,.0f} groups of clips"]
        if j.variance.seeds or j.variance.training_set:
            ways = [f"more seeds, folds or groups of clips alone are not enough; it takes all three, and {ways[0]}"]
    return f"To detect {goal}: {' or '.join(ways)}."


def covered(fixed: bool) -> str:
    """What the intervals of a comparison are over; `fixed` as in `Aggregate`."""
    return "groups of clips" if fixed else "groups of clips, seeds and training sets"


def assumption_text(a: Aggregate) -> str:
    """What the intervals assume because the runs did not vary it; else empty."""
    judgments = [c.judgment for c in a.verdicts if c.judgment is not None]
    texts = []
    if of_pairs := [j for j in judgments if j.training_set_assumed]:
        where = "No" if len(of_pairs) == len(judgments) else "In some pairs no"
        effects = sorted({points(math.sqrt(j.variance.training_set)) for j in of_pairs}, key=float)
        shown = " to ".join(dict.fromkeys((effects[0], effects[-1])))
        texts.append(
            f"{where} variant has several training sets, so the intervals include an assumed effect of other training "
            f"sets (standard deviation {shown} points)."
        )
    if of_pairs := [j for j in judgments if j.seeds_assumed]:
        where = "Every fold has" if len(of_pairs) == len(judgments) else "In some pairs every fold has"
        texts.append(f"{where} one seed, so the intervals include an assumed effect of other seeds.")
    return " ".join(texts)


def best_text(a: Aggregate) -> str:
    """What the highest score is worth after the choice; empty where nothing was chosen."""
    if a.best is None or a.best.n_candidates < 2:
        return ""
    b = a.best
    (shown,) = (v.metrics[a.metric].pooled for v in a.variants if v.variant == b.variant)
    where = "" if percent(shown) == percent(b.score) else " on the runs that all variants have"
    who = f"{format_names([b.variant, *b.tied])} share" if b.tied else f"{b.variant} has"
    return (
        f"{who} the highest score{where}, {percent(b.score)} %; "
        f"corrected for choosing the best of {b.n_candidates}: {percent(b.corrected)} %."
    )


def floor_text(a: Aggregate) -> str:
    """What needs no network, and which variants are better.

    Empty without training clips to fit it on, and where no variant is shown to be better: the headline says that.
    """
    best = a.references.best(a.metric)
    if best is None:
        missing = "There is no reference without a network, because floor.csv is missing; `earmark floor` writes it."
        return "" if a.fixed else missing
    if a.references.unbeaten:
        return ""
    beaten = [check.variant for check in a.references.checks if check.beaten]
    whole = len(beaten) == len(a.variants)
    who = "all variants" if whole and len(beaten) > 1 else format_names(beaten)
    beat = f"{who} beat{'s' * (len(beaten) < 2)} it" if beaten else "no variant is shown to beat it"
    return (
        f"Floor: {best.name} reach{'es' * (best.name == 'most frequent class')} {percent(best.score(a.metric))} % "
        f"without a network; {beat}."
    )


MORE_RECORDINGS = {
    "better": "more recordings are likely to help.",
    "practically equal": "more recordings of this kind are unlikely to help much.",
    "worse": "more recordings of this kind are unlikely to help.",
    "undecided": "these runs cannot tell whether more recordings would help.",
    "too few groups": "there are too few groups of clips to say whether more recordings would help.",
}
"""What the paired verdict on all training groups against half of them answers."""


def curve_text(curve: LearningCurve) -> str:
    """Whether more recordings would help, with the size of the last gain and its uncertainty."""
    whole, c = curve.points[-1], curve.gain
    part = next(point for point in curve.points if point.fraction == curve.gain_fraction)
    gain = (
        f"{whole.n_groups:.0f} training groups instead of {part.n_groups:.0f} change {METRIC_NAMES[c.metric]} by "
        f"{points(c.difference, signed=True)} points"
    )
    if c.judgment is not None:
        gain += (
            f" ({_interval(c.judgment.low, c.judgment.high, c, signed=True)}; probability of a gain of more than "
            f"{rope_text(c)}: {probability_text(c.judgment.probability_better)})"
        )
    return f"{curve.variant}: {gain}: {MORE_RECORDINGS[c.verdict]}"


def by_verdict(comparisons: Sequence[Comparison], *verdicts: str) -> list[Comparison]:
    """The comparisons with one of these verdicts."""
    return [c for c in comparisons if c.verdict in verdicts]
