"""README and docs against the tree: links lead somewhere, verbs exist, the map names what is there."""

import re
import shlex
from pathlib import Path

import pytest

from earmark.cli.main import VERBS
from earmark.config.suite import read_suite

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(text: str) -> list[list[str]]:
    """The `earmark` command lines in the code blocks of a page, split as a shell does."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line.split("&&")[-1].strip().removeprefix("uv run ") for block in blocks for line in block.splitlines()]
    return [shlex.split(line) for line in lines if re.match(r"earmark [a-z]+( |$)", line)]


def test_the_two_commands_do_all_set_up():
    blocks = re.findall(r"^```\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    assert "pip install uv && uv run earmark demo\n" in blocks
    assert "pip install uv && uv run pytest\n" in blocks
    assert "pip install uv && uv run pytest" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_map_names_what_is_there():
    rows = [row for row in README.splitlines() if re.match(r"\| [^|]+ \| (`|\s*\|)", row) or "src/earmark/" in row]
    places = [place for row in rows for place in re.findall(r"`([\w/]+(?:\.py|/))`", row)]
    assert len(places) > 25
    for place in places:
        assert (ROOT / place).exists() or (ROOT / "src" / "earmark" / place).exists(), place


def test_the_readme_names_every_verb():
    named = set(re.findall(r"`(?:earmark )?([a-z]+)`", README)) | {line[1] for line in commands(README)}
    assert set(VERBS) <= named | {"demo"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_commands_and_configs_of_a_page_exist(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for _, verb, *arguments in commands(text):
        assert verb in VERBS, verb
        for argument in arguments:
            if argument.startswith("configs/"):
                read_suite(ROOT / argument)
