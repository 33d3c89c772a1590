"""None of these: how far a sound is from everything that a network was trained on.

The score is the cosine distance of a clip's embedding to the nearest reference (Sun et al. 2022, "Out-of-distribution
detection with deep nearest neighbors"), divided by the distance that is usual for held-out clips of that reference's
class: a class of one kind of sound has its clips close together, and one of many kinds has them far apart. References
stand for the training clips, class by class, so that a model needs few of them. The threshold is a quantile over clips
of known classes that the network was not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from earmark.analysis.unknown_tables import UnknownRow
from earmark.runtime.errors import EarmarkError

PER_CLASS = 10
"""References of a class; more made the score worse (docs/deploy.md has the table)."""
MAX_REFERENCES = 512
"""References of a model, over all classes and all networks of an ensemble."""


PRIOR_CLIPS = 40
"""A class's usual distance is drawn toward that of all classes as if this number of its clips had that one.

With fewer, sounds unlike all classes are found more often, and classes that were held out less (docs/deploy.md)."""
SMALLEST_USUAL = 1e-3
"""Distances below it are rounding errors."""
MAX_HELD_OUT = 1000
"""Held-out scores that a model keeps, the highest, so that the threshold can be set for another rate."""
ROUNDING = 1e-4
"""How far a threshold is above the score that sets it, which is not the same to the last digit on every machine."""


@dataclass(frozen=True)
class UnknownGate:
    """From which score on a sound is none of the classes."""

    threshold: float
    """Scores above it are `unknown`."""
    false_alarms: float
    """Largest fraction of the clips of known classes that may be above it."""
    n_clips: int
    """Clips that it was set on; no network was trained on them."""
    held_out: tuple[float, ...] = ()
    """Their scores, the highest first, at most `MAX_HELD_OUT`."""


@dataclass(frozen=True, eq=False)
class References:
    """What the embeddings of a model's M networks are compared with."""

    vectors: np.ndarray
    """Unit vectors, float16 (M, R, D)."""
    scales: np.ndarray
    """The usual distance of each reference's class, float32 (M, R)."""

    def belongs_to(self, n_networks: int) -> bool:
        """Whether the shapes are those for this number of networks."""
        return (
            self.vectors.ndim == 3 and len(self.vectors) == n_networks and self.scales.shape == self.vectors.shape[:2]
        )


def check_false_alarms(rate: float) -> None:
    """Raise `EarmarkError` unless the rate is between 0 and 1."""
    if not 0 < rate < 1:
        raise EarmarkError(f"false-alarms = {rate}: give a share between 0 and 1, for example 0.05")


