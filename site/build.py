"""Build the documentation site from docs/, the docstrings and the help of the commands; then check its links.

    python site/build.py [FOLDER]    writes FOLDER/stage (pages) and FOLDER/public (HTML); FOLDER is site/build

Nothing is fetched. Pages may link to files outside docs/; those are copied below `files/`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

HERE = Path(__file__).parent
ROOT = HERE.parent
LINK = re.compile(r"\]\(((?!https?:|#|mailto:)[^)\s]+)\)")


def stage(folder: Path) -> None:
    """Write the pages of the site: docs/, the API page, the help page, and the files that they link to."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.is_file():
            _copy(path, folder / path.relative_to(ROOT / "docs"), folder)
    shutil.copy(HERE / "api.md", folder / "api.md")
    (folder / "help.md").write_text(help_page(), encoding="utf-8", newline="\n")


def _copy(path: Path, target: Path, folder: Path) -> None:
    """Copy a file; in a page, links that leave docs/ lead to copies below `files/`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".md":
        shutil.copy(path, target)
        return

    def relink(match: re.Match[str]) -> str:
        name, _, anchor = match[1].partition("#")
        linked = (path.parent / name).resolve()
        if linked.is_relative_to(ROOT / "docs") and path.is_relative_to(ROOT / "docs") and linked.is_file():
            return match[0]
        if not linked.is_file():
            return "](#)" if linked.is_dir() else match[0]
        inside = linked.is_relative_to(ROOT / "docs")
        copy = folder / (linked.relative_to(ROOT / "docs") if inside else Path("files", linked.relative_to(ROOT)))
        if not inside and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.touch()  # pages that link to each other
            _copy(linked, copy, folder)
        steps = Path(*[".."] * len(target.parent.relative_to(folder).parts), copy.relative_to(folder))
        return f"]({steps.as_posix()}{'#' * bool(anchor)}{anchor})"

    text = LINK.sub(relink, path.read_text(encoding="utf-8"))
    text = re.sub(r"\[([^]]*)\]\(#\)", r"\1", text)  # a folder has no page
    target.write_text(text, encoding="utf-8", newline="\n")


def help_page() -> str:
    """The help of every command as a page."""
    from earmark.cli.main import GROUPS, run_command

    lines = ["# Help of every command", "", "What `earmark COMMAND --help` prints.", ""]
    for group, commands in GROUPS.items():
        lines += [f"## {group}", ""]
        for name in commands:
            output = io.StringIO()
            with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
                run_command(name, ["--help"])
            text = "\n".join(line.rstrip() for line in output.getvalue().rstrip().splitlines())
            lines += [f"### earmark {name}", "", "```text", text, "```", ""]
    return "\n".join(lines)


class _Page(HTMLParser):
    """The links and anchors of an HTML page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect `href`, `src` and `id`."""
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif (
                name in ("href", "src") and value and not (tag == "link" and "icon" not in str(dict(attrs).get("rel")))
            ):
                self.links.append(value)


def broken_links(public: Path) -> list[str]:
    """Links within a built site that lead nowhere, as `page: link`."""
    pages: dict[Path, _Page] = {}
    for path in sorted(public.rglob("*.html")):
        pages[path.resolve()] = page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link.startswith("data:") or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            found = target.is_file() and (not anchor or target not in pages or anchor in pages[target].anchors)
            if not found and anchor != "__skip":
                broken.append(f"{path.relative_to(public.resolve())}: {link}")
    return broken


def external_resources(public: Path) -> list[str]:
    """Scripts, styles, fonts and images that a page would load from a network."""
    found = []
    for path in sorted(public.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        found += [
            f"{path.name}: {url}"
            for url in re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=\"(https?:[^\"]+)", text)
        ]
    return found


def build(folder: Path) -> int:
    """Build the site in a folder and return the exit status."""
    stage(folder / "stage")
    public = folder / "public"
    shutil.rmtree(public, ignore_errors=True)
    config = (HERE / "zensical.toml").read_text(encoding="utf-8").replace('"SRC"', f'"{(ROOT / "src").as_posix()}"')
    (folder / "zensical.toml").write_text(config, encoding="utf-8", newline="\n")
    zensical = [sys.executable, "-m", "zensical", "build", "--config-file", "zensical.toml"]
    status = subprocess.run(zensical, cwd=folder, check=False).returncode
    problems = [*broken_links(public), *external_resources(public)]
    print("\n".join(problems) or f"{public / 'index.html'}: all links lead somewhere")
    return status or int(bool(problems))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "build")
    sys.exit(build(parser.parse_args().folder))
