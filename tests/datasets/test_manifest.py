"""The manifest: files, fold numbers, and every rule about clip ids."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from earmark.datasets.esc50 import read_esc50
from earmark.datasets.folder import read_csv
from earmark.datasets.manifest import (
    Clip,
    base_clip_id,
    base_clip_ids,
    check_unique,
    clip_of_file,
    has_groups,
    manifest_digest,
    read_manifest,
    write_manifest,
)
from earmark.datasets.rows import ManifestError


def clip(name: str, label: str = "dog", group: str = "") -> Clip:
    return Clip(name, Path("audio") / f"{name}.wav", label, group or name)


HEADERS = {
    "manifest": "clip_id,path,label,group,fold,duration\n",
    "csv": "path,label,group,fold\n",
    "esc50": "filename,fold,target,category,esc10,src_file,take\n",
}


class TestFolds:
    @pytest.mark.parametrize("fold", ["0", "-1", "1.5", "one"])
    def test_every_reader_refuses_a_fold_below_one_with_a_remedy(self, tmp_path, fold):
        """Bug 17: fold numbers from 0 were accepted by `read_manifest` alone."""
        (tmp_path / "meta").mkdir()
        rows = {
            "manifest": f"a,a.wav,dog,g,{fold},1.0\n",
            "csv": f"a.wav,dog,g,{fold}\n",
            "esc50": f"a.wav,{fold},0,dog,True,7,A\n",
        }
        paths = {"manifest": "clips.csv", "csv": "list.csv", "esc50": "meta/esc50.csv"}
        remedy = "folds are numbered from 1: add 1 to each" if fold == "0" else "give a whole number from 1"
        for kind, read in (("manifest", read_manifest), ("csv", read_csv), ("esc50", lambda _: read_esc50(tmp_path))):
            path = tmp_path / paths[kind]
            path.write_text(HEADERS[kind] + rows[kind])
            with pytest.raises(ManifestError, match=rf"{path.name}, line 2: fold '{fold}'; {remedy}"):
                read(path)


class TestManifest:
    @pytest.mark.parametrize(
        ("row", "message"),
        [
            (",a.wav,dog,g,,1", "line 2: clip_id is empty; fill it in"),
            ("a,a.wav,dog,,,1", "line 2: group is empty"),
            ("a b,a.wav,dog,g,,1", "has characters that a file name cannot carry; use 'a_b'"),
            ("a,a.wav,dog,g,,long", "duration 'long'; give a number of seconds"),
            ("a,a.wav,dog,g,1", None),
        ],
    )
    def test_a_row_that_cannot_be_used_is_named(self, tmp_path, row, message):
        (tmp_path / "clips.csv").write_text(HEADERS["manifest"] + row + "\n")
        if message is None:
            assert read_manifest(tmp_path / "clips.csv")[0].duration == 0.0
            return
        with pytest.raises(ManifestError, match=message):
            read_manifest(tmp_path / "clips.csv")

    def test_the_digest_outlives_corrections_and_notices_other_recordings(self):
        clips = [clip("a"), clip("b")]
        digest = manifest_digest(clips)
        assert digest == manifest_digest(clips[::-1])
        assert digest == manifest_digest([replace(c, label="cat", group="one", fold=3) for c in clips])
        assert digest != manifest_digest(clips[:1])
        assert digest != manifest_digest([replace(c, duration=2.0) for c in clips])

    def test_a_set_in_which_each_file_is_its_own_group_has_no_groups(self):
        assert not has_groups([clip("a"), clip("b")])
        assert not has_groups([clip("a", group="g"), clip("a_noisy", group="g"), clip("b")])
        assert has_groups([clip("a", group="g"), clip("b", group="g")])


class TestNames:
    @pytest.mark.parametrize(
        ("clip_id", "base"),
        [
            ("a", "a"),
            ("a_orig", "a"),
            ("a_noisy", "a"),
            ("a_pitchUp2_noisy", "a"),
            ("a_stretch0.9_pitch-2", "a"),
            ("a_street_noisy", "a"),
            ("dog_bark", "dog_bark"),
            ("_noisy", "_noisy"),
        ],
    )
    def test_all_augmentation_suffixes_are_removed(self, clip_id, base):
        """Bug 12: one suffix only was removed, and names of one's own were not known."""
        assert base_clip_id(clip_id, ("street",)) == base

    @pytest.mark.parametrize(
        "copy",
        [
            *("x_aug1", "x_aug_2", "x-noisy", "x_speed1.1", "x_augmented", "x_pitch_up_2", "x_gain-6dB", "x_noise20"),
            *("x__1_", "x_1_", "x_copy", "x_-_Copy", "x_copy_2", "x_-_Copy__2_", "x__copy_"),
        ],
    )
    def test_copies_by_other_tools_are_recognized_beside_their_original(self, copy):
        assert base_clip_ids([clip("x"), clip("y"), clip(copy)]) == {"x": "x", "y": "y", copy: "x"}

    def test_augmented_copies_are_recognized_without_their_original(self):
        assert set(base_clip_ids([clip("x_aug1"), clip("x_aug2")]).values()) == {"x"}

    @pytest.mark.parametrize(
        "clips",
        [
            [clip("dog__1_"), clip("dog__2_")],  # a folder renamed to dog (1).wav, dog (2).wav ...
            [clip("a_copy"), clip("b")],
            [clip("fan_speed1.5", "slow"), clip("fan_speed2.5", "fast")],
            [clip("fan_speed1"), clip("fan_speed2")],
            [clip("dog"), clip("dog_bark")],
            [clip("street"), clip("street_noise")],
        ],
    )
    def test_names_that_only_look_like_copies_are_left_alone(self, clips):
        assert base_clip_ids(clips) == {c.clip_id: c.clip_id for c in clips}


