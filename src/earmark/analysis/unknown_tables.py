"""Tables of the unknown score, as a model card and a report show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from earmark.runtime.console import pluralize


@dataclass(frozen=True)
class UnknownRow:
    """How well a class is recognized as unknown by networks that were trained without it."""

    label: str
    n_clips: int
    auroc: dict[str, float]
    """By score: how often a clip of the class scores higher than one of a known class."""
    detected: float
    """Share of its clips above the threshold, which the networks of the other classes set."""
    false_alarms: float
    """Share of known clips above that threshold."""
    confident: float
    """Share of its clips that get a known class with a probability above one half."""


@dataclass(frozen=True)
class SoundRow:
    """How a model classifies a synthetic sound that belongs to no class."""

    sound: str
    label: str
    probability: float
    unknown_score: float
    unknown: bool


def threshold_text(threshold: float, false_alarms: float, n_clips: int, held_out: Sequence[float]) -> str:
    """The threshold, and how many held-out clips are above it.

    Args:
        threshold: scores above it are unknown.
        false_alarms: largest fraction of held-out clips above it.
        n_clips: number of held-out clips.
        held_out: their highest scores.
    """
    exceeded = f"exceeded by {sum(score > threshold for score in held_out)} of {pluralize(n_clips, 'held-out clip')}"
    return f"{max(threshold, 0.0):.4f}, {exceeded} of the classes (at most {100 * false_alarms:g} %)"


def unknown_table_rows(rows: Sequence[UnknownRow]) -> list[list[str]]:
    """The classes that were held out, as text, the header first."""
    names = list(rows[0].auroc)
    head = ["class held out", "clips", *(f"AUROC {name}" for name in names), "detected", "false alarms", "p > 0.5"]
    shares = [[f"{100 * x:.1f} %" for x in (row.detected, row.false_alarms, row.confident)] for row in rows]
    scores = [[f"{row.auroc[name]:.3f}" for name in names] for row in rows]
    return [head, *([r.label, str(r.n_clips), *s, *p] for r, s, p in zip(rows, scores, shares, strict=True))]


def sound_table_rows(rows: Sequence[SoundRow]) -> list[list[str]]:
    """The synthetic sounds, as text, the header first."""
    head = ["sound", "class named", "probability", "unknown score", "called unknown"]
    return [
        head,
        *(
            [r.sound, r.label, f"{100 * r.probability:.1f} %", f"{r.unknown_score:.2f}", "yes" if r.unknown else "no"]
            for r in rows
        ),
    ]
