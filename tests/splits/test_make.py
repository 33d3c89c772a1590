"""Splits: nothing leaks, every clip has one part, parts are as balanced as the groups allow, reasons are given."""

import csv
import dataclasses
import itertools
import math
import random
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from earmark.config.sections import SplitConfig
from earmark.datasets.manifest import Clip
from earmark.splits.io import clip_of_file, read_split, write_split
from earmark.splits.make import SplitWarning, fold_numbers, make_split
from earmark.splits.split import SUBSETS, WAIVERS, LeakageError, Split, SplitError, check_split, find_leaks
from earmark.splits.stratify import balance_cost, balanced_subsets

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
    """Groups of 1 to 4 clips of up to 4 labels, sometimes with waveform variants as clips of groups of their own."""
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
    """Groups and original clips in each part, found without the code under test."""
    by_id = {c.clip_id: c for c in clips}
    return [
        {by_id[i].group for i in getattr(split, part)} | {"clip " + i.split("_")[0] for i in getattr(split, part)}
        for part in SUBSETS
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


def cost_by_hand(counts: np.ndarray, parts: tuple[int, ...], shares: list[float]) -> float:
    """The sum that `balance_cost` documents, written as loops."""
    total = 0.0
    for p, share in enumerate(shares):
        rows = [g for g in range(len(counts)) if parts[g] == p]
        for k in range(counts.shape[1]):
            total += (sum(counts[g, k] for g in rows) / counts[:, k].sum() - share) ** 2
        total += counts.shape[1] * (sum(counts[g].sum() for g in rows) / counts.sum() - share) ** 2
    return total


def random_counts(rng: np.random.Generator, n_groups: int, n_classes: int) -> np.ndarray:
    counts = rng.integers(0, 6, (n_groups, n_classes))
    counts[rng.integers(n_groups)] += 1
    counts[counts.sum(axis=1) == 0, 0] = 1
    return counts


class TestBalance:
    @pytest.mark.parametrize("case", range(40))
    def test_small_cases_reach_the_exhaustive_optimum(self, case):
        rng = np.random.default_rng(case)
        n_parts = int(rng.integers(2, 4))
        counts = random_counts(rng, int(rng.integers(3, 8 if n_parts == 2 else 7)), int(rng.integers(1, 5)))
        shares = [1 / n_parts] * n_parts if case % 2 else list(rng.dirichlet(np.ones(n_parts)))
        every = itertools.product(range(n_parts), repeat=len(counts))
        best = min(cost_by_hand(counts, parts, shares) for parts in every)
        found = balanced_subsets(counts, np.array(shares), seed=case)
        assert cost_by_hand(counts, tuple(found), shares) == pytest.approx(best, abs=1e-9)

    def test_the_cost_is_the_documented_sum(self):
        rng = np.random.default_rng(1)
        counts, parts = random_counts(rng, 9, 3), rng.integers(0, 3, 9)
        shares = [0.5, 0.3, 0.2]
        expected = cost_by_hand(counts, tuple(parts), shares)
        assert balance_cost(counts, parts, np.array(shares)) == pytest.approx(expected, abs=1e-12)

    def test_never_worse_than_scikit_learn(self):
        for case in range(3):
            rng = np.random.default_rng(case)
            counts = random_counts(rng, 40, 5)
            labels = np.repeat(np.tile(np.arange(5), 40), counts.ravel())
            groups = np.repeat(np.repeat(np.arange(40), 5), counts.ravel())
            theirs = np.zeros(40, dtype=int)
            for fold, (_, test) in enumerate(StratifiedGroupKFold(5).split(labels, labels, groups)):
                theirs[groups[test]] = fold
            shares = np.full(5, 0.2)
            mine = balanced_subsets(counts, shares, seed=0)
            assert balance_cost(counts, mine, shares) <= balance_cost(counts, theirs, shares) + 1e-9

    def test_two_thousand_groups(self):
        rng = np.random.default_rng(0)
        clips = [
            clip(f"{g}-{i}", str(rng.integers(50)) if i else str(g % 50), str(g))
            for g in range(2000)
            for i in range(int(rng.geometric(0.5)))
        ]
        sizes = [len(make_split(clips, SplitConfig(), fold).test) for fold in (1, 5)]
        assert all(abs(size - len(clips) / 5) < 2 for size in sizes)

    def test_pinned_groups_stay_in_the_first_part(self):
        counts = np.ones((6, 1), dtype=int)
        pinned = np.array([True, True, False, False, False, False])
        parts = balanced_subsets(counts, np.array([0.5, 0.5]), seed=0, pinned=pinned)
        assert list(parts[:2]) == [0, 0] and sorted(parts[2:]) == [0, 1, 1, 1]


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

    def test_hold_out_keeps_the_shares_of_all_clips(self):
        split = make_split(self.clips, SplitConfig(kind="holdout", test_ratio=0.25, val_ratio=0.25), 1)
        assert [len(ids) for ids in split.parts().values()] == [12, 6, 6]

    def test_the_test_part_does_not_depend_on_the_valid_part(self):
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

    def test_variants_given_as_clips_stay_together(self):
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
            (SplitConfig(n_folds=13), 1, r"split.n_folds = 13: there are 12 groups"),
            (SplitConfig(kind="holdout", test_ratio=0.0), 1, "nothing is held out"),
            (SplitConfig(kind="holdout", test_ratio=0.01), 1, "no clip is left for test"),
            (SplitConfig(kind="holdout", test_ratio=0.5, val_ratio=0.6), 1, r"train has only 12 of 24 clips"),
            (SplitConfig(val_ratio=0.01), 1, "no clip is left for valid"),
            (SplitConfig(kind="holdout", valid_fold=True), 1, "'holdout' has no folds"),
            (SplitConfig(waiver="esc50-folds"), 1, "did you mean 'esc50-published-folds'"),
            (SplitConfig(kind="files"), 1, r"split.path = '': give a folder"),
            (SplitConfig(kind="files", path="/nowhere"), 1, r"split.path = '/nowhere'"),
        ],
    )
    def test_the_reason_is_given(self, config, fold, message):
        with pytest.raises(SplitError, match=message):
            make_split(self.clips, config, fold)

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

    def test_a_label_in_one_published_fold_is_not_tested_untrained(self):
        clips = [*self.clips, clip("x", "rare", fold=1), clip("y", "rare", fold=1)]
        with pytest.raises(SplitError, match="fold 1: train has no clip of rare"):
            make_split(clips, SplitConfig(kind="folds"), 1)
        assert "x" in make_split(clips, SplitConfig(kind="folds"), 2).train

    def test_a_label_with_fewer_groups_than_folds_is_warned_of(self):
        clips = [*self.clips, clip("x", "rare"), clip("y", "rare")]
        with pytest.warns(SplitWarning, match=r"n_folds = 5 for rare \(2\)"):
            fold_numbers(clips, SplitConfig())

    def test_one_speaker_cannot_be_left_out_of_one(self):
        with pytest.raises(SplitError, match="all clips belong to one group"):
            fold_numbers([clip("a", group="s"), clip("b", group="s")], SplitConfig(kind="leave_one_group_out"))


