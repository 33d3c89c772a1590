"""How messages end about a table of predictions whose columns or classes have other names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from earmark.analysis.predictions import PROBABILITY
from earmark.runtime.console import brief

LAYOUTS = (
    f"give clip_id, path, file or filename, and {PROBABILITY}<class> for each class, or prediction; for results of "
    "BirdNET-Analyzer give --format birdnet"
)
"""The tables that can be imported, at the end of a message."""


def no_prediction(columns: Sequence[str], names: Sequence[str]) -> str:
    """What is said of a table without predictions; it may have them under other names."""
    prefixes = {column.removesuffix(names[0]) for column in columns if column.endswith(names[0])}
    for prefix in sorted(prefixes):
        if {prefix + name for name in names} <= {*columns}:
            return (
                f"the columns of the classes need {PROBABILITY} before the name; rename {prefix + names[0]!r} to "
                f"{PROBABILITY + names[0]!r}, and the others alike"
            )
    labels = [column for column in columns if "pred" in column.casefold()]
    remedy = f"rename {labels[0]!r} to 'prediction'" if len(labels) == 1 else LAYOUTS
    return f"no prediction among {brief(', '.join(columns))}; {remedy}"


def of_number(name: str, names: Sequence[str]) -> str:
    """For a number in place of the name of a class, in the order of the tool; empty for another text.

    Args:
        name: what should be a class.
        names: the classes, sorted.
    """
    if not name.removesuffix(".0").isdecimal() or any(known.isdecimal() for known in names):
        return ""
    order = f"0 is {names[0]!r} and {len(names) - 1} is {names[-1]!r}"
    return f"; write the name of the class that has this number in the tool (if it sorts them, {order})"


def of_sum(probs_K: np.ndarray) -> str:
    """For a row whose probabilities do not sum to 1."""
    if 99 <= probs_K.sum() <= 101:
        return "divide percentages by 100"
    if probs_K.min() >= 0 and 0 < probs_K.max() <= 1:
        return "they must sum to 1: divide each row by its sum where every class has a sigmoid, or round less"
    return "give values from 0 to 1 that sum to 1 (softmax of logits)"
