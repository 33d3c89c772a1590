"""Rows of other tables: by id, by path, and by the name of a file that was made of a clip."""

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
    assert finder.find("D:\\other project\\session9\\rain.wav") == CLIPS[3]
    assert finder.find("rain.wav") == finder.find("elsewhere/emo/rain.wav") == CLIPS[3]
    finder.warn_of_other_folders("list.csv")
    (message,) = caplog.messages
    assert message.startswith("list.csv: 1 file found by name alone, in another folder than there: D:\\other project")
    assert message.endswith("rain.wav = emo/rain.wav; check that they are the same")


def test_augmentations_of_a_config_are_known():
    assert ClipFinder(CLIPS, ("hall",)).find("rain_hall.wav") == CLIPS[3]
    assert ClipFinder(CLIPS).find("rain_hall.wav") is None
