"""Every argument that is a number has a range, and a value beyond it is one line before anything is done."""

import inspect
import typing

import pytest

from earmark.cli.arguments import NUMBERS, check_numbers
from earmark.cli.main import COMMANDS, WITH_CONFIG, main

WITH_CONFIG_NUMBERS = {"train": ("fold", "seed"), "tune": ("trials", "minutes")}


def number_type(hint):
    """int or float; None: the argument is no number."""
    kinds = {hint, *typing.get_args(hint)}
    return next((kind for kind in (float, int) if kind in kinds), None)


def numbers_of(name):
    """Name and type of each number among the arguments of a command."""
    hints = typing.get_type_hints(COMMANDS[name])
    return {argument: kind for argument, hint in hints.items() if (kind := number_type(hint)) and argument != "return"}


def placeholders(name):
    """Values for the arguments that a command must be given: paths that do not exist."""
    words = []
    for parameter in inspect.signature(COMMANDS[name], eval_str=True).parameters.values():
        if parameter.default is parameter.empty and parameter.name != "argv":
            choices = [c for part in typing.get_args(parameter.annotation) for c in typing.get_args(part)]
            value = str(choices[0]) if choices and isinstance(choices[0], str) else "1000"
            positional = "Positional" in str(parameter.annotation)
            words += [value] if positional else [f"--{parameter.name.replace('_', '-')}", value]
    return words


ARGUMENTS = [(name, argument) for name in COMMANDS for argument in numbers_of(name)]
ARGUMENTS += [(name, argument) for name, numbers in WITH_CONFIG_NUMBERS.items() for argument in numbers]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITH_CONFIG])
def test_defaults_are_in_range(name):
    parameters = inspect.signature(COMMANDS[name]).parameters.values()
    check_numbers(name, {p.name: p.default for p in parameters if p.default is not p.empty})


def refusal(capsys, name, words):
    with pytest.raises(SystemExit, match="2"):
        main([name, *words])
    return capsys.readouterr().err


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_a_number_out_of_range_is_refused_first(name, argument, tmp_path, monkeypatch, capsys):
    low, high = NUMBERS.get(f"{name}.{argument}") or NUMBERS[argument]
    config = [str(tmp_path / "a.toml")] if name in WITH_CONFIG else []
    (tmp_path / "a.toml").write_text('name = "a"\n')
    monkeypatch.chdir(tmp_path)
    whole = name in WITH_CONFIG_NUMBERS or numbers_of(name)[argument] is int
    option = f"--{argument.replace('_', '-')}"
    for value in [int(low) - 1, int(high) + 1] if whole else [low - 1, high * 1.01, "nan"]:
        text = refusal(capsys, name, [*config, *([] if config else placeholders(name)), option, str(value)])
        assert text.startswith(f"earmark {name}: {option} ") and ": give " in text, text
        assert text.count("\n") == 1, text
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]


def test_a_new_name_that_is_no_folder_is_refused_first(tmp_path, capsys):
    for words in (["evaluate", "a.onnx", "clips.csv"], ["import", "a.csv", "--clips", "clips.csv"]):
        name, *rest = words
        text = refusal(capsys, name, [*rest, "-o", str(tmp_path / "runs"), "--variant", "my svm"])
        assert text == f"earmark {name}: --variant 'my svm': use letters, digits and . _ + - only\n"


@pytest.mark.parametrize("setting", ["jobs", "train.epochs", "front_end.hop_length"])
def test_a_setting_out_of_range_is_refused_first(setting, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text('name = "a"\n')
    text = refusal(capsys, "train", ["a.toml", f"--{setting}", "-1"])
    assert f"{setting} = -1: give " in text and "Traceback" not in text
