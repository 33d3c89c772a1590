"""None of these: how far a sound is from everything that a network was trained on.

The score is the cosine distance of a clip's embedding to the nearest reference (Sun et al. 2022, "Out-of-distribution
detection with deep nearest neighbors"). References stand for the training clips, class by class, so that a model needs
few of them. The threshold is a quantile over clips of known classes that the network was not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.runtime.errors import EarmarkError

PER_CLASS = 10
"""References of a class; more made the score worse (docs/deploy.md has the table)."""
MAX_REFERENCES = 512
"""References of a model, over all classes and all networks of an ensemble."""


@dataclass(frozen=True)
class UnknownGate:
    """From which score on a sound is none of the classes."""

    threshold: float
    """Scores above it are `unknown`."""
    false_alarms: float
    """Share of the clips of known classes that are above it."""
    n_clips: int
    """Clips that it was set on; no network was trained on them."""


def check_false_alarms(rate: float) -> None:
    """Raise `EarmarkError` unless the rate is between 0 and 1."""
    if not 0 < rate < 1:
        raise EarmarkError(f"false-alarms = {rate}: give a share between 0 and 1, for example 0.05")


def references_per_class(n_classes: int, n_networks: int = 1) -> int:
    """How many references each class has in each network of a model."""
    return max(1, min(PER_CLASS, MAX_REFERENCES // (n_classes * n_networks)))


def make_references(embeddings_ND: np.ndarray, targets_N: np.ndarray, per_class: int) -> np.ndarray:
    """Unit vectors, float16 (R, D), that stand for the training clips of a network.

    The centers of k-means within each class, or all clips of a class that has few enough.

    Args:
        embeddings_ND: (N, D) of the training clips.
        targets_N: (N,) their classes.
        per_class: the most for each class.
    """
    unit = _unit(embeddings_ND)
    centers = [_centers(unit[targets_N == k], per_class) for k in np.unique(targets_N)]
    return _unit(np.concatenate(centers)).astype(np.float16)


def _centers(unit_ND: np.ndarray, n_centers: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    if len(unit_ND) <= n_centers:
        return unit_ND
    return KMeans(n_centers, n_init=1, random_state=0).fit(unit_ND).cluster_centers_


def stack_references(references: Sequence[np.ndarray]) -> np.ndarray:
    """The references of several networks, (M, R, D); one with fewer repeats its first, which changes no distance."""
    most = max(map(len, references))
    return np.stack([np.concatenate([one, np.repeat(one[:1], most - len(one), axis=0)]) for one in references])


def unknown_scores(embeddings_ND: np.ndarray, references_MRD: np.ndarray) -> np.ndarray:
    """Cosine distance to the nearest reference, float64 (N,), from 0 to 2; the mean over the networks of an ensemble.

    Args:
        embeddings_ND: (N, M D) the embeddings of the M networks, side by side.
        references_MRD: (M, R, D) the references of each.
    """
    n_networks, _, size = references_MRD.shape
    if np.shape(embeddings_ND)[1:] != (n_networks * size,):
        raise EarmarkError(
            f"references of {n_networks} x {size} numbers do not fit embeddings of shape {np.shape(embeddings_ND)}; "
            "make the model again with `earmark finalize`"
        )
    parts = np.asarray(embeddings_ND, np.float32).reshape(len(embeddings_ND), n_networks, size)
    references = references_MRD.astype(np.float32)
    nearest = [(_unit(parts[:, m]) @ references[m].T).max(axis=1) for m in range(n_networks)]
    return 1 - np.stack(nearest).mean(axis=0, dtype=np.float64)


def _unit(vectors_ND: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors_ND, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def set_gate(held_out_N: np.ndarray, false_alarms: float) -> UnknownGate:
    """The smallest threshold with at most this fraction of false alarms among held-out clips of known classes."""
    n_above = int(false_alarms * len(held_out_N) + 1e-9)
    return UnknownGate(float(np.sort(held_out_N)[-1 - n_above]), false_alarms, len(held_out_N))


@dataclass(frozen=True, eq=False)
class HeldOutClass:
    """Scores of a network that was trained without a class; the higher, the more unknown."""

    label: str
    known: dict[str, np.ndarray]
    """By score, (N,): clips of the known classes that it was not trained on."""
    unknown: dict[str, np.ndarray]
    """By score, (N,): clips of the class."""


def compared_scores(logits_NK: np.ndarray, distances_N: np.ndarray) -> dict[str, np.ndarray]:
    """The three scores that are compared, each the higher, the more unknown.

    Distance to the references; 1 - largest probability (Hendrycks and Gimpel 2017); energy (Liu et al. 2020).
    """
    logits = np.asarray(logits_NK, np.float64)
    top = logits.max(axis=1)
    energy = -(top + np.log(np.exp(logits - top[:, None]).sum(axis=1)))
    return {"distance": distances_N, "probability": 1 - np.exp(top + energy), "energy": energy}


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


def unknown_table(held_out: Sequence[HeldOutClass], false_alarms: float) -> list[UnknownRow]:
    """One row per class and, last, their mean.

    Args:
        held_out: of at least two classes; several entries of one class are taken together.
        false_alarms: rate that the threshold is set for.
    """
    rows = []
    for label in sorted({one.label for one in held_out}):
        own = [one for one in held_out if one.label == label]
        others = np.concatenate([one.known["distance"] for one in held_out if one.label != label])
        threshold = set_gate(others, false_alarms).threshold
        known, unknown = (
            {name: np.concatenate([getattr(one, side)[name] for one in own]) for name in own[0].known}
            for side in ("known", "unknown")
        )
        rows.append(
            UnknownRow(
                label,
                len(unknown["distance"]),
                {name: float(np.mean([_auroc(one.known[name], one.unknown[name]) for one in own])) for name in known},
                float((unknown["distance"] > threshold).mean()),
                float((known["distance"] > threshold).mean()),
                float((unknown["probability"] < 0.5).mean()),
            )
        )
    return [*rows, _mean_row(rows)]


def _mean_row(rows: Sequence[UnknownRow]) -> UnknownRow:
    auroc = {name: float(np.mean([row.auroc[name] for row in rows])) for name in rows[0].auroc}
    means = [float(np.mean([getattr(row, name) for row in rows])) for name in ("detected", "false_alarms", "confident")]
    return UnknownRow("mean", sum(row.n_clips for row in rows), auroc, *means)


def _auroc(known_N: np.ndarray, unknown_N: np.ndarray) -> float:
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(unknown_N, known_N).statistic / (len(known_N) * len(unknown_N)))


def unknown_table_rows(rows: Sequence[UnknownRow]) -> list[list[str]]:
    """The table as text, the header first."""
    names = list(rows[0].auroc)
    head = ["class held out", "clips", *(f"AUROC {name}" for name in names), "detected", "false alarms", "p > 0.5"]
    shares = [[f"{100 * x:.1f} %" for x in (row.detected, row.false_alarms, row.confident)] for row in rows]
    scores = [[f"{row.auroc[name]:.3f}" for name in names] for row in rows]
    return [head, *([r.label, str(r.n_clips), *s, *p] for r, s, p in zip(rows, scores, shares, strict=True))]
