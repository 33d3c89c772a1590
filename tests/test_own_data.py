"""docs/own-data.md, typed line by line on recordings of somebody's own."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earmark.cli.main import main

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "own-data.md"

FEW = ("--train.epochs", "3", "--seeds", "42", "--folds", "1", "2", "--threads", "1")


def typed_lines() -> list[str]:
    """The lines of the page's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


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
            program, *argv = shlex.split(line)
            assert program == "earmark"
            main([*(str(next(Path().glob(a))) if "*" in a else a for a in argv), *(FEW if argv[0] == "suite" else ())])
    return work


def test_every_step_leaves_what_the_page_says(folder):
    assert (folder / "clips.csv").read_text(encoding="utf-8").count("\n") == 31
    assert len(list((folder / "runs" / "own").glob("*/result.json"))) == 4
    assert "bark" in (folder / "report.html").read_text(encoding="utf-8")
    lines = (folder / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("path,start,end,prediction,probability,error,")
    assert lines[0].endswith("prob:bark,prob:knock,prob:siren")
    assert len(lines) == 4


def test_settings_and_pages_that_it_names_exist():
    text = PAGE.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (PAGE.parent / link).exists(), link
    from earmark.config.suite import SuiteConfig

    for section, name in re.findall(r"--(\w+)\.(\w+)", text):
        assert hasattr(getattr(SuiteConfig(), section), name), f"{section}.{name}"
