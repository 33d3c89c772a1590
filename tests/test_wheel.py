"""The wheel: what it contains, and that `earmark init` works where only the wheel is installed."""

import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("earmark-*.whl")
    return path


def test_contains_the_package_and_the_configs_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = {p for p in (ROOT / "src" / "earmark").rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    expected = {path.relative_to(ROOT / "src").as_posix() for path in sources}
    expected |= {f"earmark/configs/{path.name}" for path in (ROOT / "configs").glob("*.toml")}
    assert names == expected
    assert {"earmark/py.typed", "earmark/configs/own.toml", "earmark/report/assets/page.html"} <= names


def test_is_small(wheel):
    assert wheel.stat().st_size < 2_000_000


def test_its_metadata_name_the_extras_and_no_dependency_twice(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    required = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert len(required) == len({line.split(">")[0] for line in required})
    extras = {"all", "hf", "hub", "mlflow", "onnx", "ray", "serve", "timm", "tune", "wandb"}
    assert extras == set(metadata.get_all("Provides-Extra"))
    assert metadata["License-Expression"] == "MIT"


def test_init_works_outside_the_repository(wheel, tmp_path):
    site, folder = tmp_path / "site", tmp_path / "empty"
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    environment = os.environ | {"PYTHONPATH": str(site)}
    run = [sys.executable, "-m", "earmark"]
    subprocess.run([*run, "init", "own"], cwd=folder, env=environment, check=True, capture_output=True)
    assert [path.name for path in folder.iterdir()] == ["own.toml"]
    code = "import earmark; print(earmark.__file__, earmark.read_suite('own.toml').name)"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.split()
    assert Path(printed[0]).is_relative_to(site)
    assert printed[1] == "own"
