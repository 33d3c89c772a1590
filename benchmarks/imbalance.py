"""Methods for imbalanced classes: an imbalanced draw of the training clips of ESC-10, and EmoDB-2s as it is.

    python benchmarks/imbalance.py --data DATA --folder OUT

ESC-10: published folds. In the training subset, a random half of the classes keeps a quarter of its groups, rounded up;
the draw differs between folds. The test subsets stay as they are, with equally large classes. EmoDB-2s: folds of
speakers, classes of 46 to 127 clips. The recipe is short: 32 mel bins, 16 epochs. A second call resumes.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from run_variants import reduced, run_variants

from earmark.config.suite import SuiteConfig, merge
from earmark.datasets.manifest import Clip
from earmark.datasets.read import read_dataset
from earmark.splits.make import make_split
from earmark.splits.split import Split

METHODS = {
    "nothing": {},
    "balanced_weights": {"class_weights": "balanced"},
    "effective_number": {"class_weights": "effective_number"},
    "class_sampler": {"sampler": "class_balanced"},
    "class_group_sampler": {"sampler": "class_group_balanced"},
    "logit_adjustment": {"logit_adjustment": 1.0},
    "focal_loss": {"focal_gamma": 2.0},
}
RECIPE = {
    "metric": "uar",
    "baseline": "nothing",
    "augment": {"freq_mask_bins": 4, "mixup_alpha": 0.0},
    "train": {"epochs": 16, "batch_size": 16},
    "variants": {name: {"train": settings} for name, settings in METHODS.items()},
}
SUITES = {
    "esc10": {
        "name": "esc10-imbalanced",
        "data": {"dataset": "esc10"},
        "front_end": {"hop_length": 4096, "n_fft": 4096, "n_mels": 32},
        "split": {"kind": "folds"},
    },
    "emodb": {
        "name": "emodb-imbalance",
        "data": {"dataset": "emodb"},
        "front_end": {"n_fft": 1024, "hop_length": 1024, "n_mels": 32},
        "split": {"kind": "group_kfold", "n_folds": 5},
    },
}
FOLDERS = {"esc10": "ESC-10", "emodb": "EmoDB-2s"}
KEPT = 0.25
"""Fraction of the groups of a reduced class."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of ESC-10 and EmoDB-2s")
    parser.add_argument("--folder", type=Path, default=Path("out"), help="of images, runs and tables")
    parser.add_argument("--sets", nargs="+", choices=SUITES, default=list(SUITES))
    parser.add_argument("--folds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--draw-seed", type=int, default=0)
    given = parser.parse_args()
    for name in given.sets:
        suite = merge(SuiteConfig(), RECIPE | SUITES[name])
        suite = reduced(suite, str(given.data / FOLDERS[name]), given.folds, given.seeds)

        def split_of(suite: SuiteConfig, fold: int, draw: bool = name == "esc10") -> Split:
            clips = read_dataset(suite.data)
            split = make_split(clips, suite.split, fold)
            return imbalanced(split, clips, given.draw_seed + fold) if draw else split

        run_variants(suite, split_of, given.folder)
    return 0


def imbalanced(split: Split, clips: list[Clip], seed: int) -> Split:
    """The split with a quarter of the groups of a random half of the classes in train."""
    generator = np.random.default_rng(seed)
    groups: dict[str, set[str]] = defaultdict(set)
    train = [clip for clip in clips if clip.clip_id in set(split.train)]
    for clip in train:
        groups[clip.label].add(clip.group)
    labels = sorted(groups)
    kept = {}
    for label in generator.choice(labels, len(labels) // 2, replace=False):
        names = sorted(groups[label])
        kept[label] = set(generator.choice(names, math.ceil(KEPT * len(names)), replace=False))
    ids = [clip.clip_id for clip in train if clip.label not in kept or clip.group in kept[clip.label]]
    return dataclasses.replace(split, train=tuple(sorted(ids)))


if __name__ == "__main__":
    sys.exit(main())
