"""A fraction of the training groups, for learning curves: valid and test stay as they are."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from earmark.datasets.manifest import Clip
from earmark.splits.split import Split, SplitError


def keep_fraction(split: Split, clips: Sequence[Clip], fraction: float, seed: int) -> Split:
    """The split with a fraction of its training groups; the others are `Split.left_out`.

    The groups of a fold and seed have one order, stratified by class, whose beginning is kept: a smaller fraction is
    part of a larger one. Every class keeps a group.

    Args:
        split: the split with all groups.
        clips: the manifest.
        fraction: of the training groups, above 0; 1 keeps all.
        seed: of the draw.

    Raises:
        SplitError: the fraction has fewer groups than the classes need.
    """
    if fraction >= 1:
        return split
    members: dict[str, list[Clip]] = defaultdict(list)
    train = set(split.train)
    for clip in clips:
        if clip.clip_id in train:
            members[clip.group].append(clip)
    labels = {group: Counter(clip.label for clip in found) for group, found in sorted(members.items())}
    order, n_needed = draw_order(labels, np.random.default_rng([seed, split.fold]))
    n_kept = round(fraction * len(order))
    if n_kept < n_needed:
        raise SplitError(
            f"split.train_fraction = {fraction:g}, fold {split.fold}: keeps {n_kept} of {len(order)} training groups, "
            f"and every class needs one; give at least {math.ceil(100 * n_needed / len(order)) / 100:g}"
        )
    kept = order[:n_kept]
    ids = tuple(sorted(clip.clip_id for group in kept for clip in members[group]))
    return replace(split, train=ids, left_out=tuple(sorted(train - set(ids))))


def draw_order(labels: Mapping[str, Counter[str]], rng: np.random.Generator) -> tuple[list[str], int]:
    """The groups in a random order in which the classes alternate by their number of groups.

    Args:
        labels: the clips of each group by label.
        rng: draws the order.

    Returns:
        The order, and how many groups at its beginning have all classes between them.
    """
    shuffled: list[str] = rng.permutation(sorted(labels)).tolist()
    n_groups = Counter(label for found in labels.values() for label in found)
    first: list[str] = []
    for label, _ in sorted(n_groups.items(), key=lambda item: (item[1], item[0])):
        if not any(label in labels[group] for group in first):
            first.append(next(group for group in shuffled if label in labels[group]))
    strata: dict[str, list[str]] = defaultdict(list)
    for group in [*first, *(group for group in shuffled if group not in first)]:
        strata[min(labels[group], key=lambda label: (-labels[group][label], label))].append(group)
    place = {
        group: (group not in first, (i + rng.random()) / len(found))
        for _, found in sorted(strata.items())
        for i, group in enumerate(found)
    }
    return sorted(place, key=place.__getitem__), len(first)
