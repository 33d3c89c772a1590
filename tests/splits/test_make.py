"""Making splits: nothing leaks, every clip is in one subset, balance is what the groups allow, reasons are given."""

import csv
import dataclasses
import math
import random
import warnings
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import earmark.splits.make
from earmark.config.sections import ConfigError, SplitConfig
from earmark.datasets.manifest import Clip
from earmark.splits.make import SplitWarning, fold_numbers, make_split, tuning_clips
from earmark.splits.split import SUBSETS, WAIVERS, LeakageError, Split, SplitError, check_split
from earmark.splits.stratify import balanced_subsets

KINDS = ("folds", "group_kfold", "leave_one_group_out", "holdout")
WAIVER = "esc50-published-folds"


def clip(name: str, label: str = "dog", group: str = "", fold: int | None = None) -> Clip:
    return Clip(name, Path("audio") / f"{name}.wav", label, group or name, fold)


def quietly(function, *args, **settings):
    """Call with the warnings about scarce groups off."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SplitWarning)
        return function(*args, **settings)


@st.composite
def manifests(draw) -> list[Clip]:
    """Groups of 1 to 4 clips of up to 4 labels, sometimes with augmentations as clips of groups of their own."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=14))
    clips = []
    for g, size in enumerate(sizes):
        fold = draw(st.integers(1, 4))
        labels = draw(st.lists(st.sampled_from("abcd"), min_size=size, max_size=size))
        for i, label in enumerate(labels):
            clips.append(clip(f"{g}-{i}", label, f"g{g}", fold))
            if draw(st.integers(0, 9)) == 0:
                clips.append(clip(f"{g}-{i}_noisy", label, f"copy{g}-{i}", fold))
    return clips


configs = st.builds(
    SplitConfig,
    kind=st.sampled_from(KINDS),
    n_folds=st.integers(2, 5),
    seed=st.integers(0, 3),
    test_ratio=st.sampled_from((0.0, 0.2, 0.5)),
    val_ratio=st.sampled_from((0.0, 0.0, 0.15, 0.3)),
)


def groups_of(split: Split, clips: list[Clip]) -> list[set[str]]:
    """Groups and original clips in each subset, found without the code under test."""
    by_id = {c.clip_id: c for c in clips}
    return [
        {by_id[i].group for i in getattr(split, subset)} | {"clip " + i.split("_")[0] for i in getattr(split, subset)}
        for subset in SUBSETS
    ]


def all_splits(clips: list[Clip], config: SplitConfig) -> list[Split]:
    return [quietly(make_split, clips, config, fold) for fold in quietly(fold_numbers, clips, config)]


class TestProperties:
    @settings(max_examples=100, deadline=None)
    @given(manifests(), configs)
    def test_a_split_is_refused_with_a_reason_or_never_leaks(self, clips, config):
        try:
            splits = all_splits(clips, config)
        except SplitError as error:
            assert len(str(error)) > 40 and ";" in str(error)  # what is wrong; what to do
            return
        for split in splits:
            train, valid, test = groups_of(split, clips)
            assert not (train & valid or train & test or valid & test)
            assert sorted(split.train + split.valid + split.test) == sorted(c.clip_id for c in clips)
            assert split.train and bool(split.valid) == (config.val_ratio > 0)
            label = {c.clip_id: c.label for c in clips}
            assert {label[i] for i in split.valid + split.test} <= {label[i] for i in split.train}
            assert not split.leaks

    @settings(max_examples=60, deadline=None)
    @given(st.integers(2, 4), st.lists(st.integers(4, 7), min_size=1, max_size=4), st.integers(0, 9), st.booleans())
    def test_enough_groups_are_never_refused(self, n_folds, groups_per_label, seed, valid_fold):
        clips = [clip(f"{k}-{g}", str(k)) for k, n in enumerate(groups_per_label) for g in range(n)]
        config = SplitConfig(n_folds=n_folds, seed=seed, valid_fold=valid_fold and n_folds > 2)
        splits = [make_split(clips, config, fold) for fold in fold_numbers(clips, config)]
        tested = Counter(i for split in splits for i in split.test)
        assert set(tested.values()) == {1} and len(tested) == len(clips)
        for split in splits:  # groups of one clip: every label is spread to within one clip
            counts = Counter(i.split("-")[0] for i in split.test)
            for k, n in enumerate(groups_per_label):
                assert n // n_folds <= counts[str(k)] <= math.ceil(n / n_folds)

    @settings(max_examples=30, deadline=None)
    @given(manifests(), configs, st.randoms(use_true_random=False))
    def test_the_order_of_the_rows_and_a_second_call_change_nothing(self, clips, config, rng):
        try:
            splits = all_splits(clips, config)
        except SplitError:
            return
        shuffled = rng.sample(clips, len(clips))
        assert all_splits(shuffled, config) == splits

    def test_the_seed_changes_the_split(self):
        clips = [clip(f"{k}-{g}", str(k)) for k in range(3) for g in range(10)]
        tests = {make_split(clips, SplitConfig(seed=seed), 1).test for seed in range(5)}
        assert len(tests) == 5


