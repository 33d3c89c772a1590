"""Labels that look wrong: confident learning on the predictions of clips that a run has not trained on.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, 2021. A clip
is judged by the runs that tested it: out of fold, as far as their splits are sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.analysis.comparable import check_comparable
from earmark.analysis.learning_curve import split_points
from earmark.analysis.records import RunError, RunRecord
from earmark.runtime.errors import suggest
from earmark.runtime.files import write_csv
from earmark.runtime.text_tables import align_columns

COLUMNS = ("rank", "clip_id", "group", "label", "suggested", "label_probability", "suggested_probability", "n_runs")
N_SHOWN = 20
"""Clips of the list that a terminal shows."""
MANY = 0.2
"""A larger fraction of suspicious clips is a sign of predictions that are no better."""
NO_ORDER = (
    "these runs have one predicted label for each clip and no probabilities, so that every mistake would be equally "
    "suspicious; import probabilities, or the predictions of several seeds or tools"
)


@dataclass(frozen=True, eq=False)
class Suspect:
    """A clip whose label may be wrong."""

    clip_id: str
    group: str
    label: str
    suggested: str
    """The most probable class, mean over runs."""
    label_probability: float
    """Of its label, mean over runs: the self-confidence."""
    suggested_probability: float
    runs: tuple[RunRecord, ...]
    """The runs that tested it."""


@dataclass(frozen=True)
class Suspects:
    """The clips that look mislabeled, the most suspicious first."""

    clips: tuple[Suspect, ...]
    n_clips: int
    """Clips that were examined."""
    variants: tuple[str, ...]
    """Whose predictions were averaged."""
    reason: str = ""
    """Why there is no list; empty where there is one."""


def find_suspects(records: Sequence[RunRecord], variant: str = "") -> Suspects:
    """Clips that look mislabeled, by the mean probabilities of all seeds, folds and variants that tested them.

    Runs with predicted labels only are left out, unless there are no others; with one label per clip there is no list.

    Args:
        records: finished runs that may be in one table.
        variant: whose predictions are used; empty averages all variants.

    Raises:
        RunError: the runs cannot be in one table, or a variant is not among them.
    """
    check_comparable(records)
    records, _ = split_points(records)
    names = sorted({r.variant for r in records})
    if variant and variant not in names:
        raise RunError(f"variant = {variant!r}: no variant of these runs{suggest(variant, names)}")
    chosen = [r for r in records if not variant or r.variant == variant]
    chosen = [r for r in chosen if r.has_probs] or chosen
    places = places_of_clips(chosen)
    found = [places[clip_id] for clip_id in sorted(places)]
    variants = tuple(sorted({r.variant for r in chosen}))
    if not chosen[0].has_probs and max(map(len, found)) == 1:
        return Suspects((), len(found), variants, NO_ORDER)
    probs_NK = np.array([np.mean([record.probs[row] for record, row in of_clip], axis=0) for of_clip in found])
    targets_N = np.array([of_clip[0][0].targets[of_clip[0][1]] for of_clip in found])
    rows = suspicious_rows(probs_NK, targets_N)
    clips = tuple(_suspect(found[row], probs_NK[row]) for row in rows)
    return Suspects(clips, len(found), variants)


def places_of_clips(records: Sequence[RunRecord]) -> dict[str, list[tuple[RunRecord, int]]]:
    """The runs that tested each clip, with its row in them."""
    places: dict[str, list[tuple[RunRecord, int]]] = {}
    for record in records:
        for row, clip_id in enumerate(record.clip_ids):
            places.setdefault(clip_id, []).append((record, row))
    return places


def suspicious_rows(probs_NK: np.ndarray, targets_N: np.ndarray) -> np.ndarray:
    """The clips that look mislabeled: as many as labels are estimated to be wrong, the least self-confident first.

    Self-confidence is the probability of a clip's own label. Clips whose label is the most probable class are never
    suspicious.

    Args:
        probs_NK: (N, K) out-of-fold probabilities.
        targets_N: (N,) labels as indices of classes.
    """
    self_confidence = probs_NK[np.arange(len(targets_N)), targets_N]
    order = np.argsort(self_confidence, kind="stable")
    wrong = order[probs_NK[order].argmax(axis=1) != targets_N[order]]
    return wrong[: round(estimate_errors(probs_NK, targets_N))]


def estimate_errors(probs_NK: np.ndarray, targets_N: np.ndarray) -> float:
    """The number of wrong labels, by the confident joint.

    A clip counts to a class if its probability reaches the mean probability of the clips with that label (equation 2 of
    the paper); of several classes to the most probable one, and nowhere if to none. The counts of each label are scaled
    to its number of clips (equation 3); those off the diagonal are the errors. The arguments are those of
    `suspicious_rows`.
    """
    n_classes = probs_NK.shape[1]
    sizes = np.bincount(targets_N, minlength=n_classes)
    thresholds = np.array([probs_NK[targets_N == k, k].mean() if sizes[k] else np.inf for k in range(n_classes)])
    above = probs_NK >= thresholds - 1e-12
    counted = above.any(axis=1)
    joint = np.zeros((n_classes, n_classes))
    np.add.at(joint, (targets_N[counted], np.where(above, probs_NK, -1).argmax(axis=1)[counted]), 1)
    rows = joint.sum(axis=1)
    return float(((rows - np.diagonal(joint)) * sizes / np.maximum(rows, 1)).sum())


def _suspect(found: Sequence[tuple[RunRecord, int]], probs: np.ndarray) -> Suspect:
    record, row = found[0]
    target, suggested = int(record.targets[row]), int(probs.argmax())
    names = record.class_names
    return Suspect(
        clip_id=record.clip_ids[row],
        group=record.groups[row],
        label=names[target],
        suggested=names[suggested],
        label_probability=float(probs[target]),
        suggested_probability=float(probs[suggested]),
        runs=tuple(r for r, _ in found),
    )


def write_suspects(suspects: Suspects, path: str | Path) -> None:
    """Write the list as CSV, one row per clip."""
    rows = []
    for n, s in enumerate(suspects.clips, start=1):
        probs = (f"{s.label_probability:.4f}", f"{s.suggested_probability:.4f}")
        rows.append((str(n), s.clip_id, s.group, s.label, s.suggested, *probs, str(len(s.runs))))
    write_csv(Path(path), [COLUMNS, *rows])


def suspects_text(suspects: Suspects) -> str:
    """The head of the list for a terminal."""
    rows = [
        [s.clip_id, s.label, s.suggested, f"{100 * s.label_probability:.0f}", f"{100 * s.suggested_probability:.0f}"]
        for s in suspects.clips[:N_SHOWN]
    ]
    header = ["clip", "label", "looks like", "label, %", "looks like, %"]
    table = [align_columns([header, *rows])] if rows else []
    more = [f"and {len(suspects.clips) - N_SHOWN} more"] if len(suspects.clips) > N_SHOWN else []
    return "\n".join([*table, *more, summary(suspects)])


def summary(suspects: Suspects) -> str:
    """How many clips look mislabeled, by which predictions."""
    many = "Such a long list points to weak predictions rather than wrong labels. "
    doubt = many if len(suspects.clips) > MANY * suspects.n_clips else ""
    return (
        f"{len(suspects.clips)} of {suspects.n_clips} clips are suspicious according to the predictions of "
        f"{', '.join(suspects.variants)}. {doubt}Listen before you change a label: a hard clip looks "
        "like a wrong label."
    )
