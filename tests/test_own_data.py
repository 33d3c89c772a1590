"""docs/own-data.md and the README, typed line by line on recordings of somebody's own."""

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark
from earmark.cli.main import main
from earmark.config.sections import Options
from earmark.config.suite import read_suite
from earmark.datasets.manifest import read_manifest
from earmark.runs.plan import plan_suite

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "own-data.md"

FEW = ("--train.epochs", "3", "--seeds", "42", "--folds", "1", "2", "--threads", "1")


def typed_lines() -> list[str]:
    """The lines of the page's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def readme_lines() -> list[str]:
    """The lines on recordings of one's own in the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Your own recordings")[1]
    lines = re.search(r"```\n(.*?)```", text, flags=re.DOTALL)[1].splitlines()
    return [line.removeprefix("uv run ") for line in lines]


def type_line(line: str) -> None:
    """Run a line, with shorter training."""
    program, *argv = shlex.split(line)
    assert program == "earmark"
    main([*argv, *(FEW if argv[0] == "suite" else ())])


def write_recordings(folder: Path, n_takes: int) -> None:
    """Three classes of tones in noise, half a second each."""
    rng = np.random.default_rng(n_takes)
    for label, frequency in {"bark": 300, "knock": 900, "siren": 2700}.items():
        (folder / label).mkdir(parents=True)
        for i in range(n_takes):
            seconds = np.arange(int(16000 * rng.uniform(0.7, 0.9))) / 16000
            tone = np.sin(2 * np.pi * frequency * rng.uniform(0.8, 1.2) * seconds)
            soundfile.write(
                folder / label / f"{label}{i}.wav", 0.3 * tone + 0.05 * rng.normal(size=len(seconds)), 16000
            )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where everything was typed, with shorter training; the suite lines have one seed and two folds of the five."""
    work = tmp_path_factory.mktemp("own")
    shutil.copytree(ROOT / "configs", work / "configs")
    write_recordings(work / "my-recordings", 10)
    write_recordings(work / "new-recordings", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        for line in typed_lines():
            type_line(line)
    return work


def test_every_step_leaves_what_the_page_says(folder):
    assert (folder / "clips.csv").read_text(encoding="utf-8").count("\n") == 31
    assert len(list((folder / "runs" / "own").glob("*/result.json"))) == 4
    assert "bark" in (folder / "report.html").read_text(encoding="utf-8")
    lines = (folder / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("path,start,end,prediction,probability,error,")
    assert lines[0].endswith("prob:bark,prob:knock,prob:siren")
    assert len(lines) == 4


def test_the_lines_of_the_readme_run(folder, monkeypatch):
    """On the same recordings, where the suite is finished; the predictions of the other tool are all right."""
    monkeypatch.chdir(folder)
    shutil.copytree("my-recordings", "recordings")
    plan = plan_suite(replace(read_suite("own.toml"), name="folds"), Options())
    label_of = {clip.clip_id: clip.label for clip in read_manifest("clips.csv")}
    rows = {f"{i},{label_of[i]},{run.config.fold}" for run in plan.runs for i in run.split.test}
    Path("predictions.csv").write_text("\n".join(["clip_id,prediction,fold", *sorted(rows)]), encoding="utf-8")
    for line in readme_lines():
        type_line(line)
    assert len(list(Path("runs/own").glob("*/result.json"))) == 4, "no run was trained again"
    assert len(list(Path("runs/theirs").glob("*/result.json"))) == 5
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"`(earmark\.load\([^`]*)`", text)
    path, clip = re.findall(r'"([^"]*)"', code)
    shutil.copy(next(Path("new-recordings").rglob("*.wav")), clip)
    assert earmark.load(path).predict(clip).label in ("bark", "knock", "siren")


def test_the_model_to_ship_is_exported(folder):
    assert (folder / "model" / "model.json").is_file()
    assert (folder / "model.onnx").stat().st_size > 1e6


def test_settings_and_pages_that_it_names_exist():
    text = PAGE.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (PAGE.parent / link).exists(), link
    from earmark.config.suite import SuiteConfig

    for section, name in re.findall(r"--(\w+)\.(\w+)", text):
        assert hasattr(getattr(SuiteConfig(), section), name), f"{section}.{name}"
