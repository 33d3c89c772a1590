"""The source tree against docs/architecture.md: tree, imports between folders, sizes, sets, no torch, no re-exports."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "earmark"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WITHOUT_TORCH = ("config", "audio", "datasets", "features", "splits", "audit", "analysis", "report")
NOT_COUNTED = {"__init__.py", "__main__.py", "py.typed"}
"""Entries of src/earmark beside the 16."""
MAX_ENTRIES, MAX_MODULE_LINES, MAX_FUNCTION_LINES = 16, 350, 50

FILES = sorted(path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
MODULES = [path for path in FILES if path.suffix == ".py"]
by_path = pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())


def section(title: str) -> str:
    """The text below a heading of the page."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def tree() -> list[str]:
    """The paths in the tree of the page; folders end with a slash."""
    paths, folder = [], ""
    for line in section("Source tree").split("```")[1].splitlines()[2:]:
        indent, name = re.match(r"( +)(\S+) +\S", line).groups()
        folder = name if name.endswith("/") else folder if len(indent) == 4 else ""
        paths.append(name if name == folder else folder + name)
    return paths


def table() -> dict[str, set[str]]:
    """What each folder may import of the package."""
    rows = re.findall(r"^\| (\w+) \| ([^|]+) \|$", section("Imports between folders"), flags=re.MULTILINE)
    return {name: set(re.findall(r"\w+", targets)) for name, targets in rows if name != "folder"}


def folder_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Everything that a file imports anywhere in it, as (module, name)."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: import by the full name"
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def test_the_tree_lists_every_file_and_no_other():
    listed = [path for path in tree() if not path.endswith("/")]
    expected = {path.relative_to(PACKAGE).as_posix() for path in FILES}
    expected -= {path for path in expected if path.endswith("/__init__.py")}
    assert set(listed) - expected == set(), "on the page, but not in src/earmark"
    assert expected - set(listed) == set(), "in src/earmark, but not on the page"
    assert len(listed) == len(set(listed))


def test_the_tree_shows_the_folders_in_the_order_of_the_pipeline():
    folders = [path.removesuffix("/") for path in tree() if path.endswith("/")]
    assert set(folders) == {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    pipeline = ["config", "audio", "datasets", "features", "splits", "models", "training", "runs", "analysis", "report"]
    assert [folder for folder in folders if folder in pipeline] == pipeline


def test_the_top_level_has_few_entries():
    entries = {path.relative_to(PACKAGE).parts[0] for path in FILES} - NOT_COUNTED
    assert len(entries) <= MAX_ENTRIES, sorted(entries)


@by_path
def test_imports_between_folders_are_those_of_the_table(path):
    folder, allowed = folder_of(path), table()
    if folder in ("__init__", "__main__"):
        return  # the public API and the entry point import what they need
    assert folder in allowed, f"{folder} has no row in docs/architecture.md"
    found = {module.split(".")[1] for module, _ in imports(path) if module.startswith("earmark.")}
    assert found - {folder} <= allowed[folder]


def test_the_table_has_a_row_for_each_folder_and_no_cycle():
    rows = table()
    assert set(rows) == {folder_of(path) for path in MODULES} - {"__init__", "__main__"}
    while rows:
        free = {name for name, targets in rows.items() if not targets & set(rows)}
        assert free, f"these import each other: {sorted(rows)}"
        rows = {name: targets for name, targets in rows.items() if name not in free}


@by_path
def test_modules_and_functions_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_MODULE_LINES
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{path.name}, line {node.lineno}: {node.name} has {lines} lines"


def rebuilt(path: Path) -> Iterator[str]:
    """Sets that a comprehension makes again for each of its items, though it binds none of their names."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            bound = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            for test in ast.walk(node):
                if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.In | ast.NotIn):
                    (found, *_) = test.comparators
                    made = isinstance(found, ast.Call) and ast.unparse(found.func) in ("set", "frozenset", "sorted")
                    used = {n.id for n in ast.walk(found) if isinstance(n, ast.Name)}
                    if (made or isinstance(found, ast.BinOp)) and not used & bound:
                        yield f"line {test.lineno}: {ast.unparse(test)}"


@by_path
def test_no_comprehension_makes_the_same_set_for_each_item(path):
    assert not list(rebuilt(path))


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/__init__.py")), ids=lambda path: path.parent.name)
def test_the_init_of_a_folder_is_a_docstring_only(path):
    (docstring,) = parse(path).body
    assert isinstance(docstring.value.value, str)


def defined_names(path: Path) -> set[str]:
    """What a module defines itself at its top level, also below `if` and `try`."""
    names = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def test_every_name_is_imported_from_the_module_that_defines_it():
    defined = {".".join(("earmark", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in MODULES}
    defined = {module: defined_names(path) for module, path in defined.items()}
    places = [path for folder in ("src", "product", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    wrong = [
        f"{path.relative_to(ROOT)}: {module} does not define {name}"
        for path in sorted(places)
        for module, name in imports(path)
        if module in defined and name and name not in defined[module]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", WITHOUT_TORCH)
def test_torch_is_imported_nowhere_in(folder):
    for path in (PACKAGE / folder).rglob("*.py"):
        assert not {module for module, _ in imports(path) if module.split(".")[0].startswith("torch")}, path


def test_importing_those_folders_does_not_load_torch():
    modules = [
        ".".join(("earmark", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in MODULES
        if folder_of(path) in WITHOUT_TORCH and path.name != "__init__.py"
    ]
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_training_from_images_needs_no_audio_libraries():
    """`earmark suite` on ready-made images runs where only PyTorch and a few small libraries are installed."""
    code = (
        "import sys, earmark.runs.suite, earmark.analysis.aggregate; "
        "absent = {'soundfile', 'soxr', 'numba', 'librosa', 'timm'}; "
        "print(*sorted({m.split('.')[0] for m in sys.modules} & absent))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
