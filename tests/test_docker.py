"""The Dockerfile, read through: its context builds the wheel, its user has no rights, the demo is its check."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES = [line for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def line_of(pattern: str) -> int:
    (number,) = [number for number, line in enumerate(LINES) if re.match(pattern, line)]
    return number


def test_the_context_is_enough_to_build_the_wheel(tmp_path):
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert rules[0] == "*"
    for rule in rules[1:]:
        if rule.startswith("!"):
            source = ROOT / rule[1:]
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, tmp_path / rule[1:])
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    assert list((tmp_path / "dist").glob("earmark-*.whl"))


def test_the_user_has_no_rights_when_the_demo_runs():
    assert LINES[line_of("USER ")] == "USER 1000"
    assert "useradd --create-home --uid 1000 earmark" in "\n".join(LINES)
    assert line_of("USER ") < line_of("RUN earmark demo")
    assert LINES[line_of("ENTRYPOINT ")] == 'ENTRYPOINT ["earmark"]'


def test_pytorch_comes_without_cuda():
    assert "--torch-backend cpu" in "\n".join(LINES)
