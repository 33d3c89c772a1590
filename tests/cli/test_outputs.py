"""Where a command writes is checked before it does anything, and missing folders are created."""

import os
import sys

import pytest

from commands import run
from earmark.runtime.files import check_own_table, write_csv

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
    assert "is not writable; give another path" in capsys.readouterr().err


def test_missing_folders_are_created(here):
    for _ in range(2):
        assert run("schema", "-o", "new/deep/schema.json") == 0
    assert (here / "new" / "deep" / "schema.json").is_file()


PRECIOUS = "subject,age\n1,30\n"
LOST = [
    (("audit", "precious.csv", "--json", "precious.csv"), "would replace an input; give another name"),
    (("audit", "clips.csv", "--json", "precious.csv"), "give a name that ends in .json or .jsonl"),
    (("audit", "clips.csv", "--unite-copies", "precious.csv"), "is no such table of earmark; give another name, or re"),
    (("audit", "--runs", "runs", "--suspects", "precious.csv"), "is no such table of earmark; give another name, or r"),
    (("predict", "m.onnx", "x.wav", "--csv", "precious.csv"), "is no such table of earmark; give another name, or re"),
    (("predict", "m.onnx", "x.wav", "--csv", "a.toml"), "is no such table of earmark; give another name, or remove"),
    (("embed", "m.onnx", "x.wav", "-o", "precious.csv"), "is no such table of earmark; give another name, or remove"),
    (("embed", "m.onnx", "x.wav", "-o", "a.npz"), "holds no vectors of earmark; give another name, or remove it"),
    (("compare", "runs", "--json", "precious.csv"), "give a name that ends in .json or .jsonl"),
    (("report", "runs", "-o", "precious.csv"), "give a name that ends in .html or .htm"),
    (("report", "runs", "-o", "x.html"), "exists and is no report of earmark; give another name, or remove the file"),
    (("export", "runs", "x.html"), "exists and is no page of earmark; give another name, or remove the file"),
    (("export", "runs", "m.onnx"), "exists and is no model of earmark; give another name, or remove the file"),
    (("audit", "clips.csv", "--json", "x.json"), "exists and is no audit of earmark; give another name, or remove"),
    (("aggregate", "runs", "--json", "x.json"), "exists and is no comparison of earmark; give another name, or re"),
    (("compare", "runs", "--json", "x.json"), "exists and is no comparison of earmark; give another name, or re"),
    (
        ("evaluate", "m", "clips.csv", "-o", "new", "--json", "x.json"),
        "exists and is no comparison of earmark; give",
    ),
    (("benchmark", "m.onnx", "--clips", "in", "--json", "x.json"), "exists and is no benchmark of earmark; give ano"),
    (("predict", "m.onnx", "x.wav", "--json", "x.json"), "exists and is no list of answers of earmark; give another"),
    (("schema", "-o", "x.json"), "exists and is no schema of earmark; give another name, or remove the file"),
    (("report", "runs", "-o", "a.toml"), "give a name that ends in .html or .htm"),
    (("report", "runs", "--audit", "x.html", "-o", "./x.html"), "would replace an input; give another name"),
    (("tune", "a.toml", "-o", "a.toml"), "would replace an input; give another name"),
    (("schema", "-o", "a.toml"), "give a name that ends in .json"),
]


@pytest.mark.parametrize(("words", "remedy"), LOST, ids=lambda words: words[0] if isinstance(words, tuple) else "")
def test_files_of_the_user_are_not_replaced(words, remedy, here, capsys):
    for name in ("precious.csv", "clips.csv", "m.onnx", "x.wav", "x.html", "a.npz", "x.json"):
        (here / name).write_text(PRECIOUS, encoding="utf-8")
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"earmark {words[0]}: {os.path.normpath(words[-1])}: ") and remedy in error
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_a_split_export_replaces_neither_of_two_files(here, capsys):
    (here / "m.network.onnx").write_text(PRECIOUS, encoding="utf-8")
    assert run("export", "runs", "m.onnx", "--split") == 2
    assert "m.network.onnx: exists and is no model of earmark" in capsys.readouterr().err


def test_a_run_is_no_comparison(here):
    """Both are JSON that begins with the version of the format."""
    (here / "result.json").write_text('{\n "format_version": 2,\n "id": "0123456789"\n}\n', encoding="utf-8")
    assert run("aggregate", "runs", "--json", "result.json") == 2
    assert "0123456789" in (here / "result.json").read_text(encoding="utf-8")


def test_a_table_of_earmark_is_written_again(tmp_path):
    path = tmp_path / "t.csv"
    for rows in ([["a", "b", "c"], [1, 2, 3]], [["a", "b"]]):
        check_own_table(path, ("a", "b"))
        write_csv(path, rows)
    assert path.read_text(encoding="utf-8").splitlines() == ["a,b"]
