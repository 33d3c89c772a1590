"""Shortcuts: whether the length, the level or the codec of a file alone predicts its label or its subset.

A dataset in which they do rewards a network for the wrong thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.audio.io import AudioInfo
from earmark.audio.quality import Quality
from earmark.splits.stratify import balanced_subsets

FEATURES = ("length", "sample rate", "channels", "codec", "loudness", "clipping", "silence")
INCIDENTAL = frozenset(FEATURES[:4])
"""Features that have nothing to do with the sound: they must not predict the label."""
MAX_CLIPS = 4000
"""Larger datasets are judged by a sample of whole groups."""
N_FOLDS = 5
SHUFFLES = 19
"""With the true order among 20, the chance that a property is the best by luck in it is 5 %."""
MIN_GAIN = 0.05
"""A gain over chance below five points is not worth a warning."""


@dataclass(frozen=True)
class ClipFacts:
    """What the file of a clip is like."""

    duration: float
    """Length in seconds."""
    sample_rate: int
    """Hz."""
    channels: int
    """Number of channels."""
    codec: str
    """Container and encoding, as ``WAV PCM_16``."""
    loudness_db: float
    """Root mean square over the clip in dB of full scale."""
    clipped: float
    """Fraction of the samples in runs at full scale."""
    silence: float
    """Fraction of the frames 60 dB below the loudest one."""

    def features(self) -> tuple[float | str, ...]:
        """The values of `FEATURES`."""
        levels = (round(self.loudness_db, 1), round(self.clipped, 5), round(self.silence, 3))
        return round(self.duration, 3), self.sample_rate, self.channels, self.codec, *levels


def facts_of(quality: Quality, info: AudioInfo) -> ClipFacts:
    """The facts of a file from its decoded samples and its header."""
    return ClipFacts(
        duration=quality.duration,
        sample_rate=info.sample_rate,
        channels=info.channels,
        codec=f"{info.format} {info.subtype}",
        loudness_db=quality.rms_db,
        clipped=quality.clipped_fraction,
        silence=quality.silent_fraction,
    )


@dataclass(frozen=True)
class Shortcut:
    """How well a property of the files alone predicts the label or the subset."""

    target: str
    """What is predicted: ``label`` or ``subset``."""
    feature: str
    """One of `FEATURES`, or ``all of them``."""
    accuracy: float
    """Balanced accuracy (mean recall) of a decision tree, cross-validated by group."""
    chance: float
    """Balanced accuracy of guessing."""
    best_shuffled: float
    """Best balanced accuracy of any property among 19 shuffles of all of them over the groups: the same for each
    property, so that one of several does not stand out by luck (Westfall and Young 1993)."""

    @property
    def predicts(self) -> bool:
        """Whether that is clearly more than chance."""
        return self.accuracy > self.best_shuffled and self.accuracy >= self.chance + MIN_GAIN

    @property
    def incidental(self) -> bool:
        """Whether the property has nothing to do with the sound."""
        return self.feature in INCIDENTAL


def find_shortcuts(
    facts: Sequence[ClipFacts], targets: Sequence[str], groups: Sequence[str], target: str
) -> list[Shortcut]:
    """Score a decision tree on each property that varies, and on all of them.

    Args:
        facts: one per clip.
        targets: label or subset of each clip.
        groups: group of each clip; a group is never both trained and tested.
        target: what the targets are.

    Returns:
        The best predictor first; empty when there are fewer than two targets or groups, and when nothing varies.
    """
    rows = _sample(groups)
    names, target_N = np.unique(np.array(targets)[rows], return_inverse=True)
    group_N = np.unique(np.array(groups)[rows], return_inverse=True)[1]
    if len(names) < 2 or group_N.max() < 1:
        return []
    columns = list(zip(*(facts[i].features() for i in rows), strict=True))
    value_NF = np.column_stack([np.unique(np.array(column), return_inverse=True)[1] for column in columns])
    varying = [k for k in range(len(FEATURES)) if np.ptp(value_NF[:, k])]
    if not varying:
        return []
    subsets = {FEATURES[k]: [k] for k in varying} | ({"all of them": varying} if len(varying) > 1 else {})
    folds, chance = _folds(target_N, group_N), 1 / len(names)

    def accuracies(values: np.ndarray) -> list[float]:
        return [_accuracy(values[:, chosen], target_N, folds) for chosen in subsets.values()]

    rng = np.random.default_rng(0)
    best_shuffled = max(max(accuracies(value_NF[_shuffle(group_N, rng)])) for _ in range(SHUFFLES))
    scored = zip(subsets, accuracies(value_NF), strict=True)
    found = [Shortcut(target, feature, accuracy, chance, best_shuffled) for feature, accuracy in scored]
    return sorted(found, key=lambda shortcut: -shortcut.accuracy)


def _sample(groups: Sequence[str]) -> np.ndarray:
    """Rows of whole groups, at random, until there are enough clips; of clips where fewer than two groups fit."""
    names, group_N = np.unique(np.array(groups), return_inverse=True)
    if len(groups) <= MAX_CLIPS:
        return np.arange(len(groups))
    order = np.random.default_rng(0).permutation(len(names))
    n_until = np.cumsum(np.bincount(group_N)[order])
    chosen = order[n_until <= MAX_CLIPS]
    if len(chosen) < 2:
        return np.sort(np.random.default_rng(0).permutation(len(groups))[:MAX_CLIPS])
    return np.flatnonzero(np.isin(group_N, chosen))


def _folds(target_N: np.ndarray, group_N: np.ndarray) -> np.ndarray:
    """The fold of each clip: stratified, a group in one fold."""
    counts = np.zeros((group_N.max() + 1, target_N.max() + 1), dtype=np.int64)
    np.add.at(counts, (group_N, target_N), 1)
    n_folds = min(N_FOLDS, len(counts))
    return balanced_subsets(counts, np.full(n_folds, 1 / n_folds), seed=0)[group_N]


def _shuffle(group_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows that exchange whole groups, because clips of a group resemble one another."""
    order = np.lexsort((rng.random(len(group_N)), rng.permutation(group_N.max() + 1)[group_N]))
    rows = np.empty_like(order)
    rows[np.argsort(group_N, kind="stable")] = order
    return rows


def _accuracy(value_NF: np.ndarray, target_N: np.ndarray, folds: np.ndarray) -> float:
    from sklearn.tree import DecisionTreeClassifier

    n_targets = int(target_N.max()) + 1
    predicted = np.full(len(target_N), -1)
    for fold in np.unique(folds):
        test = folds == fold
        tree = DecisionTreeClassifier(
            max_leaf_nodes=4 * n_targets, min_samples_leaf=3, class_weight="balanced", random_state=0
        )
        predicted[test] = tree.fit(value_NF[~test], target_N[~test]).predict(value_NF[test])
    hits = np.bincount(target_N, weights=predicted == target_N, minlength=n_targets)
    return float(np.mean(hits / np.bincount(target_N, minlength=n_targets)))
