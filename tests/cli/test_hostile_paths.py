"""Every command against paths that are not what it needs: one line and status 2, never a traceback."""

import contextlib
import json
import shutil

import pytest

from earmark.cli.main import COMMANDS, main

ARGUMENTS = {
    "manifest": ["folder", "PATH", "-o", "OUT"],
    "validate": ["PATH"],
    "augment": ["PATH", "-o", "OUT"],
    "spectrograms": ["PATH", "-o", "OUT"],
    "show": ["PATH", "-o", "OUT.png"],
    "cut": ["PATH", "PATH", "-o", "OUT"],
    "join": ["PATH", "-o", "OUT"],
    "split": ["PATH", "-o", "OUT"],
    "audit": ["PATH"],
    "train": ["PATH"],
    "suite": ["PATH"],
    "tune": ["PATH"],
    "optimism": ["PATH"],
    "status": ["PATH"],
    "reproduce": ["PATH"],
    "aggregate": ["PATH", "-o", "OUT"],
    "evaluate": ["PATH", "PATH", "-o", "OUT"],
    "import": ["PATH", "--clips", "PATH", "-o", "OUT"],
    "floor": ["PATH", "--clips", "PATH", "--work", "OUT"],
    "compare": ["PATH", "PATH"],
    "report": ["PATH", "-o", "OUT.html"],
    "ledger": ["PATH"],
    "predict": ["PATH", "PATH"],
    "embed": ["PATH", "--model", "alexnet", "-o", "OUT.npz"],
    "finalize": ["PATH", "-o", "OUT"],
    "export": ["PATH", "OUT.onnx"],
    "card": ["PATH", "-o", "OUT"],
    "push": ["PATH", "someone/a-model"],
    "benchmark": ["PATH"],
}
"""Arguments of the commands that read files; the others start no work from a path."""
HARMLESS = {"demo", "init", "doctor", "schema", "completion", "download", "models", "check-model", "listen", "serve"}


def hostile_paths(folder):
    """Paths that no command can use, by what is wrong with them."""
    (folder / "an empty folder").mkdir()
    (folder / "empty.toml").touch()
    (folder / "binary.csv").write_bytes(bytes(range(256)) * 40)
    (folder / "loop.json").symlink_to(folder / "loop.json")
    (folder / "deep.json").write_text("[" * 50_000, encoding="utf-8")
    (folder / "ünï\u202e\U0001f600 = @.safetensors").write_text(json.dumps({"a": 10**400}), encoding="utf-8")
    return [*folder.iterdir(), folder / "nowhere", folder / ("n" * 300), "\x00", ""]


def test_every_command_is_listed():
    assert HARMLESS | set(ARGUMENTS) == set(COMMANDS)


@pytest.mark.parametrize("command", ARGUMENTS)
def test_a_path_that_cannot_be_used_is_one_line(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hostile").mkdir()
    for number, path in enumerate(hostile_paths(tmp_path / "hostile")):
        out = tmp_path / "out" / str(number)
        arguments = [a.replace("PATH", str(path)).replace("OUT", str(out)) for a in ARGUMENTS[command]]
        with contextlib.suppress(SystemExit):
            main([command, *arguments])
            pytest.fail(f"{command} takes {path!r}")
        printed = capsys.readouterr()
        text = printed.out + printed.err
        assert "Traceback" not in text and "bug in earmark" not in text, (command, path, text)
        assert text.strip(), (command, path)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
