"""A manifest that somebody has edited is not overwritten unasked: by every command that writes one."""

import shutil
from pathlib import Path

import pytest

from commands import run


@pytest.fixture
def manifest(tones, tmp_path, monkeypatch):
    """clips.csv of a copied folder, in the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tones, "in")
    assert run("manifest", "folder", "in") == 0
    return Path("clips.csv")


def edit(manifest: Path, old: str, new: str) -> str:
    """Replace a text once; returns what the file has then."""
    text = manifest.read_text(encoding="utf-8")
    assert old in text
    manifest.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "high,h03,,",
            "high,tape 7,,",
            "fold of 1 clip (the first: h03 has group 'tape 7' and would get",
        ),
        ("high,h03,,", "low,h03,,", "(the first: h03 has label 'low' and would get 'high')"),
        ("high,h03,,", "high,h03,2,", "(the first: h03 has fold '2' and would get '')"),
        ("h03,in/high/h03.wav,high,h03,", "x,in/high/h03.wav,high,x,", "1 clip that would be lost (x)"),
        ("fold,duration", "fold,duration,site", "1 column that would be lost ('site')"),
        ("high,h03,,", "high,,,", None),
    ],
)
def test_an_edited_manifest_is_kept(manifest, capsys, old, new, said):
    text = edit(manifest, old, new)
    capsys.readouterr()
    assert run("manifest", "folder", "in") == (0 if said is None else 2)
    if said is None:
        return
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "earmark manifest: clips.csv: is a" in line]
    assert said in line and line.endswith("write to another file with -o, or give --force to overwrite it")
    assert manifest.read_text(encoding="utf-8") == text
    assert run("manifest", "folder", "in", "--force") == 0
    assert manifest.read_text(encoding="utf-8") != text


def test_what_loses_nothing_is_silent(manifest):
    assert run("manifest", "folder", "in") == 0, "unchanged"
    shutil.copy("in/high/h03.wav", "in/high/new.wav")
    assert run("manifest", "folder", "in") == 0, "a new clip"
    assert run("manifest", "folder", "in", "--group-pattern", "^.") == 0, "groups that were not filled in before"
    assert run("manifest", "folder", "in") == 2, "they are now"
    Path("notes.csv").write_text("clip_id,remark\nx,y\n", encoding="utf-8")
    assert run("manifest", "folder", "in", "-o", "notes.csv") == 0, "no manifest"


def test_join_and_tables_ask_as_well(manifest, capsys):
    edit(manifest, "high,h03,,", "high,tape 7,,")
    assert run("join", manifest, "--rename", "low=high", "-o", manifest) == 2
    assert "label, group or fold of 12 clips" in capsys.readouterr().err
    assert run("join", manifest, "-o", "both.csv") == run("join", manifest, "-o", "both.csv") == 0
    rows = [f"in/high/h0{i}.wav,high" for i in range(3)]
    Path("list.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    assert run("manifest", "csv", "list.csv") == 2
    assert "that would be lost" in capsys.readouterr().err
    assert run("join", manifest, "--rename", "low=high", "-o", manifest, "--force") == 0
