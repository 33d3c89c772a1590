"""Manifests joined into one: ids and groups that collide, classes renamed or left out, a fold for each."""

from pathlib import Path

import pytest

from earmark.cli.main import main
from earmark.config.sections import SplitConfig
from earmark.datasets.join import join_manifests
from earmark.datasets.manifest import Clip, further_columns, read_manifest, write_manifest
from earmark.datasets.rows import ManifestError
from earmark.splits.make import make_split


@pytest.fixture
def manifests(tmp_path):
    """Two data sets with a speaker 3, a file 1.wav and partly the same classes."""
    one = [Clip("1", tmp_path / "a/1.wav", "angry", "3", 2), Clip("2", tmp_path / "a/2.wav", "sad", "4", 1)]
    two = [
        Clip("1", tmp_path / "b/1.wav", "anger", "3"),
        Clip("5", tmp_path / "b/5.wav", "sad", "5"),
        Clip("6", tmp_path / "b/6.wav", "bored", "5"),
    ]
    write_manifest(one, tmp_path / "one.csv")
    write_manifest(two, tmp_path / "two.csv")
    return [tmp_path / "one.csv", tmp_path / "two.csv"]


def test_ids_and_groups_that_two_manifests_have_are_prefixed(manifests, caplog):
    clips = join_manifests(manifests)
    assert [c.clip_id for c in clips] == ["one__1", "2", "two__1", "5", "6"]
    assert [c.group for c in clips] == ["one/3", "4", "two/3", "5", "5"]
    assert [c.fold for c in clips] == [2, 1, None, None, None], "as they were"
    assert "1 group in several manifests (3): taken as different ones" in caplog.text


def test_groups_of_one_name_can_be_one_group(manifests, caplog):
    assert [c.group for c in join_manifests(manifests, same_groups=True)] == ["3", "4", "3", "5", "5"]
    assert "taken as different" not in caplog.text


def test_classes_are_renamed_before_they_are_chosen(manifests, caplog):
    clips = join_manifests(manifests, {"angry": "anger"}, ["anger", "sad"])
    assert [c.label for c in clips] == ["anger", "sad", "anger", "sad"]
    assert "has no clip of" not in caplog.text


def test_a_class_that_one_manifest_lacks_is_named(manifests, caplog):
    join_manifests(manifests, {"angry": "anger"})
    assert "one: has no clip of bored, which other manifests have" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"happy": "joy"},), "class 'happy': is not in any manifest; choose from anger, angry, bored, sad"),
        (({}, ["Anger"]), "class 'Anger': is not in any manifest; did you mean 'anger'"),
        (({}, ["bored"]), "one: has no clip of bored; its classes are angry, sad"),
    ],
)
def test_classes_that_cannot_be_found_are_refused(manifests, arguments, message):
    with pytest.raises(ManifestError, match=message):
        join_manifests(manifests, *arguments)


def test_manifests_of_one_name_are_called_by_their_folders(manifests, tmp_path, monkeypatch):
    """`cut` and `augment` write a clips.csv each."""
    for folder, path in zip("ab", manifests, strict=True):
        (tmp_path / folder).mkdir()
        write_manifest(read_manifest(path), tmp_path / folder / "clips.csv")
    monkeypatch.chdir(tmp_path / "a")
    clips = join_manifests([Path("clips.csv"), Path("../b/clips.csv")])
    assert [c.clip_id for c in clips] == ["a__1", "2", "b__1", "5", "6"]
    assert [c.group for c in clips] == ["a/3", "4", "b/3", "5", "5"]


@pytest.mark.parametrize("other", ["one.csv", "x/a/clips.csv", "A.csv"])
def test_two_manifests_of_one_name_are_refused(manifests, tmp_path, other):
    paths = [tmp_path / "one.csv"] if other == "one.csv" else [tmp_path / "a/clips.csv", tmp_path / "b/clips.csv"]
    with pytest.raises(ManifestError, match=r"(one|clips)\.csv: both would be called '(?i:a|test.*)'; rename one of"):
        join_manifests([*paths, tmp_path / other])


def test_each_manifest_can_be_a_fold_that_is_trained_on_the_others(manifests, tmp_path, capsys):
    both = tmp_path / "elsewhere" / "both.csv"
    renamed = ["--rename", "angry=anger", "--only", "anger", "sad"]
    main(["join", *map(str, manifests), "-o", str(both), *renamed, "--fold-each"])
    assert capsys.readouterr().out == f"{both}: 4 clips, 2 classes, 4 groups\n"
    clips = read_manifest(both)
    split = make_split(clips, SplitConfig(kind="folds"), 2)
    assert (split.train, split.test) == (("2", "one__1"), ("5", "two__1"))
    assert {c.path.resolve() for c in clips} == {
        (tmp_path / f).resolve() for f in ("a/1.wav", "a/2.wav", "b/1.wav", "b/5.wav")
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "no manifest; give one or more"), (["--rename", "angry"], "--rename 'angry': give OLD=NEW")],
)
def test_a_wrong_command_line_is_one_line(manifests, tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as status:
        main(["join", *map(str, manifests if arguments else []), "-o", str(tmp_path / "both.csv"), *arguments])
    assert status.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "both.csv").exists()


