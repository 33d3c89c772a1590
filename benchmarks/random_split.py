"""What a random split of UrbanSound8K is worth: how much of its test subset is known from training.

    python benchmarks/random_split.py UrbanSound8K/metadata/UrbanSound8K.csv

No audio is needed: the table of the set names the Freesound recording (fsID) of each slice. For the split of a
much-copied tutorial (every tenth row is tested), for random splits, and for the published folds, the script prints how
many test clips have a slice of the same recording in training, and the accuracy of a lookup that never listens: it
answers with the most frequent class of that recording in training, or of all training clips.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.datasets.rows import read_rows
from earmark.runtime.text_tables import align_columns

SEEDS = range(100)


@dataclass(frozen=True)
class Slice:
    """A row of the table."""

    recording: str
    label: str
    fold: str


@dataclass(frozen=True)
class Leak:
    """What training knows of a test subset."""

    n_test: int
    n_shared: int
    """Test clips with a slice of the same recording in training."""
    n_looked_up: int
    """Test clips whose class the lookup gets right."""


def read_slices(table: Path) -> list[Slice]:
    """The rows of UrbanSound8K.csv, in the order of the file."""
    rows = read_rows(table, ("fsID", "class", "fold"), "give UrbanSound8K/metadata/UrbanSound8K.csv")
    return [Slice(row["fsID"], row["class"], row["fold"]) for _, row in rows]


def measure(slices: Sequence[Slice], test: Iterable[int]) -> Leak:
    """The leak of a split, given the indices of its test clips."""
    tested = set(test)
    classes: dict[str, Counter[str]] = defaultdict(Counter)
    for i, s in enumerate(slices):
        if i not in tested:
            classes[s.recording][s.label] += 1
    default = sum(classes.values(), Counter()).most_common(1)[0][0]
    known = {recording: counts.most_common(1)[0][0] for recording, counts in classes.items()}
    n_shared = sum(slices[i].recording in known for i in tested)
    n_looked_up = sum(known.get(slices[i].recording, default) == slices[i].label for i in tested)
    return Leak(len(tested), n_shared, n_looked_up)


def every_tenth(slices: Sequence[Slice]) -> list[Leak]:
    """Rows 0, 10, 20 ... of the table are tested."""
    return [measure(slices, range(0, len(slices), 10))]


def at_random(slices: Sequence[Slice], fraction: float) -> list[Leak]:
    """A fraction of the rows, drawn at random with each of `SEEDS`."""
    n_test = round(fraction * len(slices))
    return [measure(slices, random.Random(seed).sample(range(len(slices)), n_test)) for seed in SEEDS]


def published(slices: Sequence[Slice]) -> list[Leak]:
    """Each of the ten folds once."""
    folds = sorted({s.fold for s in slices})
    return [measure(slices, [i for i, s in enumerate(slices) if s.fold == fold]) for fold in folds]


def by_recording(slices: Sequence[Slice], n_folds: int = 10) -> list[Leak]:
    """Folds of whole recordings, dealt in random order."""
    recordings = sorted({s.recording for s in slices})
    random.Random(0).shuffle(recordings)
    fold_of = {recording: i % n_folds for i, recording in enumerate(recordings)}
    return [measure(slices, [i for i, s in enumerate(slices) if fold_of[s.recording] == k]) for k in range(n_folds)]


def main() -> None:
    parser = argparse.ArgumentParser(description="How much of a test subset of UrbanSound8K is known from training.")
    parser.add_argument("table", type=Path, help="UrbanSound8K/metadata/UrbanSound8K.csv")
    slices = read_slices(parser.parse_args().table)
    splits = {
        "every tenth row": every_tenth(slices),
        "random, 10 %": at_random(slices, 0.1),
        "random, 20 %": at_random(slices, 0.2),
        "published folds": published(slices),
        "by recording": by_recording(slices),
    }
    rows = [["split", "times", "test clips", "same recording in training", "%", "lookup, % right"]]
    for name, leaks in splits.items():
        n_test, n_shared, right = (sum(getattr(leak, f.name) for leak in leaks) for f in dataclasses.fields(Leak))
        shares = (f"{100 * n / n_test:.1f}" for n in (n_shared, right))
        rows.append([name, str(len(leaks)), str(n_test), str(n_shared), *shares])
    print(align_columns(rows))


if __name__ == "__main__":
    main()
