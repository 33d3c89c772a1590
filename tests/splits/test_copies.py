"""What a saved audit of the same recordings means for a split."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.cli.main import main
from earmark.config.sections import SplitConfig
from earmark.datasets.manifest import Clip, clip_digest, manifest_digest, read_manifest, write_manifest
from earmark.splits.copies import audit_path, find_copies, unite_copies
from earmark.splits.make import make_split
from earmark.splits.split import LeakageError, SplitError

CLIPS = [Clip(name, Path(f"{name}.wav"), "dog", f"g{name}", duration=1.0) for name in "abcdef"]


def write_audit(folder: Path, **content) -> Path:
    (folder / "clips.audit.json").write_text(json.dumps(content))
    return folder / "clips.csv"


def test_the_audit_lies_beside_the_manifest():
    assert audit_path("x/clips.csv") == Path("x/clips.audit.json")


def test_copies_are_those_of_the_saved_audit(tmp_path):
    assert find_copies(tmp_path / "clips.csv", CLIPS) == ()
    manifest = write_audit(tmp_path, manifest_digest=manifest_digest(CLIPS), copies=[["a", "b"]])
    assert find_copies(manifest, CLIPS) == [("a", "b")]
    assert find_copies(manifest, [replace(clip, group="g", label="cat") for clip in CLIPS]) == [("a", "b")]


def test_an_audit_of_other_recordings_is_ignored_with_a_note(tmp_path, caplog):
    manifest = write_audit(tmp_path, manifest_digest=manifest_digest(CLIPS[1:]), copies=[["b", "c"]])
    with caplog.at_level(logging.WARNING):
        assert find_copies(manifest, CLIPS) == ()
    assert "is an audit of other recordings than those of" in caplog.text


def test_an_audit_of_more_recordings_holds_for_those_that_are_left(tmp_path, caplog):
    """A row was deleted, as `earmark validate` advises: copies of the others were no longer kept together."""
    known = {clip.clip_id: clip_digest(clip) for clip in CLIPS}
    copies = [["a", "b", "c"], ["a", "d"], ["e", "f"]]
    manifest = write_audit(tmp_path, manifest_digest=manifest_digest(CLIPS), copies=copies, clips=known)
    assert find_copies(manifest, CLIPS[1:]) == [("b", "c"), ("e", "f")]
    assert not caplog.text
    other = replace(CLIPS[2], duration=3.0)
    new = Clip("new", Path("new.wav"), "dog", "new")
    assert find_copies(manifest, [*CLIPS[:2], other, new]) == [("a", "b")]
    assert (
        "has not examined 2 clips of" in caplog.text and "(c, new) as they are now; they may be copies" in caplog.text
    )


def test_a_clip_that_the_audit_could_not_read_is_named_only_after_it_was_repaired(tmp_path, caplog):
    clips = [*CLIPS, replace(CLIPS[0], clip_id="broken", duration=0.0)]
    known = {clip.clip_id: clip_digest(clip) for clip in CLIPS}
    broken = {"broken": "cannot be read"}
    manifest = write_audit(tmp_path, manifest_digest="of more", copies=[["a", "b"]], clips=known, unreadable=broken)
    assert find_copies(manifest, clips) == [("a", "b")]
    assert not caplog.text
    find_copies(manifest, [*CLIPS, replace(clips[-1], duration=1.0)])
    assert "has not examined 1 clip of" in caplog.text and "(broken)" in caplog.text


def test_a_split_after_a_deleted_row_keeps_the_copies_of_the_audit(tmp_path):
    """By the command line, on real files: two copies in different groups, and a broken file."""
    rng = np.random.default_rng(0)
    for label in "xy":
        (tmp_path / "in" / label).mkdir(parents=True)
        for i in range(4):
            soundfile.write(tmp_path / "in" / label / f"{label}{i}.wav", 0.1 * rng.normal(size=8000), 8000)
    shutil.copy(tmp_path / "in" / "x" / "x0.wav", tmp_path / "in" / "x" / "again.wav")
    (tmp_path / "in" / "y" / "broken.wav").write_bytes(b"")
    manifest = tmp_path / "clips.csv"
    main(["manifest", "folder", str(tmp_path / "in"), "-o", str(manifest)])
    main(["audit", str(manifest), "--jobs", "1", "--json", str(audit_path(manifest))])
    lines = manifest.read_text(encoding="utf-8").splitlines()
    manifest.write_text("\n".join(line for line in lines if "broken" not in line), encoding="utf-8")
    clips = read_manifest(manifest)
    copies = find_copies(manifest, clips)
    assert copies == [("again", "x0")]
    with pytest.raises(LeakageError, match="same audio"):
        for fold in range(1, 5):
            make_split(clips, SplitConfig(n_folds=4), fold, copies=copies)


def test_the_audit_does_not_hold_for_recordings_that_were_replaced(tmp_path, caplog):
    """By others of the same name, duration and size: manifests of the two are the same."""
    rng = np.random.default_rng(0)
    waves = {name: 0.1 * rng.normal(size=8000) for name in "abcdef"}
    for name, wave in waves.items():
        soundfile.write(tmp_path / f"{name}.wav", waves["a"] if name == "b" else wave, 8000)
    clips = [replace(clip, path=tmp_path / clip.path.name) for clip in CLIPS]
    manifest = tmp_path / "clips.csv"
    write_manifest(clips, manifest)
    main(["audit", str(manifest), "--jobs", "1", "--json", str(audit_path(manifest))])
    assert find_copies(manifest, clips) == [("a", "b")] and not caplog.text
    shutil.copytree(tmp_path, tmp_path / "copy")  # other times of change, the same content
    assert find_copies(manifest, [replace(c, path=tmp_path / "copy" / c.path.name) for c in clips]) == [("a", "b")]
    for name in "bc":
        soundfile.write(tmp_path / f"{name}.wav", waves["c"] + 0.01 if name == "b" else waves["d"], 8000)
    assert find_copies(manifest, clips) == []
    assert "has not examined 2 clips of" in caplog.text and "(b, c) as they are now" in caplog.text


@pytest.mark.parametrize("content", ["{", "[]", '{"manifest_digest": "x"}', '{"manifest_digest": "x", "copies": [1]}'])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "clips.audit.json").write_text(content)
    with pytest.raises(SplitError, match=r"clips\.audit\.json: cannot be read .*earmark audit .* --json"):
        find_copies(tmp_path / "clips.csv", CLIPS)


def test_united_groups_take_the_first_name_and_keep_copies_together():
    copies = [("c", "b"), ("e", "b"), ("unknown", "f")]
    united = unite_copies(CLIPS, copies)
    assert [clip.group for clip in united] == ["ga", "gb", "gb", "gd", "gb", "gf"]
    for fold in (1, 2):
        make_split(united, SplitConfig(n_folds=2), fold, copies=copies)
