"""Names of files that are no text in UTF-8, which POSIX systems allow, are one line."""

import os
import sys
from pathlib import Path

import pytest
import soundfile

from commands import run

pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are text there")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A recording below a folder of its class, whose name has a byte of Latin-1."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "dog").mkdir(parents=True)
    soundfile.write("in/dog/a.wav", [0.1] * 8000, 8000)
    Path("in/dog/a.wav").rename(os.fsdecode(b"in/dog/caf\xe9.wav"))
    return tmp_path


@pytest.mark.parametrize("words", [("manifest", "folder", "in"), ("predict", "m.onnx", "in")], ids=lambda w: w[0])
def test_a_recording_is_named(words, folder, capsys):
    assert run(*words) == 2
    problem = "caf\\udce9.wav: has a name that is not UTF-8 text; rename the file or its folder\n"
    assert capsys.readouterr().err.endswith(problem)
    assert sorted(path.name for path in folder.iterdir()) == ["in"]


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "m.onnx", os.fsdecode(b"in/dog/caf\xe9.wav")),
        ("audit", os.fsdecode(b"caf\xe9.csv")),
        ("manifest", "folder", "in", "-o", os.fsdecode(b"caf\xe9.csv")),
    ],
    ids=lambda words: words[0],
)
def test_an_argument_is_named(words, folder, capsys):
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert "caf\\udce9." in error and ": is not UTF-8 text; rename the file or folder" in error
    assert error.count("\n") == 1
