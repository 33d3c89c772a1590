"""The table of imports on the architecture page, held against the source."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "earmark"
PAGE = ROOT / "docs" / "architecture.md"
WITHOUT_TORCH = ("config", "audio", "manifest", "splits", "metrics", "aggregate", "report")


def table() -> dict[str, set[str]]:
    """What each module may import of the package, from the rows of the page."""
    text = PAGE.read_text(encoding="utf-8").split("## Which way imports may point")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\S+) \| .+ \| ([^|]+) \|$", text, flags=re.MULTILINE)
    return {name: set(re.findall(r"[a-z_]+", targets)) for name, targets in rows[2:]}  # below the head of the table


def imported(path: Path) -> set[str]:
    """First-level names below `earmark` that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "earmark":
            parts = node.module.split(".")[1:]
            found |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("earmark.")}
    return found


def row_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.stem if len(relative.parts) == 1 else f"{relative.parts[0]}/*"


ENTRIES = (PACKAGE / "__init__.py", PACKAGE / "__main__.py")
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path not in ENTRIES]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_the_way_the_table_says(path):
    rows, name = table(), row_of(path)
    assert name in rows, f"{name} has no row in docs/architecture.md: add one"
    assert imported(path) <= rows[name] | {name.removesuffix("/*")}


def test_the_table_has_no_row_too_many():
    assert set(table()) == {row_of(path) for path in MODULES}


def test_imports_make_no_circle():
    rows = {name.removesuffix("/*"): targets for name, targets in table().items()}
    while rows:
        free = {name for name, targets in rows.items() if not targets & set(rows)}
        assert free, f"these import each other in a circle: {sorted(rows)}"
        rows = {name: targets for name, targets in rows.items() if name not in free}


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_torch_stays_out(name):
    code = f"import sys, earmark.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_training_from_images_imports_only_what_a_lean_machine_has():
    """`earmark suite` on ready-made images: no audio library, no SciPy, no plotting, on a machine with a GPU alone."""
    code = (
        "import sys, earmark.runs.suite, earmark.analysis.aggregate; absent = {'soundfile', 'soxr', 'numba', 'librosa', 'timm'}; "
        "print(*sorted({m.split('.')[0] for m in sys.modules} & absent))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
