"""What must not cross subsets: clips, copies by name or by ear, groups; waivers and accepted leaks."""

import dataclasses
from pathlib import Path

import pytest

from earmark.config.sections import SplitConfig
from earmark.datasets.manifest import Clip
from earmark.splits.make import make_split
from earmark.splits.split import WAIVERS, LeakageError, Split, SplitError, check_split, find_leaks

WAIVER = "esc50-published-folds"


def clip(name: str, label: str = "dog", group: str = "", fold: int | None = None) -> Clip:
    return Clip(name, Path("audio") / f"{name}.wav", label, group or name, fold)


class TestLeakage:
    def test_a_group_a_clip_and_an_augmentation_are_named(self):
        clips = [clip("a", group="g"), clip("b", group="g"), clip("c"), clip("d"), clip("d_noisy", group="e")]
        split = Split(("a", "c", "d"), ("c",), ("b", "d_noisy"), "mine", 1)
        assert [str(leak) for leak in find_leaks(split, clips)] == [
            "clip 'c' (train, valid)",
            "copies of 'd' (train, test)",
            "group 'g' (train, test)",
        ]
        with pytest.raises(LeakageError, match="keep a clip and all its copies and augmentations in one subset"):
            check_split(split, clips)

    def test_five_offenders_are_named_and_the_others_counted(self):
        clips = [clip(f"{g}{i}", group=f"g{g}") for g in range(9) for i in "ab"]
        split = Split(tuple(f"{g}a" for g in range(9)), (), tuple(f"{g}b" for g in range(9)), "mine", 1)
        with pytest.raises(LeakageError, match=r"group 'g4' \(train, test\) and 4 more.*group_kfold"):
            check_split(split, clips)

    def test_words_that_only_look_like_augmentations_are_no_leak(self):
        clips = [clip("dog"), clip("dog_bark")]
        check_split(Split(("dog",), (), ("dog_bark",), "mine", 1), clips)

    def test_a_clip_that_the_manifest_lacks(self):
        with pytest.raises(SplitError, match="clip 'z' of the split is not in the manifest"):
            check_split(Split(("a",), (), ("z",), "mine", 1), [clip("a")])

    def test_a_waiver_lets_its_groups_cross_and_no_other(self):
        waived = [
            clip(f"{i}-{f}", group=g, fold=f) for i, g in enumerate(sorted(WAIVERS[WAIVER].groups)) for f in (1, 2)
        ]
        config = SplitConfig(kind="folds", waiver=WAIVER)
        split = make_split(waived, config, 1)
        assert split.waiver == WAIVER and set(split.waived_groups) == WAIVERS[WAIVER].groups and not split.leaks
        others = [*waived, clip("x1", group="x", fold=1), clip("x2", group="x", fold=2)]
        with pytest.raises(LeakageError, match=r"has group 'x' \(train, test\), which"):
            make_split(others, config, 1)

    def test_an_accepted_leak_flags_the_split(self):
        clips = [clip("a1", group="a", fold=1), clip("a2", group="a", fold=2), clip("b", fold=1), clip("c", fold=2)]
        split = make_split(clips, SplitConfig(kind="folds"), 1, allow_leakage=True)
        assert split.leaks == ("group 'a' (train, test)",)
        check_split(split, clips)
        with pytest.raises(LeakageError, match="group 'a'"):
            check_split(dataclasses.replace(split, leaks=()), clips)

    def test_copies_by_other_tools_are_a_leak(self):
        clips = [clip("a", group="g"), clip("a_aug1", group="h"), clip("b"), clip("b__1_")]
        split = Split(("a", "b"), (), ("a_aug1", "b__1_"), "mine", 1)
        names = [str(leak) for leak in find_leaks(split, clips)]
        assert names == ["copies of 'a' (train, test)", "copies of 'b' (train, test)"]

    def test_augmentations_of_a_config_are_a_leak(self):
        clips = [clip("a"), clip("a_street", group="h")]
        split = Split(("a",), (), ("a_street",), "mine", 1)
        check_split(split, clips)
        with pytest.raises(LeakageError, match="copies of 'a'"):
            check_split(split, clips, augmentations=("street",))


class TestCopies:
    clips = (clip("a", fold=1), clip("b", fold=2), clip("c", fold=1), clip("d", fold=2))

    def test_shared_audio_across_subsets_is_refused_like_a_group(self):
        config = SplitConfig(kind="folds")
        make_split(self.clips, config, 1, copies=[("a", "c"), ("b", "d")])
        with pytest.raises(LeakageError, match=r"same audio 'a = b' \(train, test\).*--unite-copies"):
            make_split(self.clips, config, 1, copies=[("a", "b")])
        split = make_split(self.clips, config, 1, copies=[("a", "b")], allow_leakage=True)
        assert split.leaks == ("same audio 'a = b' (train, test)",)

    def test_a_copy_outside_the_split_hides_nothing(self):
        split = Split(("b",), (), ("c",), "mine", 1)
        with pytest.raises(LeakageError, match="same audio 'a = b = c'"):
            check_split(split, self.clips, [("a", "b", "c")])
        check_split(split, self.clips, [("a", "b"), ("c", "d")])

    def test_the_waiver_accepts_the_shared_audio_it_names_and_says_so(self):
        clips = [clip("x", group="151080", fold=1), clip("y", group="151085", fold=2), *self.clips]
        config = SplitConfig(kind="folds", waiver=WAIVER)
        split = make_split(clips, config, 1, copies=[("x", "y")])
        assert split.waived_groups == ("151080 = 151085",) and not split.leaks
        with pytest.raises(LeakageError, match="same audio 'x = b'"):
            make_split(clips, config, 1, copies=[("x", "b")])

    def test_a_split_says_whether_there_are_groups(self):
        assert make_split(self.clips, SplitConfig(kind="folds"), 1).groups == "none"
        grouped = [*self.clips, clip("e", group="a", fold=1)]
        assert make_split(grouped, SplitConfig(kind="folds"), 1).groups == "declared"
