"""Public data sets in their official layouts, as tiny copies: labels, groups, folds, official splits, and messages."""

import itertools
import logging
import runpy
import shutil
from pathlib import Path

import pytest

from earmark.config.sections import DataConfig, FrontEndConfig, SplitConfig
from earmark.datasets.public import PUBLIC_SETS, read_public, validate_public
from earmark.datasets.read import read_dataset
from earmark.datasets.rows import ManifestError
from earmark.features.store import generate
from earmark.splits.make import fold_numbers, make_split
from earmark.splits.split import WAIVERS, LeakageError
from public_sets import WRITERS, write_audio, write_lines

OFFICIAL = {
    "urbansound8k": SplitConfig(kind="folds", waiver="urbansound8k-published-folds"),
    "speech_commands": SplitConfig(kind="folds", valid_fold=True),
    "fsdd": SplitConfig(kind="folds", waiver="fsdd-official-test"),
    "gtzan": SplitConfig(kind="folds", valid_fold=True),
    "dcase_scenes": SplitConfig(kind="folds", waiver="dcase-official-split"),
    "ravdess": SplitConfig(kind="leave_one_group_out"),
    "crema_d": SplitConfig(kind="leave_one_group_out"),
}
"""The official split of each set; of those without one, the usual one."""
FRONT_END = FrontEndConfig(8000, n_fft=256, hop_length=64, n_mels=16)
by_name = pytest.mark.parametrize("name", WRITERS)


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    root = tmp_path_factory.mktemp("mini")
    for name, write in WRITERS.items():
        write(root / name)
    return root


@pytest.fixture
def copy(mini, tmp_path):
    """A copy of one of the sets, to change."""
    return lambda name: shutil.copytree(mini / name, tmp_path / name)


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def summary(clips, *names):
    """What the readers say of the clips with these ids: label, group, fold."""
    return [(c.label, c.group, c.fold) for c in clips if c.clip_id in names]


@by_name
def test_spectrograms_and_the_official_split(mini, tmp_path, name):
    clips = read_public(name, mini / name)
    assert all(clip.duration == pytest.approx(0.3) for clip in clips)
    store = generate(clips, FRONT_END, tmp_path, jobs=1)
    assert {store.read(clip.clip_id).shape[0] for clip in clips} == {16}
    assert fold_numbers(clips, OFFICIAL[name])[0] == 1
    split = make_split(clips, OFFICIAL[name], fold=1)
    assert sum(map(len, split.subsets().values())) == len(clips)


def test_urbansound8k_by_its_table(mini):
    clips = read_public("urbansound8k", mini / "urbansound8k")
    assert len(clips) == 10
    assert summary(clips, "7061-0-0-1", "77751-3-0-1") == [("air_conditioner", "7061", 2), ("dog_bark", "77751", 2)]
    with pytest.raises(LeakageError, match=r"group '77751' .*set split.waiver = 'urbansound8k-published-folds'"):
        make_split(clips, SplitConfig(kind="folds"), fold=1)
    assert make_split(clips, OFFICIAL["urbansound8k"], fold=1).waived_groups == ("77751",)


def test_speech_commands_by_its_lists(mini):
    clips = read_public("speech_commands", mini / "speech_commands")
    assert len(clips) == 12
    expected = [("no", "000000a0", 1), ("no", "000000a2", 2), ("no", "000000a5", 3)]
    assert summary(clips, *(f"no__{s}_nohash_0" for s in ("000000a0", "000000a2", "000000a5"))) == expected
    split = make_split(clips, OFFICIAL["speech_commands"], fold=1)
    subset_of = {clip_id: subset for subset, ids in split.subsets().items() for clip_id in ids}
    assert {subset_of[c.clip_id] for c in clips if c.fold == 1} == {"test"}
    assert {subset_of[c.clip_id] for c in clips if c.fold == 2} == {"valid"}


def test_fsdd_by_index(mini):
    clips = read_public("fsdd", mini / "fsdd")
    assert summary(clips, "7_theo_4", "7_theo_5") == [("7", "theo", 1), ("7", "theo", 2)]
    with pytest.raises(LeakageError, match=r"set split.waiver = 'fsdd-official-test'"):
        make_split(clips, SplitConfig(kind="folds"), fold=1)


def test_gtzan_with_artists_and_without_faults(mini, copy, caplog):
    clips = read_public("gtzan", mini / "gtzan")
    assert len(clips) == 12, "the seventh clip of each genre is in no list"
    expected = [("blues", "artist 0", 1), ("rock", "artist 1", 2), ("rock", "rock.00005", 3)]
    assert summary(clips, "blues.00000", "rock.00002", "rock.00005") == expected
    assert warnings_of(caplog) == []
    root = copy("gtzan")
    for path in root.glob("*.*"):
        path.unlink()
    (root / "genres").rename(root / "genres_original")
    assert {(c.group, c.fold) for c in read_public("gtzan", root)} >= {("blues.00006", None), ("rock.00006", None)}
    faults, artists = warnings_of(caplog)
    assert "known faults of GTZAN" in faults
    assert "artists can cross subsets" in artists


def test_dcase_scenes_by_city(mini, caplog):
    clips = read_public("dcase_scenes", mini / "dcase_scenes")
    names = ("tram-lyon-1001-40000-a", "tram-milan-1001-40000-a")
    assert summary(clips, *names) == [("tram", "lyon", 2), ("tram", "milan", 1)]
    assert "2 clips in no list of evaluation_setup, left out: airport-milan-1000-40000-a" in warnings_of(caplog)[0]