class TestLeakage:
    def test_a_group_a_clip_and_a_variant_are_named(self):
        clips = [clip("a", group="g"), clip("b", group="g"), clip("c"), clip("d"), clip("d_noisy", group="e")]
        split = Split(("a", "c", "d"), ("c",), ("b", "d_noisy"), "mine", 1)
        assert [str(leak) for leak in find_leaks(split, clips)] == [
            "clip 'c' (train, valid)",
            "variants of 'd' (train, test)",
            "group 'g' (train, test)",
        ]
        with pytest.raises(LeakageError, match="keep a clip and all its waveform variants in one part"):
            check_split(split, clips)

    def test_five_offenders_are_named_and_the_others_counted(self):
        clips = [clip(f"{g}{i}", group=f"g{g}") for g in range(9) for i in "ab"]
        split = Split(tuple(f"{g}a" for g in range(9)), (), tuple(f"{g}b" for g in range(9)), "mine", 1)
        with pytest.raises(LeakageError, match=r"group 'g4' \(train, test\) and 4 more.*group_kfold"):
            check_split(split, clips)

    def test_words_that_only_look_like_variants_are_no_leak(self):
        clips = [clip("dog"), clip("dog_bark")]
        check_split(Split(("dog",), (), ("dog_bark",), "mine", 1), clips)

    def test_a_clip_that_the_manifest_lacks(self):
        with pytest.raises(SplitError, match="clip 'z' of the split is not in the manifest"):
            check_split(Split(("a",), (), ("z",), "mine", 1), [clip("a")])

    def test_a_waiver_lets_its_groups_cross_and_no_other(self):
        waived = [clip(f"{i}-{f}", group=g, fold=f) for i, g in enumerate(sorted(WAIVERS[WAIVER])) for f in (1, 2)]
        config = SplitConfig(kind="folds", waiver=WAIVER)
        split = make_split(waived, config, 1)
        assert split.waiver == WAIVER and set(split.waived_groups) == WAIVERS[WAIVER] and not split.leaks
        others = [*waived, clip("x1", group="x", fold=1), clip("x2", group="x", fold=2)]
        with pytest.raises(LeakageError, match=r"has group 'x' \(train, test\), which"):
            make_split(others, config, 1)

    def test_a_leak_can_be_accepted_and_marks_the_split(self):
        clips = [clip("a1", group="a", fold=1), clip("a2", group="a", fold=2), clip("b", fold=1), clip("c", fold=2)]
        split = make_split(clips, SplitConfig(kind="folds"), 1, allow_leakage=True)
        assert split.leaks == ("group 'a' (train, test)",)
        check_split(split, clips)
        with pytest.raises(LeakageError, match="group 'a'"):
            check_split(dataclasses.replace(split, leaks=()), clips)


