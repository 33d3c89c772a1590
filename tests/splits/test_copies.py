"""What a saved audit of the same recordings means for a split."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from earmark.config.sections import SplitConfig
from earmark.datasets.manifest import Clip, manifest_digest
from earmark.splits.copies import audit_path, find_copies, unite_copies
from earmark.splits.make import make_split
from earmark.splits.split import SplitError

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