def test_a_recording_in_two_manifests_is_refused(manifests, tmp_path):
    """It would be two clips in two groups, one of them in training and the other one tested."""
    write_manifest([Clip("x", tmp_path / "b" / ".." / "a" / "2.wav", "sad", "9")], tmp_path / "three.csv")
    with pytest.raises(ManifestError, match=r"one and three: have 1 recording in common \(x\); delete the rows in one"):
        join_manifests([*manifests, tmp_path / "three.csv"])


def test_further_columns_are_kept(manifests, tmp_path):
    clips = read_manifest(manifests[0])
    write_manifest(clips, manifests[0], {"site": {"1": "north", "2": "south"}})
    for _ in range(2):  # the second time over its own output
        main(["join", *map(str, manifests), "-o", str(tmp_path / "both.csv"), "--rename", "angry=anger"])
        assert further_columns(tmp_path / "both.csv") == {
            "site": {"one__1": "north", "2": "south", "two__1": "", "5": "", "6": ""}
        }


@pytest.fixture
def write(tmp_path):
    """Writes a manifest of clips (id, group, label), each file in a folder of the manifest's name."""

    def write(name, *rows):
        clips = [Clip(i, tmp_path / name / f"{i}.wav", label, group) for i, group, label in rows]
        write_manifest(clips, tmp_path / f"{name}.csv")
        return tmp_path / f"{name}.csv"

    return write


def _joined(*paths, **settings):
    return {clip.clip_id: clip.group for clip in join_manifests(paths, **settings)}


def test_a_clip_and_its_copies_are_prefixed_together(write):
    """Groups do not hold them together here, as in a folder in which each file is its own group."""
    one = write("one", ("1", "1", "dog"), ("1_noisy", "1_noisy", "dog"), ("2_noisy", "2", "dog"))
    two = write("two", ("1", "1", "dog"))
    assert list(_joined(one, two)) == ["one__1", "one__1_noisy", "2_noisy", "two__1"]


@pytest.mark.parametrize("suffix", ["noisy", "pitchUp2_noisy", "aug1", "hall"])
def test_copies_in_another_manifest_stay_with_the_original(write, suffix):
    """They come in any order, and with a name that only a config defines (hall)."""
    paths = [
        write("aug", (f"1_{suffix}", "anna", "dog"), (f"2_{suffix}", "eve", "dog")),
        write("one", ("1", "anna", "dog"), ("2", "eve", "dog"), ("3", "eve", "dog")),
        write("two", ("1", "bob", "dog"), ("2", "eve", "cat")),
    ]
    ids = [f"one__1_{suffix}", f"one__2_{suffix}", "one__1", "one__2", "3", "two__1", "two__2"]
    assert list(zip(*_joined(*paths).items(), strict=True)) == [
        tuple(ids),
        ("anna", "one/eve", "anna", "one/eve", "one/eve", "bob", "two/eve"),
    ]
    assert [clip.fold for clip in join_manifests(paths, fold_each=True)] == [2, 2, 2, 2, 2, 3, 3]


def test_copies_that_are_their_own_groups_join_that_of_the_original(write):
    aug = write("aug", ("1_noisy", "1_noisy", "dog"), ("1_noisy_pitchUp2", "1_noisy_pitchUp2", "dog"))
    one, two = write("one", ("1", "1", "dog")), write("two", ("1", "1", "cat"))
    assert _joined(aug, one, two) == {
        "one__1_noisy": "one/1",
        "one__1_noisy_pitchUp2": "one/1",
        "one__1": "one/1",
        "two__1": "two/1",
    }


def test_a_clip_that_is_named_alike_only_is_no_copy(write):
    one = write("one", ("1", "anna", "dog"), ("2", "anna", "dog"))
    two = write("two", ("1_noisy", "anna", "cat"), ("2_b", "eve", "dog"), ("2", "anna", "dog"))
    assert _joined(one, two) == {
        "1": "one/anna",
        "one__2": "one/anna",
        "1_noisy": "two/anna",
        "2_b": "eve",
        "two__2": "two/anna",
    }


def test_a_copy_of_one_of_two_clips_is_refused_until_it_is_joined_with_the_right_one(write, tmp_path):
    one, two = write("one", ("1", "1", "dog")), write("two", ("1", "1", "dog"))
    aug = write("aug", ("1_noisy", "1", "dog"))
    with pytest.raises(ManifestError, match="aug: clip_id '1_noisy' may be a copy of a clip of one or two; join aug"):
        join_manifests([one, two, aug])
    write_manifest(join_manifests([one, aug]), tmp_path / "both.csv")
    assert _joined(tmp_path / "both.csv", two) == {"both__1": "both/1", "both__1_noisy": "both/1", "two__1": "two/1"}


def test_two_copies_of_one_name_and_clip_are_refused(write):
    paths = [write("one", ("1", "1", "dog")), *(write(name, ("1_noisy", "1", "dog")) for name in ("a", "b"))]
    with pytest.raises(ManifestError, match="clip_id 'one__1_noisy': stands for '1_noisy' of a and for '1_noisy' of b"):
        join_manifests(paths)