class TestRepeatedPartitions:
    clips = tuple(clip(f"{k}-{g}", str(k)) for k in range(3) for g in range(10))

    def test_folds_are_numbered_on_and_each_partition_is_that_of_the_next_split_seed(self):
        config = SplitConfig(n_folds=5, repeats=3, seed=7)
        assert fold_numbers(self.clips, config) == list(range(1, 16))
        for fold in range(1, 16):
            partition, index = divmod(fold - 1, 5)
            split = make_split(self.clips, config, fold)
            alone = make_split(self.clips, SplitConfig(n_folds=5, seed=7 + partition), index + 1)
            assert (split.train, split.test, split.fold) == (alone.train, alone.test, fold)

    def test_partitions_differ_and_each_tests_every_clip_once(self):
        config = SplitConfig(n_folds=5, repeats=2)
        tests = [make_split(self.clips, config, fold).test for fold in fold_numbers(self.clips, config)]
        assert set(tests[:5]) != set(tests[5:])
        for partition in (tests[:5], tests[5:]):
            assert sorted(i for test in partition for i in test) == sorted(c.clip_id for c in self.clips)

    @pytest.mark.parametrize("setting", [{"valid_fold": True}, {"val_ratio": 0.2}])
    def test_valid_is_of_the_same_partition(self, setting):
        split = make_split(self.clips, SplitConfig(repeats=2, **setting), 10)
        alone = make_split(self.clips, SplitConfig(seed=1, **setting), 5)
        assert split.valid == alone.valid and split.train == alone.train

    def test_a_fold_beyond_the_last_partition_is_refused(self):
        with pytest.raises(SplitError, match="has folds 1 to 10 here"):
            make_split(self.clips, SplitConfig(repeats=2), 11)

    @pytest.mark.parametrize("kind", ["folds", "leave_one_group_out", "holdout", "files"])
    def test_other_kinds_have_no_partitions_to_repeat(self, kind):
        with pytest.raises(ConfigError, match=f"split.repeats = 2: give 1: '{kind}' has one partition only"):
            SplitConfig(kind=kind, repeats=2)