def references_per_class(n_classes: int, n_networks: int = 1) -> int:
    """How many references each class has in each network of a model."""
    return max(1, min(PER_CLASS, MAX_REFERENCES // (n_classes * n_networks)))


def make_references(embeddings_ND: np.ndarray, targets_N: np.ndarray, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors, float16 (R, D), that stand for the training clips of a network, and their classes (R,).

    The centers of k-means within each class, or all clips of a class that has few enough.

    Args:
        embeddings_ND: (N, D) of the training clips.
        targets_N: (N,) their classes.
        per_class: the most for each class.
    """
    unit, classes = _unit(embeddings_ND).astype(np.float32), np.unique(targets_N)
    centers = [_centers(unit[targets_N == k], per_class) for k in classes]
    return _unit(np.concatenate(centers)).astype(np.float16), np.repeat(classes, [len(one) for one in centers])


def _centers(unit_ND: np.ndarray, n_centers: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    if len(unit_ND) <= n_centers:
        return unit_ND
    return KMeans(n_centers, n_init=1, random_state=0).fit(unit_ND).cluster_centers_


def class_distances(embeddings_ND: np.ndarray, references: tuple[np.ndarray, np.ndarray], n_classes: int) -> np.ndarray:
    """Cosine distance to the nearest reference of each class, float64 (N, K); infinite without one.

    Args:
        references: of one network, from `make_references`.
    """
    vectors, classes = references
    distances = 1 - _unit(embeddings_ND) @ _unit(vectors).T
    found = np.full((len(embeddings_ND), n_classes), np.inf)
    for k in np.unique(classes):
        found[:, k] = distances[:, classes == k].min(axis=1)
    return found


def usual_distances(distances_NK: np.ndarray) -> np.ndarray:
    """Mean distance (K,) of the held-out clips that are nearest to each class, drawn toward the mean of all."""
    nearest, smallest = distances_NK.argmin(axis=1), distances_NK.min(axis=1)
    counts = np.bincount(nearest, minlength=distances_NK.shape[1])
    sums = np.bincount(nearest, smallest, minlength=distances_NK.shape[1])
    return np.maximum((sums + PRIOR_CLIPS * smallest.mean()) / (counts + PRIOR_CLIPS), SMALLEST_USUAL)


def relative_scores(distances_NK: np.ndarray, usual_K: np.ndarray) -> np.ndarray:
    """Unknown scores (N,): how many times the usual distance a clip is from the class that is then the nearest."""
    return (distances_NK / usual_K).min(axis=1)


def cross_fitted_scores(folds: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Unknown scores of held-out clips, each fold (N, K) with the usual distances of the others."""
    others = [[other for j, other in enumerate(folds) if j != i] or [fold] for i, fold in enumerate(folds)]
    return [relative_scores(fold, usual_distances(np.concatenate(o))) for fold, o in zip(folds, others, strict=True)]


def stack_references(networks: Sequence[tuple[np.ndarray, np.ndarray]], usual_K: np.ndarray) -> References:
    """The references of several networks; one with fewer repeats its first, which changes no distance."""
    most = max(len(vectors) for vectors, _ in networks)

    def padded(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.repeat(values[:1], most - len(values), axis=0)])

    vectors = np.stack([padded(vectors) for vectors, _ in networks])
    return References(vectors, np.stack([padded(usual_K[classes]) for _, classes in networks]).astype(np.float32))


def unknown_scores(embeddings_ND: np.ndarray, references: References) -> np.ndarray:
    """Unknown scores, float64 (N,); of an ensemble the mean over its networks.

    Args:
        embeddings_ND: (N, M D) the embeddings of the M networks, side by side.
    """
    n_networks, _, size = references.vectors.shape
    if np.shape(embeddings_ND)[1:] != (n_networks * size,):
        raise EarmarkError(
            f"references of {n_networks} x {size} numbers do not fit embeddings of shape {np.shape(embeddings_ND)}; "
            "make the model again with `earmark finalize`"
        )
    parts = np.asarray(embeddings_ND).reshape(len(embeddings_ND), n_networks, size)
    scores = [
        ((1 - _unit(parts[:, m]) @ _unit(references.vectors[m]).T) / references.scales[m]).min(axis=1)
        for m in range(n_networks)
    ]
    return np.stack(scores).mean(axis=0)


def _unit(vectors_ND: np.ndarray) -> np.ndarray:
    """Rows of length 1, float64: in float32, the distance of two that are nearly equal is a rounding error."""
    vectors = np.asarray(vectors_ND, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def set_gate(held_out_N: np.ndarray, false_alarms: float) -> UnknownGate:
    """The smallest threshold with at most this fraction of false alarms among held-out clips of known classes."""
    highest = tuple(np.sort(held_out_N)[: -MAX_HELD_OUT - 1 : -1].tolist())
    return move_gate(UnknownGate(0.0, false_alarms, len(held_out_N), highest), false_alarms)


def move_gate(gate: UnknownGate, false_alarms: float) -> UnknownGate:
    """The gate for another rate of false alarms.

    Raises:
        EarmarkError: the rate is not between 0 and 1, or above those that the model keeps scores for.
    """
    check_false_alarms(false_alarms)
    n_above = int(false_alarms * gate.n_clips + 1e-9)
    if n_above >= len(gate.held_out):
        most = max(len(gate.held_out) - 1, 0) / max(gate.n_clips, 1)
        raise EarmarkError(f"false-alarms = {false_alarms}: this model has thresholds up to a rate of {most:g}")
    threshold = gate.held_out[n_above]
    return replace(gate, threshold=threshold + ROUNDING * abs(threshold), false_alarms=false_alarms)


@dataclass(frozen=True, eq=False)
class HeldOutClass:
    """What a network that was trained without a class says of clips that it was not trained on."""

    label: str
    known: ComparedScores
    """Clips of the known classes."""
    unknown: ComparedScores
    """Clips of the class."""


@dataclass(frozen=True, eq=False)
class ComparedScores:
    """Scores of N clips; the higher, the more unknown."""

    distances: np.ndarray
    """(N, K) to each class; infinite to the one that was held out."""
    logits: np.ndarray
    """(N, K - 1) of the classes that the network knows."""

    def named(self, distance_N: np.ndarray) -> dict[str, np.ndarray]:
        """All scores: the one that is used, and those that it is compared with.

        The plain distance to the nearest reference; 1 - largest probability (Hendrycks and Gimpel 2017); energy (Liu
        et al. 2020).
        """
        logits = np.asarray(self.logits, np.float64)
        top = logits.max(axis=1)
        energy = -(top + np.log(np.exp(logits - top[:, None]).sum(axis=1)))
        plain = self.distances.min(axis=1)
        return {"distance": distance_N, "plain": plain, "probability": 1 - np.exp(top + energy), "energy": energy}

    def __getitem__(self, chosen_N: np.ndarray) -> ComparedScores:
        """Those of some clips."""
        return ComparedScores(self.distances[chosen_N], self.logits[chosen_N])


def unknown_table(held_out: Sequence[HeldOutClass], false_alarms: float) -> list[UnknownRow]:
    """One row per class and, last, their mean.

    Args:
        held_out: of at least two classes; several entries of one class are taken together.
        false_alarms: rate that the threshold is set for.
    """
    labels = sorted({one.label for one in held_out})
    rows = [
        _row([o for o in held_out if o.label == label], [o for o in held_out if o.label != label], false_alarms)
        for label in labels
    ]
    return [*rows, _mean_row(rows)]


def _row(own: Sequence[HeldOutClass], others: Sequence[HeldOutClass], false_alarms: float) -> UnknownRow:
    """One class, with the usual distances and the threshold of the others."""
    of_others = [one.known.distances for one in others]
    usual = usual_distances(np.concatenate(of_others))
    threshold = set_gate(np.concatenate(cross_fitted_scores(of_others)), false_alarms).threshold
    pairs = [[s.named(relative_scores(s.distances, usual)) for s in (one.known, one.unknown)] for one in own]
    known, unknown = ({name: np.concatenate([p[i][name] for p in pairs]) for name in pairs[0][i]} for i in (0, 1))
    return UnknownRow(
        own[0].label,
        len(unknown["distance"]),
        {name: float(np.mean([_auroc(k[name], u[name]) for k, u in pairs])) for name in known},
        float((unknown["distance"] > threshold).mean()),
        float((known["distance"] > threshold).mean()),
        float((unknown["probability"] < 0.5).mean()),
    )


def _mean_row(rows: Sequence[UnknownRow]) -> UnknownRow:
    auroc = {name: float(np.mean([row.auroc[name] for row in rows])) for name in rows[0].auroc}
    means = [float(np.mean([getattr(row, name) for row in rows])) for name in ("detected", "false_alarms", "confident")]
    return UnknownRow("mean", sum(row.n_clips for row in rows), auroc, *means)


def _auroc(known_N: np.ndarray, unknown_N: np.ndarray) -> float:
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(unknown_N, known_N).statistic / (len(known_N) * len(unknown_N)))
