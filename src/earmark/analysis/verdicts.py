"""What the numbers of a comparison mean, in plain words: verdicts, and what a reader must know beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from earmark.analysis.compare import SMALLEST_DIFFERENCE, Comparison
from earmark.analysis.records import RunRecord
from earmark.analysis.statistics import LEVEL, MIN_GROUPS, MIN_UNITS
from earmark.config.suite import unequal_budgets
from earmark.runtime.console import pluralize

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
    """A difference of shares in points, to one decimal, with a true minus sign: 0.0123 is 1.2."""
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    return text.replace("-0.0", "0.0").replace("+0.0", "0.0").replace("-", "−")


def p_text(p: float) -> str:
    """A p-value as ``p = 0.012``, or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.0995 else f"p = {p:.2f}"


def verdict_text(comparison: Comparison) -> str:
    """The verdict of a comparison in a sentence; `power_text` says the rest."""
    writers = {
        "better": _claim,
        "worse": _claim,
        "no difference shown": _no_difference,
        "not enough runs": _not_enough,
    }
    return writers[comparison.verdict](comparison)


def _claim(c: Comparison) -> str:
    """The better one is named first, whichever of the two it is."""
    winner, loser = (c.variant, c.baseline) if c.verdict == "better" else (c.baseline, c.variant)
    low, high = (c.low, c.high) if c.verdict == "better" else (-c.high, -c.low)
    holm = f" after Holm's correction for {c.n_comparisons} comparisons" if c.n_comparisons > 1 else ""
    return (
        f"{winner} is better than {loser} by {points(abs(c.difference))} points of {METRIC_NAMES[c.metric]}, "
        f"95 % interval {points(low)} to {points(high)}, {p_text(c.p_holm)}{holm}."
    )


def _no_difference(c: Comparison) -> str:
    what = f"{c.variant} and {c.baseline}: no difference in {METRIC_NAMES[c.metric]} that {_runs(c.n_pairs)} could show"
    p = p_text(c.p_holm)
    if c.p < 1 - LEVEL:
        p = f"{p_text(c.p)}, but {p} after Holm's correction for {c.n_comparisons} comparisons"
    return f"{what} ({_estimate(c)}, {p})."


def _not_enough(c: Comparison) -> str:
    if c.n_groups < MIN_GROUPS:
        why = f"{pluralize(c.n_groups, 'group')} of clips, and the tests need {MIN_GROUPS}"
    elif c.n_pairs < MIN_UNITS or 1 < c.n_folds < MIN_UNITS:
        why = f"{_runs(c.n_pairs)} on {pluralize(c.n_folds, 'fold')}, and the tests need {MIN_UNITS} folds"
        why += f" (or {MIN_UNITS} seeds of one fold)"
    else:
        why = "every fold shows the same difference, so that its spread is unknown"
    return f"Not enough runs to tell {c.variant} from {c.baseline} ({_estimate(c)}): {why}."


def power_text(c: Comparison) -> str:
    """Where no difference was shown: what so many runs can find, and how many would find one point; else empty."""
    if c.verdict != "no difference shown" or c.detectable is None:
        return ""
    found = f"So many runs find a true difference of {points(c.detectable)} points in 4 of 5 cases"
    goal = f"{100 * SMALLEST_DIFFERENCE:g} point"
    if c.runs_needed is None:
        return (
            f"{found}. To find {goal}, more seeds are no use, since the folds themselves differ: it takes more clips."
        )
    if c.runs_needed <= c.n_pairs:
        return f"{found}."
    bound = "at least" if c.runs_needed_is_minimum else "about"
    return f"{found}; to find {goal}, it takes {bound} {c.runs_needed} runs each."


def _estimate(c: Comparison) -> str:
    text = f"{points(c.difference, signed=True)} points"
    return text if c.low is None else f"{text}, 95 % interval {points(c.low, True)} to {points(c.high, True)}"


def _runs(n: int) -> str:
    return f"{pluralize(n, 'run')} each"


def notes_on(by_variant: Mapping[str, Sequence[RunRecord]], n_groups: int, unfinished: Sequence[str]) -> list[str]:
    """What a reader must know before believing the numbers, the gravest first."""
    records = [run for runs in by_variant.values() for run in runs]
    notes = [*_split_notes(records), *_missing_notes(by_variant, unfinished)]
    budgets = unequal_budgets([runs[0].config for runs in by_variant.values()])
    if budgets:
        notes.append(f"Variants differ in {', '.join(budgets)}, not only in their network.")
    if any(run.config.front_end != records[0].config.front_end for run in records):
        notes.append("Variants differ in their front end: what the networks see is part of the comparison.")
    if n_groups < MIN_GROUPS:
        verb = "is" if n_groups == 1 else "are"
        notes.append(f"{pluralize(n_groups, 'group')} {verb} too few for intervals and tests, which need {MIN_GROUPS}.")
    return notes


def _split_notes(records: Sequence[RunRecord]) -> list[str]:
    leaky = [run for run in records if run.result["split"]["leaks"]]
    waived = {group for run in records for group in run.result["split"]["waived_groups"]}
    waiver = next((run.result["split"]["waiver"] for run in records if run.result["split"]["waiver"]), "")
    notes = []
    if leaky:
        example = leaky[0].result["split"]["leaks"][0]
        notes.append(
            f"LEAKAGE in {len(leaky)} of {len(records)} runs: training has seen part of what is tested, so that these "
            f"scores are too high and prove nothing ({example})."
        )
    if waived:
        notes.append(f"Groups that cross parts, by the published exception {waiver}: {', '.join(sorted(waived))}.")
    if records[0].result["reported_part"] != "test":
        notes.append(f"Reported is the {records[0].result['reported_part']} part: the split has no test part.")
    return notes


def _missing_notes(by_variant: Mapping[str, Sequence[RunRecord]], unfinished: Sequence[str]) -> list[str]:
    cells = {run.cell for runs in by_variant.values() for run in runs}
    notes = []
    if unfinished:
        some = ", ".join(unfinished[:5]) + (", ..." if len(unfinished) > 5 else "")
        notes.append(f"Unfinished and left out: {len(unfinished)} ({some}).")
    for name, runs in by_variant.items():
        missing = sorted(cells - {run.cell for run in runs})
        if missing:
            some = ", ".join(f"fold {fold} seed {seed}" for fold, seed in missing[:5])
            dots = ", ..." if len(missing) > 5 else ""
            notes.append(
                f"{name} lacks {len(missing)} of {len(cells)} runs ({some}{dots}): compare it by the paired "
                "differences, which leave these out for both, not by the table."
            )
    return notes