def test_dcase_scenes_of_2017_by_location(tmp_path):
    """No header, a location instead of a city, four folds."""
    meta, lists = [], {1: [], 2: []}
    for scene, (i, location) in itertools.product(("beach", "bus"), enumerate(("b020", "a001"))):
        file = f"audio/{location}_{90 + len(meta)}_100.wav"
        write_audio(tmp_path / file)
        meta.append(f"{file}\t{scene}\t{location}")
        lists[i + 1].append(f"{file}\t{scene}")
    write_lines(tmp_path / "meta.txt", meta)
    for fold, lines in lists.items():
        write_lines(tmp_path / "evaluation_setup" / f"fold{fold}_evaluate.txt", lines)
    clips = read_public("dcase_scenes", tmp_path)
    assert {(c.label, c.group, c.fold) for c in clips} == {
        ("beach", "b020", 1), ("beach", "a001", 2), ("bus", "b020", 1), ("bus", "a001", 2),
    }  # fmt: skip


def test_emotional_speech_by_name(mini, caplog):
    actors = read_public("ravdess", mini / "ravdess")
    assert summary(actors, "03-01-06-01-02-01-03") == [("fearful", "03", None)]
    assert "skipped 1 file not named as in RAVDESS speech; the first: 03-02" in warnings_of(caplog)[0]
    assert summary(read_public("crema_d", mini / "crema_d"), "1040_ITH_SAD_X") == [("sad", "1040", None)]


@by_name
def test_an_incomplete_set_is_read_with_a_warning(mini, name, caplog):
    read_dataset(DataConfig(name, str(mini / name)))
    incomplete = [text for text in warnings_of(caplog) if f"not the complete {PUBLIC_SETS[name].title}" in text]
    assert len(incomplete) == (name != "dcase_scenes")  # which has several editions
    assert validate_public(name, []) == [] or "0 clips instead of" in validate_public(name, [])[0]


@by_name
def test_another_folder_is_refused_by_what_is_there(tmp_path, name):
    write_audio(tmp_path / "dogs" / "rex.wav")
    write_lines(tmp_path / "notes.md", ["nothing"])
    with pytest.raises(
        ManifestError, match=r"holds no .*, but holds dogs/, notes.md; give the folder that .* unpacked"
    ):
        read_public(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "message"),
    [
        ("urbansound8k", "metadata/UrbanSound8K.csv", ",fsID,", ",id,", "no column 'fsID'"),
        ("urbansound8k", "metadata/UrbanSound8K.csv", ",dog_bark", ",", r"line 4: class is empty"),
        ("urbansound8k", "metadata/UrbanSound8K.csv", ",1,0,air", ",0,0,air", r"line 2: fold '0'; folds are numbered"),
        ("speech_commands", "testing_list.txt", "hash_0", "hash_9", "none of its lines is .*, as no/000000a0_nohash"),
        ("speech_commands", "testing_list.txt", "a0_", "a2_", "validation_list.txt: no/000000a2.* in another list"),
        ("gtzan", "test_filtered.txt", "/", "-", "none of its lines is a file of the set, as blues/blues.00000 is"),
        ("gtzan", "artists.csv", "file,artist", "file,name", "no column 'artist'"),
        ("dcase_scenes", "meta.csv", "\t", ",", "line 1: no file and scene between tabs"),
    ],
)  # fmt: skip
def test_changed_tables_are_named(copy, name, file, old, new, message):
    root = copy(name)
    path = root / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ManifestError, match=message):
        read_public(name, root)


def test_a_missing_list_is_named(copy):
    root = copy("gtzan")
    (root / "valid_filtered.txt").unlink()
    with pytest.raises(ManifestError, match=r"has test_filtered.txt, but not valid_filtered.txt; copy all"):
        read_public("gtzan", root)


def test_two_copies_in_one_folder_are_refused(copy):
    root = copy("ravdess")
    shutil.copytree(root / "Actor_01", root / "audio_speech_actors_01-24" / "Actor_01")
    with pytest.raises(ManifestError, match=r"Actor_01.*RAVDESS speech is there twice; give the folder of one copy"):
        read_public("ravdess", root)


def test_pointers_of_git_lfs_are_no_audio(tmp_path):
    write_lines(tmp_path / "AudioWAV" / "1001_DFA_ANG_XX.wav", ["version https://git-lfs.github.com/spec/v1"])
    with pytest.raises(ManifestError, match=r"1001_DFA_ANG_XX.wav: is a pointer of Git LFS.*`git lfs pull`"):
        read_public("crema_d", tmp_path)


def test_waivers_name_groups_of_their_sets_only():
    """The five recordings of UrbanSound8K that cross its folds, counted from the published file names."""
    assert WAIVERS["urbansound8k-published-folds"].groups == {"77751", "106905", "132016", "176638", "180937"}
    assert len(WAIVERS["fsdd-official-test"].groups) == 6
    assert len(WAIVERS["dcase-official-split"].groups) == 10


def test_what_a_random_split_knows_of_its_test_clips(mini):
    """Of the table of a tiny copy: 77751 is in both folds, under another class."""
    script = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "random_split.py"))
    slices = script["read_slices"](mini / "urbansound8k" / "metadata" / "UrbanSound8K.csv")
    (leak,) = script["every_tenth"](slices)
    assert (leak.n_test, leak.n_shared, leak.n_looked_up) == (1, 1, 1)
    first, second = script["published"](slices)
    assert (first.n_test, first.n_shared, second.n_test, second.n_shared) == (5, 1, 5, 1)
    assert (first.n_looked_up, second.n_looked_up) == (2, 2), "the majority class of the other recordings, 77751 wrong"
    assert sum(leak.n_shared for leak in script["by_recording"](slices, n_folds=2)) == 0
