"""Clip ids of any file name: safe on every platform, unique, the same every time (property-based)."""

import re

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.config.sections import FrontEndConfig
from earmark.datasets.folder import read_folder
from earmark.datasets.manifest import (
    MAX_ID_BYTES,
    base_clip_id,
    clip_of_file,
    read_manifest,
    safe_id,
    unique_ids,
    write_manifest,
)
from earmark.datasets.rows import ManifestError
from earmark.features.store import generate

HOSTILE = (
    "x" * 251,
    "é" * 125,
    "a\nb",
    "\U0001f600",
    "\u202egnp.exe",
    "-rf",
    "a\\b",
    "con",
    "CON.x",
    "lpt1",
    "..a",
    "a:b",
    "a*b",
    "a?b",
    "a.",
    "a ",
    "=1+1",
    "e\u0301",
    "\u00e9",
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=300) | st.sampled_from(HOSTILE))
def test_an_id_is_safe_and_stays_itself(text):
    clip_id = safe_id(text)
    assert re.fullmatch(r"[\w+][\w.+-]*", clip_id)
    assert clip_id.isprintable() and len(clip_id.encode()) <= MAX_ID_BYTES
    assert not re.match(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", clip_id, re.IGNORECASE)
    assert safe_id(clip_id) == clip_id


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.text("ab?*:A\u0301é", min_size=1, max_size=3), unique=True, max_size=8))
def test_different_names_in_one_folder_have_different_ids(names):
    ids = unique_ids(names, ["folder"] * len(names))
    assert len({i.lower() for i in ids}) == len(names)
    assert all(safe_id(i) == i for i in ids)


def test_ordinary_names_are_kept():
    for name in ("1-100032-A-0", "03a01Fa", "x_noisy", "dog__1", "Straße+1", "console", "a.con"):
        assert safe_id(name) == name


def test_a_long_name_keeps_the_suffix_of_its_augmentation():
    long = safe_id("x" * 200)
    assert base_clip_id(safe_id("x" * 200 + "_noisy")) != safe_id("x" * 200 + "_noisy")
    assert safe_id("x" * 200 + "_noisy").endswith("_noisy") and long != safe_id("x" * 201)
    assert clip_of_file("a/" + "x" * 200 + ".wav", {long}) == long
    assert clip_of_file(f"a/{long}_noisy.png", {long}) == long


def test_hostile_names_go_from_folder_to_manifest_and_store(tmp_path):
    folder = tmp_path / "data" / "dog"
    folder.mkdir(parents=True)
    made = 0
    for number, name in enumerate(HOSTILE):
        path = folder / f"{name}.wav"
        if not name.startswith(".") and not path.exists():
            soundfile.write(path, np.full(800, 0.01 * number), 8000)
            made += 1
    clips = read_folder(tmp_path / "data")
    write_manifest(clips, tmp_path / "clips.csv")
    again = read_manifest(tmp_path / "clips.csv")
    assert [c.clip_id for c in again] == [c.clip_id for c in clips] and len(clips) == made
    assert all(c.path.is_file() for c in again)
    store = generate(again, FrontEndConfig(sample_rate=8000), tmp_path / "store")
    assert len(list(store.folder.glob("*.png"))) == made


@pytest.mark.parametrize("clip_id", ["../x", "a/b", "con", "-x", ".x", "a\\b", "x" * 201])
def test_a_manifest_cannot_name_files_elsewhere(tmp_path, clip_id):
    (tmp_path / "clips.csv").write_text(f"clip_id,path,label,group,fold,duration\n{clip_id},a.wav,dog,a,,1\n")
    with pytest.raises(ManifestError, match=r"clips\.csv, line 2: clip_id .*; use '"):
        read_manifest(tmp_path / "clips.csv")


@pytest.mark.parametrize("duration", ["nan", "inf", "-1", "1e300", "soon"])
def test_a_duration_is_a_number_of_seconds(tmp_path, duration):
    (tmp_path / "clips.csv").write_text(f"clip_id,path,label,group,fold,duration\na,a.wav,dog,a,,{duration}\n")
    with pytest.raises(ManifestError, match=r"line 2: duration .*; give a number of seconds"):
        read_manifest(tmp_path / "clips.csv")