class TestKinds:
    clips = tuple(clip(f"{f}-{g}-{k}", "ab"[k], f"{f}-{g}", f) for f in (1, 2, 5) for g in range(4) for k in (0, 1))

    def test_published_folds_keep_their_numbers(self):
        config = SplitConfig(kind="folds")
        assert fold_numbers(self.clips, config) == [1, 2, 5]
        split = make_split(self.clips, config, 5)
        assert set(split.test) == {c.clip_id for c in self.clips if c.fold == 5} and not split.valid

    @pytest.mark.parametrize(("fold", "valid"), [(1, "2"), (2, "5"), (5, "1")])
    def test_the_next_fold_selects_and_wraps(self, fold, valid):
        split = make_split(self.clips, SplitConfig(kind="folds", valid_fold=True), fold)
        assert {i[0] for i in split.valid} == {valid} and len(split.train) == 8

    def test_one_group_is_left_out_in_sorted_order(self):
        config = SplitConfig(kind="leave_one_group_out")
        groups = sorted({c.group for c in self.clips})
        for fold, group in enumerate(groups, start=1):
            test = make_split(self.clips, config, fold).test
            assert test == tuple(sorted(c.clip_id for c in self.clips if c.group == group))

    def test_hold_out_keeps_the_ratios_of_all_clips(self):
        split = make_split(self.clips, SplitConfig(kind="holdout", test_ratio=0.25, val_ratio=0.25), 1)
        assert [len(ids) for ids in split.subsets().values()] == [12, 6, 6]

    def test_the_test_subset_does_not_depend_on_the_valid_subset(self):
        config = SplitConfig(kind="holdout")
        with_valid = dataclasses.replace(config, val_ratio=0.2)
        assert make_split(self.clips, config, 1).test == make_split(self.clips, with_valid, 1).test

    def test_train_and_valid_only(self):
        split = make_split(self.clips, SplitConfig(kind="holdout", test_ratio=0.0, val_ratio=0.25), 1)
        assert not split.test and len(split.valid) == 6 and len(split.train) == 18

    def test_a_label_of_one_group_stays_in_train(self):
        clips = [clip(str(i)) for i in range(9)] + [clip("x", "rare")]
        with pytest.warns(SplitWarning, match="no group of rare can be spared"):
            split = make_split(clips, SplitConfig(kind="holdout", test_ratio=0.5), 1)
        assert "x" in split.train

    def test_augmentations_given_as_clips_stay_together(self):
        clips = [clip(f"{i}{end}") for i in range(8) for end in ("", "_noisy", "_stretch0.9")]
        for fold in (1, 2):
            split = make_split(clips, SplitConfig(n_folds=2), fold)
            assert len(split.test) == 12 and len({i.split("_")[0] for i in split.test}) == 4


