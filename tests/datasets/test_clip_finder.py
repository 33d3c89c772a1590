"""Rows of other tables: by id, by path, and by the name of a file that was made of a clip."""

import time
from pathlib import Path

import pytest

from earmark.datasets.clip_finder import ClipFinder
from earmark.datasets.manifest import Clip

CLIPS = [
    Clip("anger_Anna__take_1", Path("/data/emo/anger/Anna/take 1.MP3"), "anger", "Anna"),
    Clip("anger_Eve__take_1", Path("/data/emo/anger/Eve/take 1.MP3"), "anger", "Eve"),
    Clip("joy_Eve__take_1", Path("/data/emo/joy/Eve/take 1.MP3"), "joy", "Eve"),
    Clip("rain", Path("/data/emo/rain.wav"), "rain", "r"),
]


@pytest.mark.parametrize(
    ("name", "clip_id"),
    [
        ("anger_Eve__take_1", "anger_Eve__take_1"),
        ("emo/anger/Anna/take 1.MP3", "anger_Anna__take_1"),
        ("D:\\all\\emo\\joy\\Eve\\take 1.mp3", "joy_Eve__take_1"),
        ("Anna/take 1.mp3", "anger_Anna__take_1"),
        ("Eve/take 1.mp3", None),
        ("take 1.mp3", None),
        ("png/anger_Eve__take_1_orig.png", "anger_Eve__take_1"),
        ("anger/Eve/take 1_noisy.wav", "anger_Eve__take_1"),
        ("rain_noisy.png", "rain"),
        ("snow.wav", None),
    ],
)
def test_clips_are_found_by_what_the_row_says(name, clip_id, caplog):
    finder = ClipFinder(CLIPS)
    found = finder.find(name)
    assert (found and found.clip_id) == clip_id
    finder.warn_of_other_folders("list.csv")
    assert not caplog.text


def test_a_file_of_this_name_in_another_folder_is_named(caplog):
    finder = ClipFinder(CLIPS)
    assert finder.find("D:\\other project\\session9\\rain.aiff") == CLIPS[3]
    assert finder.find("rain.wav") == finder.find("elsewhere/emo/rain.wav") == CLIPS[3]
    finder.warn_of_other_folders("list.csv")
    (message,) = caplog.messages
    assert message.startswith("list.csv: 1 file found in another folder than it says: D:\\other project")
    assert message.endswith("rain.aiff = emo/rain.wav; check that they are the same")


def test_rows_of_clips_that_a_filtered_manifest_lacks_are_not_taken_for_others(caplog):
    finder = ClipFinder([CLIPS[1], CLIPS[3]])
    assert finder.find("take 1.mp3") is finder.find("x/cat/take 1.mp3") is None, "the id says more than the name"
    for name in ("emo/anger/Eve/take 1.mp3", "emo/rain.wav"):
        assert finder.find(name) is not None
    assert not caplog.text
    finder.find("emo/joy/Eve/take 1.mp3")
    finder.warn_of_other_folders("list.csv")
    assert "1 file found in another folder than it says: emo/joy/Eve/take 1.mp3 = Eve/take 1.MP3" in caplog.text


def test_a_data_set_that_was_moved_is_fine(caplog):
    finder = ClipFinder(CLIPS)
    rows = ["E:\\old\\emo\\anger\\Anna\\take 1.mp3", "E:\\old\\emo\\joy\\Eve\\take 1.mp3", "E:\\old\\emo\\rain.wav"]
    assert [finder.find(row).clip_id for row in rows] == ["anger_Anna__take_1", "joy_Eve__take_1", "rain"]
    finder.warn_of_other_folders("list.csv")
    assert not caplog.text


def test_absolute_and_relative_paths_in_one_table_say_the_same(caplog):
    finder = ClipFinder(CLIPS)
    for name in ("anger/Anna/take 1.mp3", "anger/Eve/take 1.mp3", "/data/emo/joy/Eve/take 1.mp3", "emo/rain.wav"):
        assert finder.find(name) is not None
    finder.warn_of_other_folders("list.csv")
    assert not caplog.text
    finder.find("mine/anger/Eve/take 1.mp3")
    finder.warn_of_other_folders("list.csv")
    assert "1 file found in another folder than it says: mine/anger/Eve/take 1.mp3" in caplog.text


def test_the_nearest_of_many_is_found_as_by_comparing_all():
    """Names of two letters at three depths, so that most paths have several nearest ones."""
    names = [f"{a}/{b}/{c}.wav" for a in "ab" for b in "ab" for c in "ab"] + ["a/a.wav", "b/b.wav", "a.wav"]
    clips = [Clip(f"id{i}", Path("/data") / name, "x", "g") for i, name in enumerate(names)]
    finder = ClipFinder(clips)
    for row in [*names, *(f"c/{name}" for name in names), *(f"/data/{name}" for name in names)]:
        common = [_n_common(clip.path, row) for clip in clips]
        most = max(common)
        only = clips[common.index(most)] if most > 1 and common.count(most) == 1 else None
        assert finder.find(row) is only, row


def _n_common(one, other):
    pairs = zip(reversed(one.parts[1:]), reversed(Path(other.lstrip("/")).parts), strict=False)
    return [*(a == b for a, b in pairs), False].index(False)


def test_one_name_in_many_folders_is_found_fast():
    clips = [Clip(f"c{i}__audio", Path(f"/data/set/c{i}/audio.wav"), "x", "g") for i in range(1000)]
    start = time.process_time()
    finder = ClipFinder(clips)
    assert [finder.find(f"set/c{i}/audio.wav") for i in range(1000)] == clips
    assert time.process_time() - start < 2  # 0.02 s; 8 s where all of this name are compared with each row


def test_augmentations_of_a_config_are_known():
    assert ClipFinder(CLIPS, ("hall",)).find("rain_hall.wav") == CLIPS[3]
    assert ClipFinder(CLIPS).find("rain_hall.wav") is None
