"""Models scored on new recordings: the answers of `predict`, never on what trained them, and intervals of their own."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import deploy_audio
import earmark
import earmark.deploy.evaluate
from deploy_audio import CLASS_NAMES, write_model
from earmark.analysis.aggregate import aggregate
from earmark.analysis.classes import class_scores, score_as_it_is
from earmark.analysis.ledger import read_ledger, record_look
from earmark.analysis.looks import LookCount, count_configurations, count_looks
from earmark.analysis.records import read_runs
from earmark.analysis.tables import terminal_text, write_tables
from earmark.cli.main import main
from earmark.datasets.folder import read_folder
from earmark.datasets.manifest import write_manifest
from earmark.deploy.evaluate import compare_with_expected, evaluate
from earmark.deploy.info import DeployError, ExpectedScore
from earmark.deploy.model import load
from earmark.runtime.console import format_names
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import file_digest
from earmark.splits.io import write_split
from earmark.splits.split import LeakageError, Split


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
    assert record.folder == run and record.variant == "model" and record.class_names == tuple(sorted(CLASS_NAMES))
    answers = {c.clip_id: load(model).predict(c.path) for c in clips}
    shown = [[dict(answers[i].top(3))[name] for name in record.class_names] for i in record.clip_ids]
    np.testing.assert_allclose(record.probs, shown, atol=1e-8)
    right = np.mean([answers[c.clip_id].label == c.label for c in clips])
    assert record.result["metrics"]["accuracy"] == pytest.approx(right)


def test_a_finished_run_is_not_repeated_and_a_taken_name_refused_at_once(model, clips, tmp_path, monkeypatch):
    run = evaluate(model, clips, tmp_path / "field").run
    monkeypatch.setattr(earmark.deploy.evaluate, "predict", lambda *_: pytest.fail("predicted again"))
    assert evaluate(model, clips, tmp_path / "field").run == run
    with pytest.raises(EarmarkError, match="has other predictions of it"):
        evaluate(model, clips[1:], tmp_path / "field")
    main(["export", str(model), str(tmp_path / "model.onnx")])
    with pytest.raises(EarmarkError, match="is of the same weights, calibrated, rounded or exported otherwise"):
        evaluate(tmp_path / "model.onnx", clips, tmp_path / "field")
    with pytest.raises(EarmarkError, match="variant = 'a/b': use letters"):
        evaluate(model, clips, tmp_path / "field", "a/b")


@pytest.mark.parametrize("form", ["model", "model/last.safetensors", "model.onnx"])
def test_a_copy_of_a_training_recording_is_refused_or_flagged(form, clips, tmp_path):
    write_model(tmp_path / "model", recordings=(file_digest(clips[3].path),))
    if form == "model.onnx":
        main(["export", str(tmp_path / "model"), str(tmp_path / form)])
    copy = Path(shutil.copy(clips[3].path, tmp_path / "renamed.wav"))
    clips = [replace(c, path=copy) if i == 3 else c for i, c in enumerate(clips)]
    with pytest.raises(
        LeakageError, match=rf"was trained on 1 recording of 36: {clips[3].clip_id}; --known skip scores"
    ):
        evaluate(tmp_path / form, clips, tmp_path / "field")
    assert not (tmp_path / "field").exists()
    evaluate(tmp_path / form, clips, tmp_path / "field", known="flag")
    (record,) = read_runs(tmp_path / "field")
    assert record.result["split"]["leaks"] == [f"clip '{clips[3].clip_id}' (train, test)"]
    assert "LEAKAGE in 1 of 1 runs" in terminal_text(aggregate([record]))
    text = compare_with_expected(ExpectedScore("accuracy", 0.9, 400, 0.85, 0.93, "cross-validated"), record)
    assert text.endswith("The score on these recordings is not compared with it: 1 of 36 recordings trained the model.")


def test_training_recordings_can_be_skipped(clips, tmp_path, capsys):
    write_model(tmp_path / "model", recordings=tuple(file_digest(c.path) for c in clips[:3]))
    write_manifest(clips, tmp_path / "field.csv")
    arguments = [str(tmp_path / "model"), str(tmp_path / "field.csv"), "-o", str(tmp_path / "field")]
    main(["evaluate", *arguments, "--known", "skip", "--json", str(tmp_path / "field.json")])
    assert "Left out, as they trained the model: 3 recordings." in capsys.readouterr().out
    (record,) = read_runs(tmp_path / "field")
    assert len(record.clip_ids) == 33 and not record.result["split"]["leaks"]
    assert json.loads((tmp_path / "field.json").read_text(encoding="utf-8"))["n_clips"] == 33
    with pytest.raises(LeakageError):
        evaluate(tmp_path / "model", clips[:3], tmp_path / "none", known="skip")


def test_parts_are_scored_and_a_missing_column_is_said_before_anything_is_predicted(
    model, clips, tmp_path, capsys, monkeypatch
):
    write_manifest(clips, tmp_path / "field.csv")
    header, *rows = (tmp_path / "field.csv").read_text(encoding="utf-8").splitlines()
    rows = [f"{row},{'old' if i % 4 == 0 else 'new'}" for i, row in enumerate(rows)]
    (tmp_path / "field.csv").write_text("\n".join([f"{header},device", *rows]), encoding="utf-8")
    arguments = [str(model), str(tmp_path / "field.csv"), "-o", str(tmp_path / "field")]
    main(["evaluate", *arguments, "--by", "device"])
    assert "By device: accuracy, %" in capsys.readouterr().out
    monkeypatch.setattr("earmark.deploy.evaluate.predict", lambda *_: pytest.fail("nothing is predicted"))
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", *arguments[:2], "-o", str(tmp_path / "other"), "--by", "devise"])
    assert "no column of" in capsys.readouterr().err


def test_models_are_compared_by_the_metric_of_the_score_that_the_model_names(model, clips, tmp_path, monkeypatch):
    write_manifest(clips, tmp_path / "field.csv")
    loaded = load(model)
    monkeypatch.setattr("earmark.deploy.evaluate.load", lambda *_: loaded)
    arguments = ["evaluate", str(model), str(tmp_path / "field.csv"), "-o", str(tmp_path / "field")]
    results = tmp_path / "field.json"
    for named, given, expected in (("uar", [], "uar"), ("uar", ["--metric", "accuracy"], "accuracy"), ("f1", [], None)):
        loaded.info = replace(loaded.info, expected_score=ExpectedScore(named, 0.9, 400))
        main([*arguments, "--json", str(results), *given])
        assert json.loads(results.read_text(encoding="utf-8"))["metric"] == (expected or "accuracy")


def test_names_of_training_clips_and_groups_are_noticed_though_the_bytes_differ(model, clips, tmp_path, caplog):
    """Of the training subset only, and groups only where both sides declare them."""
    groups = [replace(c, clip_id=f"new-{c.clip_id}") for c in clips]
    for n_train, n_ids, known in ((24, 0, 12), (24, 2, 12), (0, 36, 0)):
        train, rest = (tuple(c.clip_id for c in some) for some in (clips[:n_train], clips[n_train:]))
        write_split(Split(train, (), rest, "files", 1, groups="declared"), clips, model)
        caplog.clear()
        evaluate(model, [*clips[:n_ids], *groups[n_ids:]], tmp_path / f"{n_train}-{n_ids}")
        lines = [line for line in caplog.messages if "was trained on" in line]
        assert len(lines) == (known > 0)
        if known:
            assert f"{known} groups ({format_names(sorted({c.group for c in clips[:24]}))}) of the same" in lines[0]
            assert ("2 clips (" in lines[0]) == (n_ids == 2)
    write_split(Split(tuple(c.clip_id for c in clips), (), (), "files", 1, groups="declared"), clips, model)
    caplog.clear()
    evaluate(model, [replace(c, group=c.clip_id) for c in groups], tmp_path / "none")
    assert "was trained on" not in caplog.text


def test_a_run_folder_is_called_as_its_variant_unless_that_is_taken(model, clips, tmp_path):
    """A run that an earlier version has written under the name of the folder keeps it."""
    trained = [tmp_path / "runs" / f"none-fold{k}-seed42-79a6acfbb{k}" for k in (1, 2)]
    for k, folder in enumerate(trained):
        write_model(folder, recordings=("0123456789abcdef",), seed=k)
    for folder, variant in zip(trained, ("none", trained[1].name), strict=True):
        for _ in range(2):
            run = evaluate(folder, clips, tmp_path / "field").run
            assert run.name.startswith(f"{variant}-fold1-seed0-")
    short = trained[0].parent / "none-fold1-seed42"
    assert evaluate(short, clips, tmp_path / "field").run.name.startswith("none-fold1-seed0-")
    kept = evaluate(trained[0], clips, tmp_path / "kept", trained[0].name).run
    assert evaluate(trained[0], clips, tmp_path / "kept").run == kept


def test_each_class_has_its_shares_with_intervals_over_groups(model, clips, tmp_path, capsys):
    write_manifest(clips, tmp_path / "field.csv")
    main(["evaluate", str(model), str(tmp_path / "field.csv"), "-o", str(tmp_path / "field")])
    (record,) = read_runs(tmp_path / "field")
    scores = {one.label: one for one in class_scores(record)}
    for k, label in enumerate(record.class_names):
        of_class, as_class = record.targets == k, record.predictions == k
        assert (scores[label].n_clips, scores[label].n_groups) == (12, 6)
        assert scores[label].recall.value == np.mean(record.predictions[of_class] == k)
        assert scores[label].recall.low <= scores[label].recall.value <= scores[label].recall.high
        if as_class.any():
            assert scores[label].precision.value == np.mean(record.targets[as_class] == k)
        else:
            assert scores[label].precision is None
    assert "clips  groups  recall" in capsys.readouterr().out


def test_a_score_is_compared_with_the_one_that_was_measured_when_the_model_was_built(model, clips, tmp_path):
    evaluate(model, clips, tmp_path / "field")
    (record,) = read_runs(tmp_path / "field")  # a third of the clips are right
    expected = ExpectedScore("accuracy", 0.9, 400, 0.85, 0.93, "cross-validated")
    lower = compare_with_expected(expected, record)
    assert lower.startswith("When it was built: accuracy 90.0 % (85.0 to 93.0), 400 clips: cross-validated.")
    share = score_as_it_is(record, "accuracy")
    low = share.value - 0.9 - np.hypot(share.value - share.low, 0.93 - 0.9)  # Newcombe's method 10 by hand
    assert f"it is lower: −{100 * (0.9 - share.value):.1f} points (95 % interval −{-100 * low:.1f} to" in lower
    assert "not shown to differ" in compare_with_expected(replace(expected, value=0.35, low=0.3, high=0.4), record)
    assert "has no interval" in compare_with_expected(replace(expected, low=None, high=None), record)
    assert "has no interval" in compare_with_expected(replace(expected, metric="f1"), record)
    evaluate(model, clips[:24], tmp_path / "two")
    (fewer,) = read_runs(tmp_path / "two")
    assert "another quantity" in compare_with_expected(replace(expected, metric="uar"), fewer)


@pytest.mark.parametrize("changed", ["clips", "labels", "classes"])
def test_a_folder_of_other_runs_is_refused_before_anything_is_predicted(changed, model, clips, tmp_path, monkeypatch):
    evaluate(model, clips, tmp_path / "field")
    monkeypatch.setattr(earmark.deploy.evaluate, "predict", lambda *_: pytest.fail("predicted"))
    other = {"clips": clips[1:], "labels": [replace(clips[0], label="low"), *clips[1:]], "classes": clips}[changed]
    if changed == "classes":
        monkeypatch.setattr(deploy_audio, "CLASS_NAMES", (*CLASS_NAMES, "z"))
        model = write_model(tmp_path / "another", recordings=("0123456789abcdef",))
    with pytest.raises(EarmarkError, match="is of other clips, labels, groups, folds or classes; give another folder"):
        evaluate(model, other, tmp_path / "field", "another")
    assert len(read_runs(tmp_path / "field")) == 1


def test_changed_recordings_are_scored_again(model, clips, tmp_path):
    copies = [replace(c, path=Path(shutil.copy(c.path, tmp_path / f"{c.clip_id}.wav"))) for c in clips]
    first = evaluate(model, copies, tmp_path / "field").run
    shutil.copy(clips[1].path, copies[0].path)
    with pytest.raises(EarmarkError, match="has other predictions of it"):
        evaluate(model, copies, tmp_path / "field")
    assert evaluate(model, copies, tmp_path / "field", "later").run.name != first.name


def test_clips_without_an_id_of_their_own_are_refused_and_copies_named(model, clips, tmp_path, caplog):
    for bad, message in (([], "there is none"), ([clips[0], *clips], f"clip {clips[0].clip_id} is there twice")):
        with pytest.raises(DeployError, match=message):
            evaluate(model, bad, tmp_path / "field")
    evaluate(model, [*clips, replace(clips[0], clip_id="again")], tmp_path / "field")
    assert "1 clip counted twice: the file is that of another clip" in caplog.text


def test_a_model_is_one_configuration_whatever_its_file_is_called(model, clips, tmp_path):
    main(["export", str(model), str(tmp_path / "model.onnx")])
    shutil.copytree(model, tmp_path / "copy")
    for path in (model, tmp_path / "model.onnx", tmp_path / "copy"):
        evaluate(path, clips, tmp_path / "runs" / "field", f"as-{path.name}")
    looks = read_ledger(tmp_path / "runs" / "ledger.csv")
    assert len({look.configuration for look in looks}) == 1 and all(look.test_audio for look in looks)
    assert "1 configuration has been scored" in terminal_text(aggregate(read_runs(tmp_path / "runs")))


def test_a_run_on_its_own_test_clips_is_no_other_configuration(model, clips, tmp_path):
    """Its weights had this look; other weights, other clips and a run that the ledger does not have are counted."""
    run = Path(shutil.copytree(model, tmp_path / "runs" / "toy" / "se-fold1-seed42-0123456789"))
    (run / "result.json").write_text("{}")
    main(["export", str(model), str(tmp_path / "exported.onnx")])
    other = write_model(tmp_path / "other", seed=1)
    place = {"event": "trained", "suite": "toy", "variant": "se", "fold": 1, "seed": 42, "configuration": "se"}
    ids, audio = [c.clip_id for c in clips], [file_digest(c.path) for c in clips]
    record_look(run, **place, run="0123456789", test_clips=ids, all_clips=ids, test_audio=audio)

    evaluate(model, clips, tmp_path / "runs" / "again")
    evaluate(tmp_path / "exported.onnx", clips, tmp_path / "runs" / "exported")
    ledger = tmp_path / "runs" / "ledger.csv"
    assert [look.event for look in read_ledger(ledger)] == ["trained", "repeated", "repeated"]
    assert count_configurations(read_ledger(ledger)) == 1
    assert count_looks(read_runs(tmp_path / "runs" / "again")) == LookCount(1, 1, 0, True)

    evaluate(other, clips, tmp_path / "runs" / "field")
    evaluate(model, clips[1:], tmp_path / "runs" / "fewer")
    evaluate(model, clips, tmp_path / "elsewhere" / "field")
    assert [look.event for look in read_ledger(ledger)[3:]] == ["imported", "imported"]
    assert [look.event for look in read_ledger(tmp_path / "elsewhere" / "ledger.csv")] == ["imported"]
    (run / "result.json").unlink()
    evaluate(model, clips, tmp_path / "runs" / "unfinished")
    assert read_ledger(ledger)[-1].event == "imported"


def test_a_mixture_with_imports_of_recipes_is_said(model, clips, tmp_path):
    evaluate(model, clips, tmp_path / "field")
    table = {"clip_id": [c.clip_id for c in clips], "prediction": ["low"] * len(clips)}
    earmark.import_predictions(table, clips, tmp_path / "field", variant="svm", fold=1)
    found = aggregate(read_runs(tmp_path / "field"))
    assert not found.fixed and any("not every variant is one run of such a model" in note for note in found.notes)


def test_a_model_that_does_not_say_what_trained_it_is_marked(clips, tmp_path, caplog):
    evaluate(write_model(tmp_path / "model"), clips, tmp_path / "field")
    assert "does not hold the digests of its training recordings" in caplog.text
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
    other = write_model(tmp_path / "other", recordings=("0123456789abcdef",), seed=1)
    evaluate(other, clips, tmp_path / "field", "two")
    found = aggregate(read_runs(tmp_path / "field"))
    (comparison,) = found.verdicts
    assert comparison.difference != 0
    assert not comparison.judgment.training_set_assumed and not comparison.judgment.seeds_assumed
    assert found.fixed and comparison.judgment.variance.seeds == comparison.judgment.variance.training_set == 0
    text = terminal_text(found)
    assert "Networks are judged as they are" in text and "assumed effect" not in text and "floor.csv" not in text
    write_tables(found, tmp_path / "tables")
    assert "covers groups of clips;" in (tmp_path / "tables" / "results.md").read_text(encoding="utf-8")


def test_a_finished_model_of_another_tool_is_judged_beside_them(model, clips, tmp_path):
    evaluate(model, clips, tmp_path / "field")
    table = {"clip_id": [c.clip_id for c in clips], "prediction": ["low"] * len(clips)}
    earmark.import_predictions(table, clips, tmp_path / "field", variant="svm", as_it_is=True)
    found = aggregate(read_runs(tmp_path / "field"))
    assert found.fixed and len(found.variants) == 2


def test_seeds_of_an_import_do_not_change_what_is_judged(model, clips, tmp_path):
    """Whatever seeds the table of another tool has: one run of each model, on the same recordings."""
    evaluate(model, clips, tmp_path / "field")
    table = {"clip_id": [c.clip_id for c in clips], "prediction": ["low"] * len(clips), "seed": [5] * len(clips)}
    earmark.import_predictions(table, clips, tmp_path / "field", variant="svm", split=tmp_path / "field")
    found = aggregate(read_runs(tmp_path / "field"))
    assert found.fixed and found.verdicts[0].judgment.variance.seeds == 0
    table["seed"] = [6] * len(clips)
    earmark.import_predictions(table, clips, tmp_path / "field", variant="svm", split=tmp_path / "field")
    found = aggregate(read_runs(tmp_path / "field"))
    assert not found.fixed and any("not every variant is one run of such a model" in note for note in found.notes)


def test_labels_that_the_runs_do_not_know_are_no_traceback(model, clips, tmp_path):
    evaluate(model, clips, tmp_path / "field")
    renamed = [replace(c, label="basso") if c.label == "low" else c for c in clips]
    further = [*clips, replace(clips[0], clip_id="new", path=clips[0].path.with_name("new.wav"), label="basso")]
    table = {"clip_id": [c.clip_id for c in clips], "prediction": ["high"] * len(clips)}
    for manifest, said in (
        (renamed, "clip l00 has the label 'low', but 'basso' in the manifest; give the manifest"),
        (further, "label basso is not a class of these runs"),
    ):
        with pytest.raises(EarmarkError, match=said):
            earmark.import_predictions(table, manifest, tmp_path / "new", variant="svm", split=tmp_path / "field")


def test_another_tool_joins_the_comparison_though_a_class_has_no_recording(model, clips, tmp_path, capsys):
    clips = [c for c in clips if c.label != "low"]
    write_manifest(clips, tmp_path / "field.csv")
    main(["evaluate", str(model), str(tmp_path / "field.csv"), "-o", str(tmp_path / "field")])
    assert "2 of 3 classes have clips; the average recall is that of these (none of low)." in capsys.readouterr().out
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
