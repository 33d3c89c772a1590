"""`earmark demo`: the whole pipeline, as a new user runs it."""

import json
import re
import subprocess
import sys
from pathlib import Path

from earmark.config.suite import read_suite
from earmark.demo import demo_suite

CONFIG = Path(__file__).parents[1] / "configs" / "demo.toml"


def test_the_committed_config_is_what_the_demo_runs():
    assert read_suite(CONFIG) == demo_suite(Path("earmark-demo"))


def test_the_demo_runs_every_stage(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "earmark", "demo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "earmark-demo"
    assert (folder / "recordings" / "clips.csv").is_file()
    assert len(list((folder / "work").rglob("*_orig.png"))) == 320
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in folder.rglob("result.json")]
    assert sorted((run["variant"], run["seed"]) for run in runs) == [("none", 1), ("none", 2), ("se", 1), ("se", 2)]
    accuracies = [run["metrics"]["accuracy"] for run in runs]
    assert min(accuracies) > 0.4, "ten classes: chance is 0.1"
    assert max(accuracies) < 1.0
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    assert "true class clock_tick, predicted " in result.stdout
    checkpoint = re.search(r"^checkpoint +(\S+)$", result.stdout, flags=re.MULTILINE)[1]
    assert (tmp_path / checkpoint / "last.safetensors").is_file()
    command = re.search(r"^next +(?:uv run )?earmark (.+)$", result.stdout, flags=re.MULTILINE)[1]
    again = subprocess.run(
        [sys.executable, "-m", "earmark", *command.split()], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert again.stdout.count("\n") == 1
