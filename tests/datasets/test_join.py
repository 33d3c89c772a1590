"""Manifests joined into one: ids and groups that collide, classes renamed or left out, a fold for each."""

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


def test_two_manifests_of_one_name_are_refused(manifests, tmp_path):
    (tmp_path / "other").mkdir()
    write_manifest(read_manifest(manifests[1]), tmp_path / "other" / "one.csv")
    with pytest.raises(ManifestError, match="two manifests have this name"):
        join_manifests([*manifests, tmp_path / "other" / "one.csv"])


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
