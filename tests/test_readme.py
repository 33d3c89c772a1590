"""README and docs against the source: commands, options, configs, links and paths that they name exist."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from earmark.cli import arguments
from earmark.cli.main import COMMANDS, WITH_CONFIG, run_command
from earmark.runtime.errors import EarmarkError

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACEHOLDERS = {"CONFIG": "own.toml", "CONFIG.toml": "own.toml", "SHELL": "bash"}
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def commands(text: str) -> list[list[str]]:
    """The `earmark` command lines in the code blocks of a page, split as a shell does."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```$", text.replace("\\\n", " "), flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    found = [re.split(r"&& | \| ", line)[-1].split(" > ")[0].strip().removeprefix("uv run ") for line in lines]
    return [shlex.split(line, comments=True)[1:] for line in found if re.match(r"earmark [a-z-]+( |$)", line)]


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
        "uv run pytest -n 2 --dist loadscope",
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
    named = {line[0] for line in commands(README)} | set(re.findall(r"[a-z]+", README))
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert not {name for name in COMMANDS if f"`earmark {name}" not in page}
    assert {"demo", "manifest", "validate", "audit", "suite", "report", "predict"} <= named


@by_page
def test_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def inline_commands(text: str) -> list[list[str]]:
    """The commands with arguments in the prose of a page, with placeholders replaced by values."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [re.sub(r"\[[^]]*\]|\.\.\.", "", line) for line in re.findall(r"`earmark ([a-z][^`]*)`", prose)]
    found = [shlex.split(line.split(">")[0]) for line in lines]
    return [[PLACEHOLDERS.get(word, word) for word in line] for line in found if len(line) > 1]


class Parsed(Exception):  # noqa: N818 (no error)
    """The arguments of a command were accepted."""


@pytest.fixture
def parse(monkeypatch, tmp_path, capsys):
    """A function that parses a command line as `earmark` does, and raises if it would be refused."""

    def stop(*given):
        arguments.check_numbers(*given)
        raise Parsed

    monkeypatch.setattr("earmark.cli.main.check_arguments", stop)
    monkeypatch.setattr("earmark.cli.training.check_arguments", stop)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for path in (ROOT / "configs").iterdir():  # as `earmark init` writes them
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)

    def parse_line(name: str, *given: str) -> None:
        if name in WITH_CONFIG and given[0].startswith("runs/"):  # a config that earmark wrote
            given = ("own.toml", *given[1:])
        try:
            run_command(name, given)
        except Parsed:
            return
        except SystemExit as end:
            assert end.code == 0, capsys.readouterr().err  # 0: --help
        except EarmarkError as error:
            assert "--help" not in str(error), f"earmark {shlex.join([name, *given])}: {error}"
            raise

    return parse_line


@by_page
def test_commands_of_a_page_parse(page, parse):
    text = page.read_text(encoding="utf-8")
    for line in commands(text):
        parse(*line)
    for line in inline_commands(text):
        try:
            if not line[1].startswith("-"):
                parse(*line)
        except AssertionError as error:
            if ": missing: " not in str(error):  # prose may leave arguments out
                raise


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("report runs/own --outputs report.html", "outputs"),
        ("suite own.toml --train.epoch 3", "epoch"),
        ("manifest folders my-recordings", "folders"),
        ("predict", "missing: MODEL"),
    ],
)
def test_a_command_that_no_longer_parses_is_found(line, message, parse):
    with pytest.raises(AssertionError, match=message):
        parse(*line.split())
    with pytest.raises(EarmarkError):
        parse("suite", "configs/nowhere.toml")


@by_page
def test_options_in_the_prose_of_a_page_exist(page, capsys):
    for name, *words in inline_commands(page.read_text(encoding="utf-8")):
        options = [word.split("=")[0].replace("_", "-") for word in words if word.startswith("--")]
        if options:
            with pytest.raises(SystemExit):
                run_command(name, ["--help"])
            printed = capsys.readouterr().out
        for option in options:
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", printed), f"earmark {name} {option}"


@by_page
def test_scripts_of_a_page_exist(page):
    for name in re.findall(r"\b(?:benchmarks|tests|product|site)/[\w/]+\.py\b", page.read_text(encoding="utf-8")):
        assert (ROOT / name).is_file(), name