class TestFiles:
    @pytest.mark.parametrize(
        ("filepath", "clip_id"),
        [
            ("a.wav", "a"),
            ("x/y/a_orig.png", "a"),
            (r"x\y\a_stretch0.9.wav", "a"),
            ("a_pitchUp2_noisy.png", "a"),
            ("a_street.png", "a"),
            ("a_aug3.png", "a"),
            ("c_2.flac", "c_2"),
            ("c_2_noisy.png", "c_2"),
            ("dog/1.wav", "dog__1"),
            ("x/cat/1_pitchUp2.wav", "cat__1"),
            ("dog__1_orig.png", "dog__1"),
            ("a_2.wav", None),
            ("1.wav", None),
            ("other.wav", None),
            ("a_forest.wav", None),
            ("a_my_own.png", None),
        ],
    )
    def test_a_file_is_mapped_to_its_clip(self, filepath, clip_id):
        """Bug 12: any suffix was taken for an augmentation, so `rain_forest.wav` became clip `rain`."""
        assert clip_of_file(filepath, {"a", "b", "c_2", "dog__1", "cat__1"}, ("street",)) == clip_id


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("XC1,a/XC1.wav", "line 4: clip_id 'XC1': the row is already in line 2; delete one of the two"),
        ("XC1,b/XC1.wav", "line 4: clip_id 'XC1': line 2 has 'XC1'; give one of them another clip_id"),
        ("xc1,b/xc1.wav", "line 4: clip_id 'xc1': line 2 has 'XC1'; give one of them another clip_id"),
    ],
)
def test_a_clip_id_that_is_there_twice_is_named_by_its_lines(tmp_path, second, message):
    lines = [f"{row},dog,g,1,1.0\n" for row in ("XC1,a/XC1.wav", "XC2,a/XC2.wav", second)]
    (tmp_path / "clips.csv").write_text(HEADERS["manifest"] + "".join(lines), encoding="utf-8")
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path / "clips.csv")


def test_an_id_that_two_files_have_is_shown_as_it_is_written():
    with pytest.raises(ManifestError, match=r"clip_id 'a' occurs more than once \(as 'A'\): rename one of the files"):
        check_unique(["A", "b", "a"])


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_manifest_in_a_folder_that_is_a_link_finds_its_recordings(tmp_path):
    """The way up from the link leads elsewhere than the way up from its name."""
    for name in ("recordings", "far/deep/er", "data"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.wav").touch()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "deep" / "er")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "recordings")
    for folder, recordings, written in (
        ("link", "recordings", "../../../recordings/a.wav"),
        ("link", "link", "a.wav"),
        ("recordings", "data/link", "../data/link/a.wav"),
        ("far", "link", "../link/a.wav"),
    ):
        manifest = tmp_path / folder / "clips.csv"
        write_manifest([Clip("a", tmp_path / recordings / "a.wav", "x", "a")], manifest)
        (clip,) = read_manifest(manifest)
        assert written in manifest.read_text(encoding="utf-8")
        assert clip.path.resolve() == (tmp_path / recordings / "a.wav").resolve() and clip.path.is_file()