class TestRefusals:
    clips = TestKinds.clips

    @pytest.mark.parametrize(
        ("config", "fold", "message"),
        [
            (SplitConfig(kind="folds"), 3, r"fold = 3: .* has folds 1 to 5 here"),
            (SplitConfig(kind="holdout"), 2, "has fold 1 only"),
            (
                SplitConfig(n_folds=13),
                1,
                r"n_folds = 13: there are 12 groups .*at most 12 folds; .*leave_one_group_out",
            ),
            (SplitConfig(kind="holdout", test_ratio=0.0), 1, "nothing is held out"),
            (SplitConfig(kind="holdout", test_ratio=0.01), 1, "no clip is left for test"),
            (SplitConfig(kind="holdout", test_ratio=0.5, val_ratio=0.6), 1, r"train has only 12 of 24 clips"),
            (SplitConfig(val_ratio=0.01), 1, "no clip is left for valid"),
            (SplitConfig(kind="holdout", valid_fold=True), 1, "'holdout' has no folds"),
            (SplitConfig(n_folds=2, valid_fold=True), 1, r"valid_fold = True: .*three or more folds, or .*val_ratio$"),
            (SplitConfig(waiver="esc50-folds"), 1, "did you mean 'esc50-published-folds'"),
            (SplitConfig(kind="files"), 1, r"split.path = '': give a folder"),
            (SplitConfig(kind="files", path="/nowhere"), 1, r"split.path = '/nowhere'"),
        ],
    )
    def test_the_reason_is_given(self, config, fold, message):
        with pytest.raises(SplitError, match=message):
            make_split(self.clips, config, fold)

    def test_one_group_cannot_be_divided(self):
        clips = [clip(f"{i}", group="anna") for i in range(8)]
        with pytest.raises(SplitError, match=r"'group_kfold': all clips belong to one group, .*column group must name"):
            make_split(clips, SplitConfig(n_folds=3), 1)

    def test_no_published_folds(self):
        with pytest.raises(SplitError, match="no published fold for 1 of 2 clips, for example b"):
            fold_numbers([clip("a", fold=1), clip("b")], SplitConfig(kind="folds"))

    def test_one_published_fold(self):
        with pytest.raises(SplitError, match="one fold only"):
            fold_numbers([clip("a", fold=1), clip("b", fold=1)], SplitConfig(kind="folds"))

    def test_a_label_of_one_group_cannot_be_cross_validated(self):
        clips = [*self.clips, clip("x", "rare")]
        with pytest.raises(SplitError, match="label rare has clips of one group only"):
            make_split(clips, SplitConfig(n_folds=3), 1)
        with pytest.raises(SplitError, match="label rare has clips of one group only"):
            fold_numbers(clips, SplitConfig(kind="leave_one_group_out"))

    def test_labels_that_are_groups_cannot_be_told_from_them(self):
        clips = [clip(f"{label}{i}", label, f"site of {label}") for label in ("dog", "owl") for i in range(3)]
        for kind in ("group_kfold", "leave_one_group_out"):
            with pytest.raises(SplitError, match=r"every label has clips of one group only .*use finer groups"):
                fold_numbers(clips, SplitConfig(kind=kind, n_folds=2))

    def test_a_label_in_one_published_fold_is_not_tested_untrained(self):
        clips = [*self.clips, clip("x", "rare", fold=1), clip("y", "rare", fold=1)]
        with pytest.raises(SplitError, match="fold 1: train has no clip of rare"):
            make_split(clips, SplitConfig(kind="folds"), 1)
        assert "x" in make_split(clips, SplitConfig(kind="folds"), 2).train

    def test_a_label_with_fewer_groups_than_folds_gives_a_warning(self):
        clips = [*self.clips, clip("x", "rare"), clip("y", "rare")]
        with pytest.warns(SplitWarning, match=r"n_folds = 5 for rare \(2\)"):
            fold_numbers(clips, SplitConfig())

    def test_one_speaker_cannot_be_left_out_of_one(self):
        with pytest.raises(SplitError, match="all clips belong to one group"):
            fold_numbers([clip("a", group="s"), clip("b", group="s")], SplitConfig(kind="leave_one_group_out"))


def esc_clips(meta: Path) -> list[Clip]:
    with meta.open(newline="") as file:
        return [
            Clip(Path(row["filename"]).stem, meta, row["category"], row["src_file"], int(row["fold"]))
            for row in csv.DictReader(file)
        ]


