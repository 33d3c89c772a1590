"""Balanced sampling: how often classes, groups and clips are drawn, in one epoch and on average."""

import numpy as np
import pytest
import torch

from earmark.datasets.manifest import Clip
from earmark.training.batches import MemoryImages, Subset, train_batches
from earmark.training.sampling import clip_probabilities, draw_clips

TARGETS = np.repeat([0, 1, 2], [60, 30, 7])
GROUPS = [f"{t}-{i % 4 if t < 2 else min(i, 1)}" for i, t in enumerate(TARGETS)]
GROUPS[:50] = ["0-0"] * 50  # one group has most of the clips of its class


def rounded(counts: np.ndarray, expected: np.ndarray) -> bool:
    return bool((np.abs(counts - expected) < 1 + 1e-9).all())


def test_classes_are_drawn_equally_often_and_the_clips_of_a_class_too():
    clips = draw_clips(TARGETS, GROUPS, "class_balanced", np.random.default_rng(0))
    assert len(clips) == len(TARGETS), "an epoch has as many clips as before"
    assert rounded(np.bincount(TARGETS[clips]), np.full(3, 97 / 3))
    assert rounded(np.bincount(clips, minlength=97), (97 / 3) / np.bincount(TARGETS)[TARGETS])


def test_groups_of_a_class_are_drawn_equally_often():
    clips = draw_clips(TARGETS, GROUPS, "class_group_balanced", np.random.default_rng(0))
    names, group_N = np.unique(GROUPS, return_inverse=True)
    n_groups = np.array([sum(name[0] == other[0] for other in names) for name in names])
    assert rounded(np.bincount(TARGETS[clips]), np.full(3, 97 / 3))
    assert rounded(np.bincount(group_N[clips], minlength=len(names)), 97 / 3 / n_groups)


def test_a_group_with_two_classes_counts_in_each_of_them():
    probabilities = clip_probabilities(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 0]), "class_group_balanced")
    np.testing.assert_allclose(probabilities, [1 / 8, 1 / 8, 1 / 4, 1 / 2])


@pytest.mark.parametrize("sampler", ["class_balanced", "class_group_balanced"])
def test_on_average_clips_are_drawn_with_their_probability(sampler):
    rng = np.random.default_rng(1)
    drawn = np.concatenate([draw_clips(TARGETS, GROUPS, sampler, rng) for _ in range(1500)])
    expected = clip_probabilities(TARGETS, np.unique(GROUPS, return_inverse=True)[1], sampler)
    np.testing.assert_allclose(np.bincount(drawn, minlength=97) / len(drawn), expected, rtol=0.25)


def test_any_groups_can_be_those_that_are_drawn_once_more():
    """In a fixed order of the groups, the rounded counts of neighbors would always differ in the same way."""
    groups = ["a", "a", "a", "a", "b", "c", "d", "e"]  # 8 draws of 5 groups: three of them twice
    rng = np.random.default_rng(0)
    counts = {
        tuple(np.bincount(np.unique(groups, return_inverse=True)[1][drawn], minlength=5))
        for drawn in (draw_clips(np.zeros(8, int), groups, "class_group_balanced", rng) for _ in range(200))
    }
    assert len(counts) == 10 and all(sorted(found) == [1, 1, 2, 2, 2] for found in counts)


def test_equal_classes_are_only_shuffled():
    targets = np.repeat([0, 1], 8)
    clips = draw_clips(targets, [str(i) for i in range(16)], "class_group_balanced", np.random.default_rng(0))
    assert sorted(clips) == list(range(16))


def test_a_clip_that_is_drawn_twice_is_cropped_twice():
    images = [np.tile(np.arange(200, dtype=np.uint8), (2, 1)) for _ in range(9)]
    targets = np.array([0] + [1] * 8)
    clips = tuple(Clip(str(i), None, str(t), str(i)) for i, t in enumerate(targets))
    subset = Subset(MemoryImages(images), np.arange(9)[:, None], targets, clips)
    batches = list(train_batches(subset, 4, 20, np.random.default_rng(0), "class_balanced"))
    starts = [int(w[0, 0, 0]) for windows, labels in batches for w, t in zip(windows, labels, strict=True) if t == 0]
    assert len(starts) >= 3 and len(set(starts)) == len(starts)
    again = train_batches(subset, 4, 20, np.random.default_rng(0), "class_balanced")
    assert all(
        torch.equal(a, b) for one, two in zip(batches, again, strict=True) for a, b in zip(one, two, strict=True)
    )
