"""Simulated runs of several variants whose true scores are known, for `verdict.py`.

A clip is right where a latent score is positive: that of the class and variant, plus the difficulty of the clip's
group and of the clip (shared by all variants), plus what this variant makes of group and clip, plus the training set
(one draw per fold), the seed (one draw per run) and what is new in every run. The truth is the expectation over all of
these, a normal probability in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

GROUP, CLIP, CLIP_OF_VARIANT, CLIP_OF_RUN = 0.5, 0.8, 0.4, 0.4
"""Standard deviations of the latent score."""
CLASS_OFFSETS = np.array([0.4, 0.1, -0.1, -0.4])
NESTED_OFFSET = 0.4


@dataclass(frozen=True)
class Structure:
    """One line of the grid."""

    name: str
    n_groups: int = 100
    clips_per_group: int = 4
    n_folds: int = 5
    """1: a hold-out, with four times as many training clips."""
    n_seeds: int = 3
    partitions: int = 1
    giant: float = 0.0
    """Share of all clips that the first group has."""
    unequal: bool = False
    """Group sizes from 1 to many (geometric)."""
    group_of_variant: float = 0.25
    uar: bool = False
    """Score the average recall of four classes that occur unequally often in each group."""
    nested: int = 0
    """Score the average recall of this many classes; all clips of a group are of one, and folds are stratified."""
    accuracy: float = 0.8
    seed_points: float = 1.0
    """Standard deviation, over seeds, of the difference of two variants."""
    train_points: float = 0.0
    """The same, over training sets."""

    def with_training(self, points: float) -> Structure:
        return replace(self, train_points=points)


@dataclass(frozen=True, eq=False)
class Experiment:
    right: np.ndarray
    """float64 (V, R, N), NaN where a run does not report a clip."""
    fold: np.ndarray
    seed: np.ndarray
    group: np.ndarray
    target: np.ndarray | None
    ratio: float
    truth: np.ndarray
    """(V,)"""


def latent_scale(s: Structure) -> tuple[float, float]:
    """Standard deviation of the latent score without runs, and latent units per unit of accuracy."""
    scale = np.sqrt(GROUP**2 + CLIP**2 + s.group_of_variant**2 + CLIP_OF_VARIANT**2 + CLIP_OF_RUN**2)
    return scale, scale / stats.norm.pdf(stats.norm.ppf(s.accuracy))


def group_sizes(s: Structure, rng: np.random.Generator) -> np.ndarray:
    sizes = np.full(s.n_groups, s.clips_per_group)
    if s.unequal:
        sizes = rng.geometric(1 / s.clips_per_group, s.n_groups)
    if s.giant:
        sizes[0] = round(s.giant / (1 - s.giant) * sizes[1:].sum())
    return sizes


def deal(sizes: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Folds of about equal size: groups in random order, the large ones first, each to the smallest fold, (G,)."""
    order = rng.permutation(len(sizes))
    if sizes.min() == sizes.max():
        return order % n_folds
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold, filled = np.zeros(len(sizes), int), np.zeros(n_folds)
    for group in order:
        fold[group] = np.argmin(filled)
        filled[fold[group]] += sizes[group]
    return fold


def deal_classes(class_of_group: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Stratified folds of groups, (G,): those of a class go to one fold after the other."""
    fold = np.empty(len(class_of_group), int)
    fold[np.lexsort((rng.random(len(class_of_group)), class_of_group))] = np.arange(len(class_of_group)) % n_folds
    return fold


def draw(s: Structure, rng: np.random.Generator, points: tuple[float, ...] = (0.0, 0.0)) -> Experiment:
    """One experiment; `points` are the variants' true scores, in points above `s.accuracy` (about)."""
    sizes = group_sizes(s, rng)
    group = np.repeat(np.arange(s.n_groups), sizes)
    n_clips, n_variants = len(group), len(points)
    class_of_group = np.arange(s.n_groups) % max(s.nested, 1)
    deals = [
        deal_classes(class_of_group, s.n_folds, rng) if s.nested else deal(sizes, s.n_folds, rng)
        for _ in range(s.partitions)
    ]
    fold_of_group = np.stack([dealt + p * s.n_folds for p, dealt in enumerate(deals)])
    n_training_sets = s.n_folds * s.partitions
    fold = np.repeat(np.arange(n_training_sets), s.n_seeds)
    seed = np.tile(np.arange(s.n_seeds), n_training_sets)
    reported = (fold_of_group[:, group] == fold[:, None, None]).any(axis=1)
    scale, unit = latent_scale(s)
    per_variant = unit / 100 / np.sqrt(2)
    seed_sd, train_sd = s.seed_points * per_variant, s.train_points * per_variant
    total = np.sqrt(scale**2 + seed_sd**2 + train_sd**2)
    center = total * stats.norm.ppf(s.accuracy + np.array(points) / 100)[:, None]
    target, offsets = None, np.zeros(1)
    if s.uar:
        target, offsets = rng.choice(4, size=n_clips, p=[0.45, 0.25, 0.2, 0.1]), CLASS_OFFSETS
    if s.nested:
        target, offsets = class_of_group[group], np.linspace(NESTED_OFFSET, -NESTED_OFFSET, s.nested)
    level = center if target is None else center + offsets[target]
    shared = GROUP * rng.standard_normal(s.n_groups)[group] + CLIP * rng.standard_normal(n_clips)
    own = s.group_of_variant * rng.standard_normal((n_variants, s.n_groups))[:, group]
    own += CLIP_OF_VARIANT * rng.standard_normal((n_variants, n_clips)) + level + shared
    run = train_sd * rng.standard_normal((n_variants, n_training_sets))[:, fold]
    run += seed_sd * rng.standard_normal((n_variants, len(fold)))
    right = np.full((n_variants, len(fold), n_clips), np.nan)
    rows, clips = np.nonzero(reported)
    score = own[:, clips] + run[:, rows] + CLIP_OF_RUN * rng.standard_normal((n_variants, len(rows)))
    right[:, rows, clips] = score > 0
    truth = stats.norm.cdf((center + offsets) / total).mean(axis=1)
    ratio = s.n_folds / (s.n_folds - 1) if s.n_folds > 1 else 0.25
    return Experiment(right, fold, seed, group, target, ratio, truth)