class TestRealData:
    def test_the_published_folds_of_esc10_pass(self, real_data):
        clips = esc_clips(real_data / "ESC-10" / "meta" / "esc50.csv")
        for split in all_splits(clips, SplitConfig(kind="folds")):
            assert len(split.test) == 80 and set(Counter(i.rsplit("-", 1)[1] for i in split.test).values()) == {8}

    def test_the_folds_of_esc50_need_their_waiver(self, real_data):
        clips = esc_clips(real_data / "ESC-50-spectrograms" / "meta" / "esc50.csv")
        split = Split(tuple(c.clip_id for c in clips if c.fold in (1, 2, 4)), (), (), "folds", 1)
        test = tuple(c.clip_id for c in clips if c.fold in (3, 5))
        with pytest.raises(LeakageError, match=f"'131943'.*'134049'.*'209698'.*'234879'.*split.waiver = '{WAIVER}'"):
            check_split(dataclasses.replace(split, test=test), clips)
        splits = all_splits(clips, SplitConfig(kind="folds", waiver=WAIVER))
        assert {group for split in splits for group in split.waived_groups} == WAIVERS[WAIVER].groups
        assert all(len(split.test) == 400 for split in splits)

    def test_group_folds_of_esc50_are_perfect_in_size(self, real_data):
        clips = esc_clips(real_data / "ESC-50-spectrograms" / "meta" / "esc50.csv")
        label = {c.clip_id: c.label for c in clips}
        counts = Counter(label[i] for i in make_split(clips, SplitConfig(), 3).test)
        assert sum(counts.values()) == 400 and set(counts.values()) <= {7, 8, 9}

    def test_one_speaker_of_emodb_is_left_out(self, real_data):
        names = sorted(path.stem for path in (real_data / "EmoDB-2s").glob("*.flac"))
        clips = [clip(name, name[5], name[:2]) for name in names]
        splits = all_splits(clips, SplitConfig(kind="leave_one_group_out"))
        assert len(splits) == 10 and sum(len(split.test) for split in splits) == 535
        assert all(len({i[:2] for i in split.test}) == 1 for split in splits)

    def test_a_random_split_of_esc10_is_refused(self, real_data):
        clips = esc_clips(real_data / "ESC-10" / "meta" / "esc50.csv")
        ids = random.Random(0).sample([c.clip_id for c in clips], len(clips))
        split = Split(tuple(sorted(ids[80:])), (), tuple(sorted(ids[:80])), "random", 1)
        with pytest.raises(LeakageError, match=r"group '\d+' \(train, test\).* and \d+ more.*keep each group"):
            check_split(split, clips)


@pytest.mark.parametrize("valid", [{}, {"val_ratio": 0.2}, {"valid_fold": True}], ids=str)
@pytest.mark.parametrize("kind", ["group_kfold", "leave_one_group_out", "folds"])
def test_tuning_clips_are_tested_in_no_fold_and_the_others_once(kind, valid):
    clips = [
        Clip(f"c{i:02d}", Path("x.wav"), "ab"[i % 2], group=f"g{i // 4:02d}", fold=1 + (i // 4) % 5) for i in range(80)
    ]
    config = SplitConfig(kind=kind, tuning_ratio=0.2, **valid)
    kept = tuning_clips(clips, config)
    assert len(kept) == 16 and len({c.group for c in clips if c.clip_id in kept}) == 4, "whole groups"
    splits = [make_split(clips, config, fold) for fold in fold_numbers(clips, config)]
    tested = [clip_id for split in splits for clip_id in split.test]
    assert sorted(tested) == sorted({c.clip_id for c in clips} - kept)
    assert all(kept <= set(split.train) and bool(split.valid) == bool(valid) for split in splits)


def test_labels_with_few_groups_beside_the_tuning_clips_are_named():
    clips = [Clip(f"c{i:02d}", Path("x.wav"), "ab"[i % 2], group=f"g{i:02d}") for i in range(40)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fold_numbers(clips, SplitConfig(n_folds=5, tuning_ratio=0.5))
    message = r"fewer groups beside those of split\.tuning_ratio than split\.n_folds = 5 for a \(2\), b \(2\): some"
    with pytest.warns(SplitWarning, match=message):
        fold_numbers(clips, SplitConfig(n_folds=5, tuning_ratio=0.9))


def test_the_folds_of_a_partition_share_one_assignment(monkeypatch):
    """Each fold made all of it again, which took most of the time of a plan of many clips."""
    seeds = []

    def counted(*args):
        seeds.append(args[2])
        return balanced_subsets(*args)

    monkeypatch.setattr(earmark.splits.make, "balanced_subsets", counted)
    clips = [clip(f"shared{i}", "ab"[i % 2], f"g{i // 2}") for i in range(40)]
    config = SplitConfig(n_folds=4, repeats=2, seed=5)
    tested = [make_split(random.sample(clips, 40), config, fold).test for fold in fold_numbers(clips, config)]
    assert seeds == [5, 6] and len(set(tested)) == 8
