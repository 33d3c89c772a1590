"""Slices of the clips in tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from earmark.analysis.paired_model import MIN_GROUPS
from earmark.analysis.rows import Cell, Number, Table, cell
from earmark.analysis.slices import LABEL, MIN_GROUPS_OF_SIDE, Estimate, Slices
from earmark.analysis.verdicts import METRIC_NAMES, percent, points
from earmark.runtime.console import format_names, pluralize

MAX_CLAIMS = 5
"""Sentences of one kind; with more slices and variants, the tables have the others."""
KINDS = ("scores", "differences", "gaps", "changes")
"""The estimates of `Slices`, as the CSV file calls them."""


def slice_table(s: Slices) -> Table:
    """The score of each variant in each slice."""
    found = {(e.value, e.variant): e for e in s.scores}
    variants = list(dict.fromkeys(e.variant for e in s.scores))
    rows = []
    for value, *counts in s.slices:
        scores = (_score(found.get((value, variant))) for variant in variants)
        rows.append((cell(value), *(cell(Number(n, f"{n:,}")) for n in counts), *scores))
    return Table(f"By {s.column}: {score_name(s)}, %", (s.column, "clips", "groups", *variants), tuple(rows))


def contrast_table(s: Slices) -> Table:
    """The differences between variants in each slice, and by how much they are larger there than elsewhere."""
    changes = {(e.value, e.variant, e.baseline): e for e in s.changes}
    rows = []
    for e in s.differences:
        change = changes.get((e.value, e.variant, e.baseline))
        rows.append((cell(e.value), cell(f"{e.variant} − {e.baseline}"), *_difference(e), *_difference(change)))
    header = (s.column, "difference", "points", "95 % interval", "minus elsewhere", "95 % interval")
    return Table(f"Differences by {s.column}", header, tuple(rows))


def _score(e: Estimate | None) -> Cell:
    if e is None:
        return cell(None)
    value = (Number(e.estimate, percent(e.estimate)),)
    if e.low is None or e.high is None:
        return Cell(value)
    return Cell(value, (Number(e.low, percent(e.low)), " to ", Number(e.high, percent(e.high))))


def _difference(e: Estimate | None) -> tuple[Cell, Cell]:
    if e is None:
        return cell(None), cell(None)
    size = cell(Number(e.estimate, points(e.estimate, signed=True)))
    if e.low is None or e.high is None:
        return size, cell(None)
    ends = (Number(end, points(end, signed=True)) for end in (e.low, e.high))
    return size, cell(next(ends), " to ", next(ends))


def score_name(s: Slices) -> str:
    """What is scored in each slice."""
    return "recall" if s.column == LABEL else METRIC_NAMES[s.metric]


def slice_rows(s: Slices) -> list[dict[str, Any]]:
    """A row per estimate, with its kind: scores, differences, gaps or changes."""
    counts = {one.value: one._asdict() for one in s.slices}
    return [
        {"kind": kind, "column": s.column, "metric": s.metric, **counts[e.value], **e._asdict()}
        for kind in KINDS
        for e in getattr(s, kind)
    ]


CLAIMS = {
    "differences": (
        "{better} is better than {worse} by {size} points",
        "For no {column} is a variant shown to be better than another",
    ),
    "changes": (
        "{variant} minus {baseline} is {size} points {larger} than for the others",
        "No difference between variants is shown to be larger for one {column} than for the others",
    ),
    "gaps": (
        "{variant} scores {size} points {higher} than for the others",
        "No variant is shown to score differently for one {column} than for the others",
    ),
}
"""What an interval without 0 says, and what is said where there is none."""


def slice_texts(s: Slices) -> list[str]:
    """What the slices show, in sentences."""
    claims = [text for kind, forms in CLAIMS.items() for text in _claims(s.column, getattr(s, kind), *forms)]
    few = [f"{s.column} {one.value} ({one.n_groups})" for one in s.slices if one.n_groups < MIN_GROUPS]
    if few:
        needs = f"an interval needs {MIN_GROUPS}, a comparison with the others {MIN_GROUPS_OF_SIDE} on both sides"
        claims.append(f"Too few groups of clips: {format_names(few)}; {needs}.")
    if s.n_unknown:
        claims.append(f"Not included: {pluralize(s.n_unknown, 'clip')} without {s.column}.")
    return claims


def _claims(column: str, estimates: Sequence[Estimate], claim: str, nothing: str) -> list[str]:
    """A sentence for each of the largest intervals without 0, or one that there is none; empty without intervals."""
    n_known = sum(e.low is not None for e in estimates)
    family = f" for all {len(estimates)} comparisons" if len(estimates) > 1 else ""
    shown = sorted((e for e in estimates if e.shown), key=lambda e: -abs(e.estimate))
    texts = []
    for e in shown[:MAX_CLAIMS]:
        assert e.low is not None and e.high is not None, "it is shown"
        low, high = sorted((abs(e.low), abs(e.high)))
        interval = f"95 % interval{family} {points(low)} to {points(high)}"
        texts.append(f"{column} {e.value}: {claim.format(**_words(e))} ({interval}).")
    if len(shown) > MAX_CLAIMS:
        texts.append(f"{len(shown) - MAX_CLAIMS} more intervals of this kind exclude 0; slices.csv has all of them.")
    return texts or [f"{nothing.format(column=column)} ({pluralize(n_known, 'comparison')})."] * bool(n_known)


def _words(e: Estimate) -> dict[str, str]:
    up = e.estimate > 0
    return {
        "variant": e.variant,
        "baseline": e.baseline,
        "better": e.variant if up else e.baseline,
        "worse": e.baseline if up else e.variant,
        "size": points(abs(e.estimate)),
        "larger": "larger" if up else "smaller",
        "higher": "higher" if up else "lower",
    }
