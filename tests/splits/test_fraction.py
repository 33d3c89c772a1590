"""Fractions of the training groups: nested, with all classes in proportion; valid and test never change."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from earmark.config.sections import SplitConfig
from earmark.datasets.manifest import Clip
from earmark.splits.fraction import draw_order
from earmark.splits.make import make_split
from earmark.splits.split import SplitError, check_split

FRACTIONS = (0.3, 0.5, 0.75, 1.0)


def sources(n_groups=48, per_group=3, n_classes=4):
    """One class per group, as sources of sounds; the first class has half of the groups."""
    label = ["a" if g < n_groups // 2 else "bcd"[g % (n_classes - 1)] for g in range(n_groups)]
    return [
        Clip(f"{g}-{i}", Path(f"{g}-{i}.wav"), label[g], f"g{g}", g // 3 % 3 + 1)
        for g in range(n_groups)
        for i in range(per_group)
    ]


def speakers(n_groups=30, n_classes=7):
    """Every group has most classes, and one class is never the most frequent one of a group."""
    clips = []
    for g in range(n_groups):
        for k in range(n_classes):
            n_clips = 5 - (k > 0) - 2 * (k > 3) if (g + k) % 5 else 0
            clips += [
                Clip(f"{g}-{k}-{i}", Path(f"{g}-{k}-{i}.wav"), f"c{k}", f"s{g}", g % 3 + 1) for i in range(n_clips)
            ]
    return clips


def at(clips, fraction, draw=0, **settings):
    config = SplitConfig(kind="folds", train_fraction=fraction, **settings)
    return make_split(clips, config, 2, draw=draw)


@pytest.mark.parametrize("clips", [sources(), speakers()], ids=["sources", "speakers"])
def test_smaller_fractions_are_parts_of_larger_ones_and_the_others_stay(clips):
    splits = [at(clips, fraction, valid_fold=True) for fraction in FRACTIONS]
    for split, larger in pairwise(splits):
        assert set(split.train) < set(larger.train) and split.left_out
        assert (split.valid, split.test) == (larger.valid, larger.test)
        assert set(split.train) | set(split.left_out) == set(splits[-1].train)
        check_split(split, clips)
    groups, labels = ({c.clip_id: getattr(c, name) for c in clips} for name in ("group", "label"))
    for split, fraction in zip(splits, FRACTIONS, strict=True):
        kept = {groups[i] for i in split.train}
        assert not kept & {groups[i] for i in split.left_out}, "groups are kept whole"
        assert {labels[i] for i in split.train} == set(labels.values()), "no class is lost"
        n_all = len({groups[i] for i in splits[-1].train})
        assert len(kept) == round(fraction * n_all)


def test_a_fraction_with_fewer_groups_than_classes_need_is_refused():
    """Its epochs are divided by the fraction, so that more groups than it says would be trained on for longer."""
    with pytest.raises(SplitError, match=r"0\.001, fold 2: keeps 0 of 20 training groups.* at least 0\.1"):
        at(speakers(), 0.001)
    split = at(speakers(), 0.1)
    labels = {c.clip_id: c.label for c in speakers()}
    assert {labels[i] for i in split.train} == set(labels.values())


def test_classes_keep_their_share():
    clips = sources()
    label = {c.group: c.label for c in clips}
    whole, half = ({i.split("-")[0] for i in at(clips, f).train} for f in (1.0, 0.5))
    counts = [Counter(label[f"g{g}"] for g in found) for found in (whole, half)]
    assert all(abs(counts[1][name] - n / 2) <= 1 for name, n in counts[0].items())


def test_a_draw_depends_on_its_seed_alone():
    clips = sources()
    first, again, other = at(clips, 0.5), at(clips[::-1], 0.5), at(clips, 0.5, draw=1)
    assert first == again and first.train != other.train and first.test == other.test
    assert at(clips, 1.0, draw=1) == at(clips, 1.0)


def test_every_group_is_as_likely_as_another_of_its_class():
    labels = {f"g{i}": Counter({"ab"[i % 2]: 1}) for i in range(20)}
    kept = Counter(g for seed in range(400) for g in draw_order(labels, np.random.default_rng(seed))[0][:10])
    assert min(kept.values()) > 150 and max(kept.values()) < 250, "200 expected, standard deviation 10"
