"""Leaky splits: they leak what they say, are marked, and are as large as the honest ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from earmark.config.sections import SplitConfig
from earmark.datasets.manifest import Clip
from earmark.runs.leaky_splits import add_copies, copies_across_parts, random_clips, selected_on_test
from earmark.splits.make import fold_numbers, make_split
from earmark.splits.split import LeakageError, check_split

CLIPS = [Clip(f"{k}{g}{i}", Path("none"), k, f"{k}{g}") for k in "ab" for g in range(6) for i in range(3)]
COPIES = [replace(c, clip_id=f"{c.clip_id}_{name}") for c in CLIPS for name in ("noisy", "pitchUp2")]
CONFIG = SplitConfig(n_folds=3)


@pytest.fixture
def honest():
    return make_split(CLIPS, CONFIG, 1)


def groups(ids):
    return {i[:2] for i in ids}


def check_marked(split, clips):
    check_split(split, clips)
    with pytest.raises(LeakageError, match="inflates the result"):
        check_split(replace(split, leaks=()), clips)


def test_random_clips_break_groups_and_nothing_else():
    folds = fold_numbers(CLIPS, CONFIG)
    splits = [random_clips(CLIPS, CONFIG, fold) for fold in folds]
    assert sorted(i for split in splits for i in split.test) == sorted(c.clip_id for c in CLIPS)
    for split in splits:
        assert groups(split.train) & groups(split.test) and not set(split.train) & set(split.test)
        assert sum(i[0] == "a" for i in split.test) == 6  # stratified
        check_marked(split, CLIPS)


def test_random_clips_have_as_many_folds_as_speakers():
    config = SplitConfig(kind="leave_one_group_out")
    assert len(random_clips(CLIPS, config, 12).test) == 3


def test_the_test_part_selects(honest):
    split = selected_on_test(honest, CLIPS)
    assert split.valid == split.test == honest.test and split.train == honest.train
    check_marked(split, CLIPS)


def test_copies_follow_their_clip_or_cross(honest):
    fair, leaky = add_copies(honest, COPIES), copies_across_parts(honest, CLIPS, COPIES)
    check_split(fair, [*CLIPS, *COPIES])
    assert len(fair.train) == len(leaky.train) == 3 * len(honest.train)
    assert fair.test == leaky.test == honest.test
    assert not groups(fair.train) & groups(fair.test)
    assert {i.split("_")[0] for i in leaky.train} == {c.clip_id for c in CLIPS}
    assert set(honest.train) <= set(leaky.train) and not set(leaky.train) & set(leaky.test)
    check_marked(leaky, [*CLIPS, *COPIES])


def test_the_same_every_time(honest):
    assert copies_across_parts(honest, CLIPS, COPIES, 3) == copies_across_parts(honest, CLIPS, COPIES[::-1], 3)
    assert random_clips(CLIPS[::-1], CONFIG, 2) == random_clips(CLIPS, CONFIG, 2)
