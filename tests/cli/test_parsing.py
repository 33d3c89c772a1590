"""Messages about the command line: one line each, with name, value and remedy."""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from earmark.cli.main import main
from earmark.cli.parsing import one_line
from earmark.product_cli.command import run_script

SAID = {
    "audit clips.csv --bogus": "earmark audit: unrecognized arguments: --bogus; see earmark audit --help",
    "predict": "earmark predict: missing: MODEL; see earmark predict --help",
    "export": "earmark export: missing: MODEL, OUTPUT; see earmark export --help",
    "predict m a.wav --top 3": (
        "earmark predict: unrecognized arguments: --top, 3; perhaps you meant: --top-k INT, --hop FLOAT; "
        "see earmark predict --help"
    ),
    "predict m a.wav --top-k abc": (
        "earmark predict: --top-k: 'abc' is not a whole number; usage: --top-k INT; see earmark predict --help"
    ),
    "predict m a.wav --hop abc": (
        "earmark predict: --hop: 'abc' is not a number; usage: --hop FLOAT; see earmark predict --help"
    ),
    "audit clips.csv --speeds 0.9 abc": (
        "earmark audit: --speeds: bad value ['0.9', 'abc']; usage: --speeds [FLOAT [FLOAT ...]]; "
        "see earmark audit --help"
    ),
    "split clips.csv --kind foo": (
        "earmark split: invalid choice 'foo' for argument '--kind'. Expected one of ('folds', 'group_kfold', "
        "'leave_one_group_out', 'holdout', 'files'); see earmark split --help"
    ),
    "listen m --rate": (
        "earmark listen: missing: --sample-rate INT; unrecognized arguments: --rate; see earmark listen --help"
    ),
}


def refusal(argv: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints that could not run."""
    with pytest.raises(SystemExit) as end:
        main(argv.split())
    printed = capsys.readouterr()
    assert (end.value.code, printed.out) == (2, "")
    return printed.err


@pytest.mark.parametrize("command", SAID)
def test_a_bad_command_line_gets_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(command, capsys) == SAID[command] + "\n"


def test_a_bad_setting_of_a_config_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal("suite configs/own.toml --train.epoch 3", capsys)
    assert message.startswith(
        "earmark suite: unrecognized arguments: --train.epoch, 3; perhaps you meant: --train.epochs INT, "
    )
    assert message.endswith("; see earmark suite CONFIG.toml --help\n")
    assert message.count("\n") == 1


@dataclass(frozen=True)
class ScriptOptions:
    """Options of a script."""

    n_steps: int = 1


def test_a_bad_option_of_a_script_gets_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["script.py", "--n_steps", "two"])
    with pytest.raises(SystemExit) as end:
        run_script("script.py", lambda options: pytest.fail(f"worked with {options}"), ScriptOptions())
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "script.py: --n_steps: 'two' is not a whole number; usage: --n_steps INT; see script.py --help\n"
    )


def test_text_without_a_box_is_kept() -> None:
    assert one_line("usage: x\n  unknown word\n") == "usage: x unknown word"


BOXES = {
    "colors": (
        "╭─ \x1b[31mTitle\x1b[0m ─────────╮\n"
        "│ \x1b[1mUnrecognized\x1b[0m options: b │\n"
        "│ ───────────────────────── │\n"
        "│ For full helptext, see x  │\n"
        "╰───────────────────────────╯"
    ),
    "ASCII": " Title\n ---------\n  Unrecognized options: b\n  ---------\n  For full helptext, see x --help\n    \n",
}


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_boxes_of_all_terminals_are_read(box: str) -> None:
    assert one_line(box) == "unrecognized arguments: b"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_encoding_of_the_terminal_does_not_matter(encoding: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "earmark", "predict", "m", "--top", "3"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    message = (
        b"earmark predict: unrecognized arguments: --top, 3; "
        b"perhaps you meant: --top-k INT, --hop FLOAT; see earmark predict --help\n"
    )
    assert (ended.returncode, ended.stderr) == (2, message)