class TestFiles:
    clips = (clip("a"), clip("b"), clip("c_2"), clip("dog__1"), clip("cat__1"))

    @pytest.mark.parametrize(
        ("filepath", "clip_id"),
        [
            ("a.wav", "a"),
            ("x/y/a_orig.png", "a"),
            (r"x\y\a_stretch0.9.wav", "a"),
            ("a_my_own_variant.png", "a"),
            ("c_2.flac", "c_2"),
            ("c_2_noisy.png", "c_2"),
            ("dog/1.wav", "dog__1"),
            ("x/cat/1_pitchUp2.wav", "cat__1"),
            ("dog__1_orig.png", "dog__1"),
            ("a_2.wav", None),
            ("1.wav", None),
            ("other.wav", None),
        ],
    )
    def test_a_file_is_mapped_to_its_clip(self, filepath, clip_id):
        assert clip_of_file(filepath, {c.clip_id for c in self.clips}) == clip_id

    def folder(self, tmp_path: Path, **files: str) -> SplitConfig:
        for part, names in files.items():
            rows = "".join(f"{name},dog\n" for name in names.split())
            (tmp_path / f"{part}.csv").write_text("filepath,label\n" + rows)
        return SplitConfig(kind="files", path=str(tmp_path))

    def test_part_files(self, tmp_path):
        config = self.folder(tmp_path, train="a_orig.png a_noisy.png b.wav", test="c_2.wav", valid="dog/1.wav")
        split = make_split(self.clips, config, 1)
        assert (split.train, split.valid, split.test) == (("a", "b"), ("dog__1",), ("c_2",))

    @pytest.mark.parametrize("word", ["val", "valid"])
    def test_other_names_and_no_test_part(self, tmp_path, word):
        self.folder(tmp_path, **{"train_x": "a.wav b.wav", f"{word}_x": "dog/1.wav", "train": "a.wav", "test": "b.wav"})
        config = SplitConfig(kind="files", path=str(tmp_path / "train_x.csv"))
        split = make_split(self.clips, config, 1)
        assert (split.train, split.valid, split.test) == (("a", "b"), ("dog__1",), ())
        with pytest.raises(SplitError, match=r"val_y.csv'?: give a folder with train.csv, or a file named train_"):
            make_split(self.clips, dataclasses.replace(config, path=str(tmp_path / "val_y.csv")), 1)

    def test_a_part_without_clips_is_refused(self, tmp_path):
        with pytest.raises(SplitError, match="no clip is left for test"):
            make_split(self.clips, self.folder(tmp_path, train="a.wav", valid=""), 1)

    def test_valid_can_be_taken_out_of_train(self, tmp_path):
        config = self.folder(tmp_path, train="a.wav b.wav cat/1.wav", test="c_2.wav")
        split = make_split(self.clips, dataclasses.replace(config, val_ratio=0.25), 1)
        assert len(split.train) == 2 and len(split.valid) == 1 and split.test == ("c_2",)

    def test_a_second_valid_part_is_refused(self, tmp_path):
        config = self.folder(tmp_path, train="a.wav b.wav", test="c_2.wav", valid="cat/1.wav")
        with pytest.raises(SplitError, match=r"there is a valid.csv"):
            make_split(self.clips, dataclasses.replace(config, val_ratio=0.25), 1)

    def test_an_unknown_clip_is_named(self, tmp_path):
        config = self.folder(tmp_path, train="a.wav nobody.wav", test="b.wav")
        with pytest.raises(SplitError, match=r"train.csv, line 3: 'nobody.wav' is no clip"):
            make_split(self.clips, config, 1)

    def test_another_label_is_refused(self, tmp_path):
        config = self.folder(tmp_path, train="a.wav", test="b.wav")
        (tmp_path / "test.csv").write_text("filepath,label\nb.wav,cat\n")
        with pytest.raises(SplitError, match=r"line 2: label 'cat', but the manifest has 'dog' for 'b'"):
            make_split(self.clips, config, 1)

    def test_a_missing_file_or_column(self, tmp_path):
        config = self.folder(tmp_path, train="a.wav")
        with pytest.raises(SplitError, match=r"beside train.csv there is no test or valid file"):
            make_split(self.clips, config, 1)
        (tmp_path / "test.csv").write_text("path,label\nb.wav,dog\n")
        with pytest.raises(SplitError, match="column 'filepath' is missing"):
            make_split(self.clips, config, 1)

    def test_augmented_copies_across_parts_are_refused_or_marked(self, tmp_path):
        config = self.folder(tmp_path, train="a_noisy.png b.wav", test="a_orig.png c_2.wav")
        with pytest.raises(LeakageError, match=r"clip 'a' \(train, test\)"):
            make_split(self.clips, config, 1)
        assert make_split(self.clips, config, 1, allow_leakage=True).leaks == ("clip 'a' (train, test)",)

    def test_written_and_read_again(self, tmp_path):
        clips = [clip(f"{k}{i}", k) for k in "ab" for i in range(6)]
        split = dataclasses.replace(make_split(clips, SplitConfig(n_folds=3, val_ratio=0.2), 2), leaks=("x",))
        write_split(split, clips, tmp_path / "run")
        assert read_split(tmp_path / "run") == split
        with (tmp_path / "run" / "split.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["filepath", "label", "clip_id", "group", "part"]
        found = (tmp_path / "run" / rows[0]["filepath"]).resolve()
        assert found == {c.clip_id: c.path.resolve() for c in clips}[rows[0]["clip_id"]]

    @pytest.mark.parametrize(("name", "text"), [("split.json", "{}"), ("split.json", "no"), ("split.csv", "part\nx\n")])
    def test_what_cannot_be_read_is_named(self, tmp_path, name, text):
        write_split(Split(("a",), (), (), "mine", 1), self.clips, tmp_path)
        (tmp_path / name).write_text(text)
        with pytest.raises(SplitError, match=r"cannot be read \("):
            read_split(tmp_path)


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
        assert {group for split in splits for group in split.waived_groups} == WAIVERS[WAIVER]
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
