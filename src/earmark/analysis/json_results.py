"""A comparison as JSON, for programs: variants with their metrics, comparisons with their verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from earmark.analysis.aggregate import Aggregate
from earmark.analysis.compare import Comparison
from earmark.analysis.confidence import Threshold, threshold_records
from earmark.analysis.learning_curve import LearningCurve
from earmark.analysis.slice_tables import slice_rows
from earmark.runtime.files import write_json

FORMAT_VERSION = 1
VERDICTS = {"practically equal": "equal"}
"""Verdicts that a program reads as one word: `better`, `worse`, `equal` or `undecided`."""


def results_json(a: Aggregate) -> dict[str, Any]:
    """The comparison as plain data. All scores and differences are fractions."""
    return {
        "format_version": FORMAT_VERSION,
        "name": a.name,
        "metric": a.metric,
        "n_clips": a.n_clips,
        "n_groups": a.n_groups,
        "chance": a.chance,
        "class_names": list(a.class_names),
        "variants": [
            {
                "variant": v.variant,
                "n_runs": v.n_runs,
                "folds": list(v.folds),
                "seeds": list(v.seeds),
                "selected_on": list(v.selected_on),
                "leaks": list(v.leaks),
                "waived_groups": list(v.waived_groups),
                "n_parameters": v.cost.n_parameters,
                "macs": v.cost.macs,
                "metrics": {m: {"value": s.pooled, "low": s.low, "high": s.high} for m, s in v.metrics.items()},
            }
            for v in a.variants
        ],
        "references": [asdict(reference) for reference in a.references.references],
        "floor": [asdict(check) | {"beaten": check.beaten} for check in a.references.checks],
        "comparisons": [_comparison(c) for c in a.comparisons],
        "learning_curves": [_curve(curve) for curve in a.curves],
        "slices": slice_rows(a.slices) if a.slices else [],
        "notes": list(a.notes),
    }


def _curve(curve: LearningCurve) -> dict[str, Any]:
    """`gain` is that of all training groups over a fraction of them."""
    points = [asdict(point) for point in curve.points]
    return {
        "variant": curve.variant,
        "points": points,
        "gain_fraction": curve.gain_fraction,
        "gain": _comparison(curve.gain),
    }


def _comparison(c: Comparison) -> dict[str, Any]:
    """`a` minus `b`; with too few groups of clips there is no interval, and the verdict is undecided."""
    j = c.judgment
    return {
        "a": c.variant,
        "b": c.baseline,
        "metric": c.metric,
        "difference": c.difference,
        "low": None if j is None else j.low,
        "high": None if j is None else j.high,
        "p_better": None if j is None else j.probability_better,
        "p_equal": None if j is None else j.probability_equal,
        "p_worse": None if j is None else j.probability_worse,
        "p": None if j is None else j.p,
        "rope": c.rope,
        "n_pairs": c.n_pairs,
        "verdict": "undecided" if j is None else VERDICTS.get(c.verdict, c.verdict),
    }


def write_results_json(a: Aggregate, path: str | Path, thresholds: Sequence[Threshold] = ()) -> None:
    """Write `results_json` to a file, with thresholds of the confidence; its folder is created."""
    path = Path(path)
    write_json(path, results_json(a) | {"thresholds": threshold_records(thresholds)})
