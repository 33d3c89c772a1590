"""`earmark completion`: the scripts offer the commands and the options that exist."""

import re
import shutil
import subprocess

import pytest

from earmark.cli.completion import CommandWords, completion_script
from earmark.cli.main import COMMANDS, main

SHELLS = ("bash", "zsh", "fish", "powershell")


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """The path of the script of each shell."""
    import contextlib

    folder = tmp_path_factory.mktemp("completion")
    for shell in SHELLS:
        with (folder / shell).open("w", encoding="utf-8", newline="") as file, contextlib.redirect_stdout(file):
            main(["completion", shell])
    return folder


def run(program, *arguments) -> str:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    return subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_names_every_command_and_the_settings(scripts, shell):
    text = (scripts / shell).read_text(encoding="utf-8")
    assert not {name for name in COMMANDS if not re.search(rf"\b{name}\b", text)}
    assert "train.epochs" in text
    assert "allow-leakage" in text


def test_bash_completes_commands_and_options(scripts):
    def complete(*line: str) -> list[str]:
        words, last = " ".join(line), len(line) - 1
        code = f'source {scripts / "bash"}; COMP_WORDS=({words}); COMP_CWORD={last}; _earmark; echo "${{COMPREPLY[@]}}"'
        return run("bash", "-c", code).split()

    assert complete("earmark", "su") == ["suite"]
    assert complete("earmark", "suite", "own.toml", "--train.ep") == ["--train.epochs"]
    assert complete("earmark", "report", "--train.ep") == []


def test_fish_completes_commands_and_options(scripts):
    assert run("fish", "-c", f"source {scripts / 'fish'}; complete -C 'earmark su'").startswith("suite\t")
    options = run("fish", "-c", f"source {scripts / 'fish'}; complete -C 'earmark suite a.toml --train.ep'")
    assert options.split() == ["--train.epochs"]


def test_zsh_registers_the_completion(scripts):
    code = f"autoload -Uz compinit && compinit -u -D; source {scripts / 'zsh'}; echo $_comps[earmark]"
    assert run("zsh", "-fc", code).strip() == "_earmark"


def test_powershell_can_read_its_script(scripts):
    code = f"$ErrorActionPreference = 'Stop'; . {scripts / 'powershell'}; 'read'"
    assert run("pwsh", "-NoProfile", "-Command", code).strip() == "read"


def test_apostrophes_of_a_summary_do_not_end_the_quotes():
    words = {"show": CommandWords("Plot a dog's bark.", ("--output",))}
    for shell in ("zsh", "fish"):
        assert completion_script(shell, words).count("'") % 2 == 0
