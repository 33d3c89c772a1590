"""README and docs against the source: commands, options, configs, links and paths that they name exist."""

import re
import shlex
from pathlib import Path

import pytest

from earmark.cli.main import COMMANDS
from earmark.config.suite import read_suite

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def commands(text: str) -> list[list[str]]:
    """The `earmark` command lines in the code blocks of a page, split as a shell does."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line.split("&&")[-1].strip().removeprefix("uv run ") for block in blocks for line in block.splitlines()]
    return [shlex.split(line) for line in lines if re.match(r"earmark [a-z-]+( |$)", line)]


def test_two_commands_are_enough_to_set_up():
    blocks = re.findall(r"^```\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert {"pip install uv && uv run earmark demo", "pip install uv && uv run pytest"} <= set(lines)


def test_is_short():
    assert len(README.splitlines()) <= 100


def test_ci_runs_the_linter_the_type_checker_and_the_tests():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines[-5:] == [
        "pip install uv",
        "uv run ruff check",
        "uv run ruff format --check",
        "uv run mypy",
        "uv run pytest",
    ]


def test_the_first_command_is_near_the_top():
    assert "uv run earmark demo" in "\n".join(README.splitlines()[:15])


def test_the_tree_lists_the_folders_of_the_package():
    block = README.split("src/earmark/\n")[1].split("```")[0]
    listed = re.findall(r"^  (\w+/|\w+\.py) +\S", block, flags=re.MULTILINE)
    package = ROOT / "src" / "earmark"
    folders = {f"{path.name}/" for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(listed) == folders | {"demo.py"}
    for folder in re.findall(r"^(\w+)/ ", block, flags=re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_the_readme_and_the_commands_page_name_every_command():
    named = {line[1] for line in commands(README)} | set(re.findall(r"[a-z]+", README))
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert not {name for name in COMMANDS if f"`earmark {name}" not in page}
    assert {"demo", "manifest", "validate", "audit", "suite", "report", "predict"} <= named


@by_page
def test_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@by_page
def test_commands_of_a_page_exist(page):
    for _, name, *arguments in commands(page.read_text(encoding="utf-8")):
        assert name in COMMANDS, name
        for argument in arguments:
            if argument.startswith("configs/"):
                read_suite(ROOT / argument)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_options_in_the_docs_exist(name, capsys):
    from earmark.cli.main import main

    with pytest.raises(SystemExit):
        main([name, "--help"])
    printed = capsys.readouterr().out
    for page in PAGES:
        for _, command, *arguments in commands(page.read_text(encoding="utf-8")):
            for argument in arguments if command == name else ():
                option = argument.split("=")[0].replace("_", "-")
                if option.startswith("--"):
                    assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", printed), f"{page.name}: {argument}"
