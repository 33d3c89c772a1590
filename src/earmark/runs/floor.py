"""The floor under a comparison: what can be scored without any network.

Three references are scored on the test subset of every fold: the majority class; a logistic regression on the mean and
standard deviation of every mel bin of the very images that the networks see; and the audit's shortcut classifier,
which knows the file (length, level, codec) and not the sound. A network that does not beat them has learned nothing
that needs a network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.datasets.manifest import Clip
from earmark.runtime.files import write_csv
from earmark.splits.split import Split

FLOOR_FILE = "floor.csv"
REFERENCES = ("majority", "band_statistics", "shortcuts")


@dataclass(frozen=True)
class FloorRow:
    """What the references predict for one test clip of one fold."""

    fold: int
    clip_id: str
    group: str
    label: str
    majority: str
    band_statistics: str
    shortcuts: str
    """Empty where the recordings are not at hand, as with ready-made images."""


def band_statistics(image_FT: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time of each mel bin of an image, uint8 (F, T), as float64 (2F,) in [0, 1]."""
    image = image_FT.astype(np.float64) / 255
    return np.concatenate([image.mean(axis=1), image.std(axis=1)])


def score_floor(
    clips: Sequence[Clip],
    splits: Iterable[Split],
    statistics: Mapping[str, np.ndarray],
    file_facts: Mapping[str, Sequence[float]] | None = None,
) -> list[FloorRow]:
    """Predictions of the three references for the test clips of every split.

    Args:
        clips: the manifest.
        splits: one per fold; the references are fitted on its training subset alone.
        statistics: `band_statistics` of each clip, by clip id.
        file_facts: numbers that describe the file of each clip, by clip id; None leaves that reference out.
    """
    by_id = {clip.clip_id: clip for clip in clips}
    rows = []
    for split in splits:
        train = [by_id[clip_id] for clip_id in split.train]
        test = [by_id[clip_id] for clip_id in split.test or split.valid]
        labels = [clip.label for clip in train]
        majority = min(Counter(labels).items(), key=lambda item: (-item[1], item[0]))[0]
        bands = _logistic(train, test, statistics)
        shortcuts = _tree(train, test, file_facts) if file_facts else [""] * len(test)
        rows += [
            FloorRow(split.fold, clip.clip_id, clip.group, clip.label, majority, band, shortcut)
            for clip, band, shortcut in zip(test, bands, shortcuts, strict=True)
        ]
    return rows


def _logistic(train: Sequence[Clip], test: Sequence[Clip], features: Mapping[str, np.ndarray]) -> list[str]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len({clip.label for clip in train}) < 2:
        return [train[0].label] * len(test)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300, tol=1e-3))
    model.fit(np.array([features[c.clip_id] for c in train]), [c.label for c in train])
    return [str(label) for label in model.predict(np.array([features[c.clip_id] for c in test]))]


def _tree(train: Sequence[Clip], test: Sequence[Clip], facts: Mapping[str, Sequence[float]]) -> list[str]:
    from sklearn.tree import DecisionTreeClassifier

    n_classes = len({clip.label for clip in train})
    tree = DecisionTreeClassifier(
        max_leaf_nodes=max(4 * n_classes, 2), min_samples_leaf=3, class_weight="balanced", random_state=0
    )
    tree.fit(np.array([facts[c.clip_id] for c in train]), [c.label for c in train])
    return [str(label) for label in tree.predict(np.array([facts[c.clip_id] for c in test]))]


def write_floor(rows: Sequence[FloorRow], folder: Path) -> None:
    """Write `floor.csv` into the folder of a suite: one row per test clip."""
    header = ("fold", "clip_id", "group", "label", *REFERENCES)
    write_csv(folder / FLOOR_FILE, [header, *([getattr(row, name) for name in header] for row in rows)])
