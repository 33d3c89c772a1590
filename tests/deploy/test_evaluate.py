"""Models scored on new recordings: the answers of `predict`, never on what trained them, and intervals of their own."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import earmark
from deploy_audio import CLASS_NAMES, write_model
from earmark.analysis.aggregate import aggregate
from earmark.analysis.records import read_runs
from earmark.analysis.tables import terminal_text
from earmark.cli.main import main
from earmark.datasets.folder import read_folder
from earmark.datasets.manifest import write_manifest
from earmark.deploy.evaluate import evaluate
from earmark.deploy.info import DeployError
from earmark.deploy.model import load
from earmark.runtime.files import file_digest
from earmark.splits.split import LeakageError


@pytest.fixture
def clips(tones):
    """36 recordings of three classes in groups of two."""
    return [replace(c, group=f"{c.label}{int(c.path.stem[1:]) // 2}") for c in read_folder(tones)]


@pytest.fixture
def model(tmp_path) -> Path:
    """A model that says it was trained on some other recording."""
    return write_model(tmp_path / "model", recordings=("0123456789abcdef",))


def test_the_answers_are_those_of_predict(model, clips, tmp_path):
    run = evaluate(model, clips, tmp_path / "field").run
    (record,) = read_runs(tmp_path / "field")
    assert record.folder == run and record.variant == "model" and record.class_names == CLASS_NAMES
    answers = {c.clip_id: load(model).predict(c.path) for c in clips}
    np.testing.assert_allclose(record.probs, [answers[i].probs for i in record.clip_ids], atol=1e-8)
    right = np.mean([answers[c.clip_id].label == c.label for c in clips])
    assert record.result["metrics"]["accuracy"] == pytest.approx(right)
    assert evaluate(model, clips, tmp_path / "field").run == run, "again it is the same run"


@pytest.mark.parametrize("form", ["model", "model/last.safetensors", "model.onnx"])
def test_a_copy_of_a_training_recording_is_refused_or_flagged(form, clips, tmp_path):
    write_model(tmp_path / "model", recordings=(file_digest(clips[3].path),))
    if form == "model.onnx":
        main(["export", str(tmp_path / "model"), str(tmp_path / form)])
    copy = Path(shutil.copy(clips[3].path, tmp_path / "renamed.wav"))
    clips = [replace(c, path=copy) if i == 3 else c for i, c in enumerate(clips)]
    with pytest.raises(LeakageError, match=rf"was trained on 1 recording of 36: {clips[3].clip_id}; take them out"):
        evaluate(tmp_path / form, clips, tmp_path / "field")
    assert not (tmp_path / "field").exists()
    evaluate(tmp_path / form, clips, tmp_path / "field", allow_leakage=True)
    (record,) = read_runs(tmp_path / "field")
    assert record.result["split"]["leaks"] == [f"clip '{clips[3].clip_id}' (train, test)"]
    assert "LEAKAGE in 1 of 1 runs" in terminal_text(aggregate([record]))


def test_a_model_that_does_not_say_what_trained_it_is_marked(clips, tmp_path, caplog):
    evaluate(write_model(tmp_path / "model"), clips, tmp_path / "field")
    assert "does not say which recordings it was trained on" in caplog.text
    assert "leaks cannot be checked" in terminal_text(aggregate(read_runs(tmp_path / "field")))


def test_a_label_that_the_model_does_not_know_and_a_missing_file_are_refused(model, clips, tmp_path):
    strange = [replace(clips[0], label="owl"), *clips[1:]]
    with pytest.raises(DeployError, match=r"label owl \(1 clip\): not a class of the model, which knows high, low"):
        evaluate(model, strange, tmp_path / "field")
    gone = [replace(clips[0], path=tmp_path / "gone.wav"), *clips[1:]]
    with pytest.raises(DeployError, match=r"gone\.wav: cannot be read \(No such file or directory\)"):
        evaluate(model, gone, tmp_path / "field")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    with pytest.raises(DeployError, match=r"broken\.wav.*nothing was written"):
        evaluate(model, [replace(clips[0], path=broken), *clips[1:]], tmp_path / "field")
    assert not (tmp_path / "field").exists()


def test_models_are_judged_as_they_are(model, clips, tmp_path):
    evaluate(model, clips, tmp_path / "field", "one")
    evaluate(model, clips, tmp_path / "field", "two")
    found = aggregate(read_runs(tmp_path / "field"))
    (comparison,) = found.verdicts
    assert not comparison.judgment.training_set_assumed and not comparison.judgment.seeds_assumed
    assert found.fixed and comparison.judgment.variance.seeds == comparison.judgment.variance.training_set == 0
    text = terminal_text(found)
    assert "Networks are judged as they are" in text and "new seeds" not in text and "floor.csv" not in text


def test_another_tool_joins_the_comparison_though_a_class_has_no_recording(model, clips, tmp_path, capsys):
    clips = [c for c in clips if c.label != "low"]
    write_manifest(clips, tmp_path / "field.csv")
    main(["evaluate", str(model), str(tmp_path / "field.csv"), "-o", str(tmp_path / "field")])
    assert "in 12 groups and 3 classes" in capsys.readouterr().out
    with (tmp_path / "svm.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["clip_id", "prediction"], *([c.clip_id, "low"] for c in clips)])
    places = ["--split", str(tmp_path / "field"), "-o", str(tmp_path / "field")]
    main(["import", str(tmp_path / "svm.csv"), "--clips", str(tmp_path / "field.csv"), *places])
    found = earmark.aggregate(tmp_path / "field")
    assert {v.variant: v.n_clips for v in found.variants} == {"model": 24, "svm": 24} and found.fixed
    assert next(v for v in found.variants if v.variant == "svm").metrics["accuracy"].pooled == 0


def test_there_is_no_floor_without_training_clips(model, clips, tmp_path, capsys):
    write_manifest(clips, tmp_path / "field.csv")
    earmark.evaluate(model, tmp_path / "field.csv", tmp_path / "field")
    with pytest.raises(SystemExit, match="2"):
        main(["floor", str(tmp_path / "field"), "--clips", str(tmp_path / "field.csv")])
    assert "names no training clips" in capsys.readouterr().err
