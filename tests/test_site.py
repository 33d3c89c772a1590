"""The documentation site: built without a network, with every page in the navigation, and all links lead somewhere."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script():
    """The module site/build.py."""
    spec = importlib.util.spec_from_file_location("site_build", ROOT / "site" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def public(script, tmp_path_factory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    assert script.build(folder) == 0
    return folder / "public"


def navigation(entries: list) -> set[str]:
    """The pages of the navigation."""
    found = set()
    for entry in entries:
        for target in entry.values():
            found |= {target} if isinstance(target, str) else navigation(target)
    return found


def test_the_help_builds_nothing(tmp_path):
    command = [sys.executable, str(ROOT / "site" / "build.py"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "writes FOLDER/stage" in done.stdout and not any(tmp_path.iterdir())


def test_every_page_is_in_the_navigation():
    project = tomllib.loads((ROOT / "site" / "zensical.toml").read_text(encoding="utf-8"))["project"]
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert navigation(project["nav"]) == pages | {"api.md", "help.md"}


def test_links_lead_somewhere_and_nothing_is_loaded_from_a_network(script, public):
    assert len(list(public.rglob("*.html"))) > 20
    assert script.broken_links(public) == []
    assert script.external_resources(public) == []


def test_the_reference_has_functions_settings_and_commands(public):
    import earmark
    from earmark.cli.main import COMMANDS

    api = (public / "api.html").read_text(encoding="utf-8")
    assert not {name for name in earmark.__all__ if f'id="earmark.{name}"' not in api}
    assert "Run folders are written to" in api, "docstrings of fields"
    commands = (public / "help.html").read_text(encoding="utf-8")
    assert not {name for name in COMMANDS if f'id="earmark-{name}"' not in commands}


def test_the_checks_find_what_they_are_for(script, tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html"></a><a href="#no"></a><a href="a.html#here"></a><p id="here"></p>'
        '<script src="https://example.org/x.js"></script>',
        encoding="utf-8",
    )
    assert script.broken_links(tmp_path) == ["a.html: b.html", "a.html: #no"]
    assert script.external_resources(tmp_path) == ["a.html: https://example.org/x.js"]
