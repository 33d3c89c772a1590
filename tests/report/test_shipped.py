"""The section on the model that was made from the runs: what is no model is named."""

import json

import pytest

from earmark.analysis.records import RunError, read_runs
from earmark.report.shipped import shipped_section
from run_folders import write_suite


@pytest.fixture
def records(tmp_path):
    return read_runs(write_suite(tmp_path, {"none": 1.0}, n_folds=2, seeds=(1,)))


def write_model(folder, records, text=None, **changes):
    gate = {"threshold": 0.5, "false_alarms": 0.05, "n_clips": 32, "held_out": [0.7, 0.3]}
    info = {"run_id": "+".join(r.id for r in records), "architecture": "cnn", "unknown": gate} | changes
    rows = {"members": ["fold1", "fold2"], "unknown_table": [], "synthetic_sounds": []}
    content = {"info": json.dumps(info) if text is None else text, **rows}
    (folder / "model.json").write_text(json.dumps(content), encoding="utf-8")


def test_a_model_of_the_runs_is_described(tmp_path, records):
    write_model(tmp_path, records)
    body = shipped_section(tmp_path, records).body
    assert "Threshold 0.5000, exceeded by 1 of 32 held-out clips of the classes (at most 5 %)." in body
    write_model(tmp_path, records, unknown=None)
    assert "has no unknown score" in shipped_section(tmp_path, records).body


def test_a_model_of_other_runs_is_refused(tmp_path, records):
    write_model(tmp_path, records, run_id=f"{records[0].id}+other")
    with pytest.raises(RunError, match="was made from other runs"):
        shipped_section(tmp_path, records)


@pytest.mark.parametrize(
    "changes",
    [{"text": "[]"}, {"text": "{"}, {"run_id": 3}, {"architecture": None}, {"unknown": 3}, {"unknown": {"x": 1}}],
)
def test_a_damaged_model_is_named(tmp_path, records, changes):
    write_model(tmp_path, records, **changes)
    with pytest.raises(RunError, match="is not a model of `earmark finalize`"):
        shipped_section(tmp_path, records)
