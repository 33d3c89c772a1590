"""Where a command writes is checked before it does anything, and missing folders are created."""

import os
import sys

import pytest

from commands import run

COMMANDS = [
    ("embed", "m.onnx", "in", "-o"),
    ("audit", "clips.csv", "--json"),
    ("export", "runs/a"),
    ("tune", "a.toml", "-o"),
    ("predict", "m.onnx", "in", "--csv"),
    ("compare", "runs/a", "runs/b", "--json"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text('name = "a"\n', encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_file_in_the_place_of_a_folder_is_refused_first(words, here, capsys):
    (here / "file").touch()
    assert run(*words, "file/new/x.csv") == 2
    error = f"file/new/x.csv: cannot be written, since {here / 'file'} is a file; give another path\n"
    assert capsys.readouterr().err == f"earmark {words[0]}: {error}"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused_first(here, capsys):
    (here / "closed").mkdir(mode=0o500)
    assert run(*COMMANDS[0], "closed/x.csv") == 2
    assert "may not be written to; give another path" in capsys.readouterr().err


def test_missing_folders_are_created(here):
    assert run("schema", "-o", "new/deep/schema.json") == 0
    assert (here / "new" / "deep" / "schema.json").is_file()
