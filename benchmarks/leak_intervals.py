"""How often the intervals of `earmark optimism` cover the true difference, by simulation.

    python benchmarks/leak_intervals.py            # a table in Markdown, about 10 minutes on one free core
    python benchmarks/leak_intervals.py --quick    # the same with a tenth of the experiments

An honest and a leaky network answer clips of common difficulty; each training set and each seed shifts a network by a
random amount of the given size (in the units of difficulty, whose standard deviation is 1.36). "Equal folds" is how
conditions with the folds of the honest split are compared, "random clips" how `random_clips` is. "Groups only" is the
bootstrap over groups of random clips that was used before. Exit status 1 if random clips are covered less often than
equal folds by more than four standard errors of the difference.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.special import ndtr

from earmark.analysis.leaks import measure_leaks
from earmark.analysis.records import RunRecord
from earmark.analysis.statistics import percentile_interval, resample_groups
from earmark.config.suite import RunConfig

GROUP, CLIP, ANSWER = 0.6, 1.0, 0.7
"""Standard deviations of the difficulty of groups and clips, and of what a training changes clip by clip."""
EASY, GAIN = 0.3, 0.05
"""What the honest network is better than difficulty, and what the leak adds."""
STRUCTURES = ((5, 100, 4), (10, 10, 40), (5, 20, 10), (2, 40, 1))
"""Folds, groups, clips per group."""


def answers(fold: np.ndarray, difficulty: np.ndarray, skill: float, n_seeds: int, effect: float, rng) -> np.ndarray:
    """Which clips are answered right by the network that tests them, bool (S, N)."""
    training_set = rng.normal(0, effect, fold.max() + 1)
    seeds = rng.normal(0, effect, (n_seeds, fold.max() + 1))
    noise = rng.normal(0, ANSWER, (n_seeds, len(fold)))
    return skill + (training_set + seeds)[:, fold] + noise > difficulty


def records(condition: str, fold: np.ndarray, group: np.ndarray, right: np.ndarray) -> list[RunRecord]:
    """The answers as finished runs of one condition."""
    found = []
    for f, s in np.ndindex(fold.max() + 1, len(right)):
        tested = np.flatnonzero(fold == f)
        config = RunConfig(variant=condition, fold=int(f) + 1, seed=int(s))
        targets = np.zeros(len(tested), int)
        found.append(
            RunRecord(
                folder=Path(),
                config=config,
                id=f"{condition}-{f}-{s}",
                settings_id="",
                class_names=("a", "b"),
                data_fingerprint="",
                manifest_digest="",
                result={},
                timing={},
                subsets_digest="",
                n_train=len(fold) - len(tested),
                n_train_groups=0,
                clip_ids=tuple(f"{i:05d}" for i in tested),
                groups=tuple(str(g) for g in group[tested]),
                targets=targets,
                predictions=np.where(right[s, tested], 0, 1),
                probs=np.eye(2)[targets],
            )
        )
    return found


def experiment(n_folds: int, n_groups: int, size: int, n_seeds: int, effect: float, rng) -> tuple[float, list]:
    """The true difference, and the intervals of equal folds, of random clips, and of those over groups only."""
    group = np.repeat(np.arange(n_groups), size)
    difficulty = rng.normal(0, GROUP, n_groups)[group] + rng.normal(0, CLIP, len(group))
    folds = np.repeat(rng.permutation(n_groups) % n_folds, size)
    random_folds = rng.permutation(len(group)) % n_folds
    fold_of = {"honest": folds, "epoch_on_test": folds, "random_clips": random_folds}
    right = {
        name: answers(fold, difficulty, EASY + (name != "honest") * GAIN, n_seeds, effect, rng)
        for name, fold in fold_of.items()
    }
    runs = [r for name, fold in fold_of.items() for r in records(name, fold, group, right[name])]
    by_condition = {e.condition: e.interval for e in measure_leaks(runs, {}) if e.metric == "accuracy"}
    drawn = resample_groups(n_groups, 1000, rng)
    per_group = np.bincount(group, (right["random_clips"] * 1.0 - right["honest"]).mean(axis=0)) / size
    before = percentile_interval(drawn @ per_group / n_groups, n_groups)
    spread = np.sqrt(GROUP**2 + CLIP**2 + ANSWER**2 + 2 * effect**2)
    truth = float(ndtr((EASY + GAIN) / spread) - ndtr(EASY / spread))
    return truth, [by_condition["epoch_on_test"], by_condition["random_clips"], before]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the experiments")
    n, short = 30 if parser.parse_args().quick else 300, 0
    print("| folds, groups of clips | seeds | effect | equal folds | random clips | groups only |")
    print("| --- |" + " --- |" * 5)
    for n_folds, n_groups, size in STRUCTURES:
        for n_seeds in (1, 3):
            for effect in (0.0, 0.07, 0.15, 0.3):
                rng = np.random.default_rng(1)
                found = [experiment(n_folds, n_groups, size, n_seeds, effect, rng) for _ in range(n)]
                covered = np.array([[low <= truth <= high for low, high in intervals] for truth, intervals in found])
                equal, other, before = covered.mean(axis=0)
                error = np.sqrt((equal * (1 - equal) + other * (1 - other)) / n)
                short += other < equal - max(4 * error, 1 / n)
                cells = " | ".join(f"{100 * share:.0f} %" for share in (equal, other, before))
                print(f"| {n_folds}, {n_groups} of {size} | {n_seeds} | {effect} | {cells} |", flush=True)
    return int(short > 0)


if __name__ == "__main__":
    sys.exit(main())
