"""The examples of docs/python.md run as they are written, and its table names public functions."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark
from earmark.datasets.manifest import Clip, write_manifest
from run_folders import make_clips, make_probs

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")


def test_the_table_has_every_public_function():
    functions = {name for name in earmark.__all__ if name.islower()}
    table = [line for line in PAGE.splitlines() if line.startswith("| ")]
    named = {name for line in table for name in re.findall(r"`(\w+)`", line)}
    assert functions <= named
    assert named <= {*earmark.__all__}


def test_a_model_of_ones_own_is_trained_on_the_folds_of_a_suite_and_compared(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pandas")
    rng, listed = np.random.default_rng(0), make_clips(3)
    (tmp_path / "audio").mkdir()
    for clip in listed:
        soundfile.write(tmp_path / clip.filepath, 0.1 * rng.normal(size=4000), 8000)
    clips = [Clip(c.clip_id, tmp_path / c.filepath, c.label, c.group, c.fold, 0.5) for c in listed]
    write_manifest(clips, tmp_path / "clips.csv")
    monkeypatch.chdir(tmp_path)
    net = {"clip_id": [clip.clip_id for clip in clips], "probs": make_probs(listed, seed=0, skill=3)}
    earmark.import_predictions(net, clips, "runs/own", variant="net", selected_on="none")
    example, _ = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(example, "python.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "net is better than spectrum by" in printed.replace("\n", " ")
    assert {r.training_subset_known for r in earmark.read_runs("runs/mine")} == {True}
    assert Path("report.html").stat().st_size > 100_000
