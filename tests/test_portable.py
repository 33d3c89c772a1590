"""What would work here and break on another system: encodings, line ends, POSIX-only calls, batch files."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [path for folder in ("src", "product") for path in sorted((ROOT / folder).rglob("*.py"))]
POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "termios"}
POSIX_CALLS = {
    "chmod",
    "chown",
    "fork",
    "getuid",
    "geteuid",
    "killpg",
    "mkfifo",
    "setsid",
    "symlink",
    "symlink_to",
}
NO_FILES = {"Image", "archive", "urllib", "webbrowser", "os", "tarfile"}
"""`open` of these opens no text file."""


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a function or method, with its last name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield node.func.id if isinstance(node.func, ast.Name) else node.func.attr, node


def mode_of(call: ast.Call) -> str | None:
    """The mode of a call that opens a file; None where it opens none or is no text."""
    method = isinstance(call.func, ast.Attribute)
    if method and isinstance(call.func.value, ast.Name) and call.func.value.id in NO_FILES:
        return None
    given = call.args[0 if method else 1 :][:1]
    mode = given[0].value if given and isinstance(given[0], ast.Constant) else "r"
    return None if "b" in mode else mode


def test_text_has_an_encoding_and_what_is_written_its_line_ends():
    for path in (*SOURCES, *sorted((ROOT / "benchmarks").glob("*.py"))):
        for name, call in calls(path):
            given = {keyword.arg for keyword in call.keywords}
            if name in ("read_text", "write_text") and isinstance(call.func, ast.Attribute):
                assert "encoding" in given, f"{path}, line {call.lineno}"
            mode = mode_of(call) if name == "open" else None
            assert not mode or "encoding" in given, f"{path}, line {call.lineno}"
            assert mode in (None, "r") or "newline" in given, f"{path}, line {call.lineno}: give newline as well"


def test_nothing_is_called_that_only_posix_has():
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import)]
        assert not {alias.name for node in imports for alias in node.names} & POSIX_MODULES, path
        assert not {name for name, _ in calls(path)} & POSIX_CALLS, path
        assert "sched_getaffinity" not in text or 'hasattr(os, "sched_getaffinity")' in text, path


def test_scripts_start_nothing_when_a_worker_imports_them():
    """A spawned worker imports the main script again: only `if __name__ == "__main__"` may do work."""
    for path in (ROOT / "product").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            assert not isinstance(node, ast.Expr) or isinstance(node.value, ast.Constant), f"{path}: {node.lineno}"


def test_no_file_name_is_impossible_on_windows():
    format_names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    names = format_names.splitlines() or [path.relative_to(ROOT).as_posix() for path in SOURCES]
    for name in names:
        assert not re.search(r'[<>:"\\|?*]|[. ](/|$)', name), name
    assert len({name.lower() for name in names}) == len(names)


class TestBatchFiles:
    def test_git_gives_them_the_line_ends_that_each_system_wants(self):
        rules = (ROOT / ".gitattributes").read_text(encoding="utf-8").splitlines()
        assert {"*.sh text eol=lf", "*.bat text eol=crlf", ".ci/run text eol=lf"} <= set(rules)

    @pytest.mark.parametrize("name", ["run_all_experiments.bat", "run_emodb_experiments.bat"])
    def test_they_stop_at_the_first_failure_and_leave_the_shell_as_it_was(self, name):
        text = (ROOT / name).read_bytes().decode("ascii")
        lines = text.replace("\r\n", "\n").splitlines()
        assert lines[0] == "@echo off"
        assert lines.index("setlocal") < lines.index('cd /d "%~dp0"')
        work = [i for i, line in enumerate(lines) if line.startswith("call %python% ")]
        assert len(work) == 2
        assert all("exit /b %errorlevel%" in lines[i + 1] for i in work)
        assert lines[work[-1]].endswith(" %*")
        assert not re.search(r"\$[@{(]|\\$|^#|&& *$", text, flags=re.MULTILINE), "that is bash"
