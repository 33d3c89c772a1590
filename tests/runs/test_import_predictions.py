"""Predictions of other tools: what is read, what is refused and by which name, and what the run folders say."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import earmark
from earmark.analysis.aggregate import aggregate
from earmark.analysis.ledger import read_ledger
from earmark.analysis.notes import notes_on
from earmark.analysis.predictions import read_predictions, write_predictions
from earmark.analysis.records import read_runs
from earmark.analysis.tables import terminal_text
from earmark.cli.main import main
from earmark.config.sections import ConfigError, SplitConfig
from earmark.datasets.manifest import Clip, write_manifest
from earmark.report.page import write_report
from earmark.runs.exchanged_classes import exchanged_classes
from earmark.runs.import_folds import with_tested_folds
from earmark.runs.import_predictions import import_predictions
from earmark.runs.prediction_table import PredictionTableError, read_prediction_table
from earmark.runs.status import read_states, state_line
from earmark.runs.table_remedies import of_number
from earmark.runtime.schema import read_table
from earmark.splits.io import read_splits, write_split
from earmark.splits.make import make_split
from earmark.splits.split import LeakageError, Split, SplitError
from run_folders import NAMES, make_clips, make_probs, write_suite

MADE_UP = make_clips(3)
CLIPS = [Clip(c.clip_id, Path(c.filepath), c.label, c.group, c.fold) for c in MADE_UP]
BY_ID = {c.clip_id: c for c in CLIPS}


def table_of(path, seeds=(0,), labels=False, clips=CLIPS, name="clip_id", fold=True, skill=1.5):
    """Write predictions of every clip as another tool would; returns the rows."""
    columns = [name, *(["fold"] if fold else []), "seed"]
    columns += ["prediction"] if labels else [f"prob:{n}" for n in NAMES]
    rows = []
    for seed in seeds:
        for clip, probs in zip(clips, make_probs(clips, seed=seed, skill=skill), strict=True):
            shown = clip.clip_id if name == "clip_id" else str(clip.path)
            values = [NAMES[probs.argmax()]] if labels else [f"{p:.6f}" for p in probs]
            rows.append(dict(zip(columns, [shown, *([clip.fold] if fold else []), seed, *values], strict=True)))
    write(path, rows)
    return rows


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def imported(tmp_path, source, variant="svm", **settings):
    settings = {"selected_on": "none", **settings}
    return import_predictions(read_prediction_table(source, CLIPS, variant), CLIPS, tmp_path / "toy", **settings)


def test_predictions_become_runs_that_are_read_as_written(tmp_path):
    rows = table_of(tmp_path / "svm.csv", seeds=(0, 1))
    folders = imported(tmp_path, tmp_path / "svm.csv")
    records = read_runs(tmp_path / "toy")
    assert len(folders) == len(records) == 6
    assert {r.fold_seed for r in records} == {(fold, seed) for fold in (1, 2, 3) for seed in (0, 1)}
    first = records[0]
    assert (first.variant, first.imported, first.has_probs, first.training_subset_known) == ("svm", True, True, False)
    assert first.n_train == len(CLIPS) - len(first.clip_ids)
    row = next(r for r in rows if r["clip_id"] == first.clip_ids[0] and r["seed"] == 0)
    expected = np.array([float(row[f"prob:{n}"]) for n in NAMES])
    np.testing.assert_allclose(first.probs[0], expected / expected.sum(), atol=1e-9)
    assert first.result["epochs"] is first.result["macs"] is None


@pytest.mark.parametrize("labels", [True, False])
def test_imported_runs_stand_beside_trained_ones(tmp_path, labels):
    write_suite(tmp_path, {"net": 3.0}, 3, (1, 2), clips=MADE_UP)
    table_of(tmp_path / "svm.csv", labels=labels, skill=0.2)
    imported(tmp_path, tmp_path / "svm.csv")
    result = aggregate(read_runs(tmp_path / "toy"))
    (comparison,) = result.comparisons[:1]
    assert (comparison.n_pairs, comparison.verdict) == (6, "worse"), "one seed is paired with both of the other"
    svm = next(v for v in result.variants if v.variant == "svm")
    assert svm.metrics["accuracy"].low < svm.metrics["accuracy"].pooled
    for metric in ("top3_accuracy", "roc_auc", "nll", "ece"):
        assert (svm.metrics[metric].pooled is None) == labels
    assert svm.cost.n_parameters is svm.cost.train_seconds is None
    assert not any("front_end" in note or "train." in note for note in result.notes), "its settings are not known"
    assert any("It is not known which clips svm trained on" in note for note in result.notes)


def test_a_report_on_imported_labels_alone_can_be_written(tmp_path):
    table_of(tmp_path / "svm.csv", labels=True)
    imported(tmp_path, tmp_path / "svm.csv", selected_on="unknown")
    write_report(read_runs(tmp_path / "toy"), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "svm §¶" in page
    assert "§ what its settings were chosen on is not known" in page
    assert "¶ predicted labels only" in page
    assert 'id="calibration"' not in page


def test_status_shows_no_epochs(tmp_path):
    table_of(tmp_path / "svm.csv")
    imported(tmp_path, tmp_path / "svm.csv")
    line = state_line(read_states(tmp_path / "toy")[0])
    assert line.split()[:2] == ["finished", "–"]


def test_paths_and_published_folds_are_understood(tmp_path):
    table_of(tmp_path / "svm.csv", name="path", fold=False)
    assert len(imported(tmp_path, tmp_path / "svm.csv")) == 3


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda rows: rows[1:], r"svm, fold 1, seed 0: 1 test clip without a prediction \(1-00-0\)"),
        (lambda rows: [rows[0], *rows], "svm, fold 1, seed 0 has more than one row for 1-00-0; keep one"),
        (
            lambda rows: [rename(r, "prob:bark", "prob:barks") for r in rows],
            r"'prob:barks' is not a class.*mean 'bark'\?",
        ),
        (
            lambda rows: [rename(r, "prob:bark", "prob:0") for r in rows],
            "column 'prob:0' is not a class; write the name of the class that has this number in the tool "
            r"\(if it sorts them, 0 is 'bark' and 3 is 'siren'\)$",
        ),
        (lambda rows: [drop(r, "prob:rain") for r in rows], "no column for class rain"),
        (
            lambda rows: [drop(r, *(f"prob:{n}" for n in NAMES)) for r in rows],
            "no prediction among .*clip_id.*; give clip_id, path, file",
        ),
        (
            lambda rows: [drop(r, "clip_id") for r in rows],
            "neither a column 'clip_id' nor 'path' among fold, seed, prob.*; give clip_id, path, file or filename, and",
        ),
        (lambda rows: [bare(r) for r in rows], "need prob: before the name; rename 'bark' to 'prob:bark'"),
        (
            lambda rows: [rows[0] | {f"prob:{n}": p for n, p in zip(NAMES, (50, 30, 15, 5), strict=True)}],
            "percentages by 100",
        ),
        (lambda rows: [rows[0] | {"clip_id": "1-00-9"}, *rows[1:]], r"line 2: '1-00-9' is not a clip.*did you mean"),
        (lambda rows: [rows[0] | {"prob:bark": "2"}, *rows[1:]], r"line 2: probabilities sum to .*softmax of logits"),
        (
            lambda rows: [rows[0] | {"prob:bark": "12.3%"}, *rows[1:]],
            "'12.3%' is not .*; write 0.123 for",
        ),
        (lambda rows: [rows[0] | {"prob:bark": ""}, *rows[1:]], "line 2: prob:bark is empty; give a"),
        (lambda rows: [rows[0] | {"prob:bark": "inf"}, *rows[1:]], "line 2: prob:bark 'inf' is not a number"),
        (lambda rows: [rows[0] | {f"prob:{n}": "0" for n in NAMES}, *rows[1:]], r"sum to 0, .*softmax of logits"),
        (
            lambda rows: [rows[0] | {f"prob:{n}": "0.8" for n in NAMES}, *rows[1:]],
            "divide each row by its sum where every class has a sigmoid",
        ),
        (
            lambda rows: [rows[0] | {"clip_id": "x"}, rows[1] | {"clip_id": "y"}, *rows[2:]],
            "line 2: 'x' is not a clip of the manifest, as 2 of 48 rows; give ids",
        ),
        (
            lambda rows: [rows[0] | {"prob:bark": "x"}, *rows[1:]],
            "line 2: prob:bark 'x' is not a number; give a ",
        ),
        (lambda rows: [rows[0] | {"seed": "1.5"}, *rows[1:]], "line 2: seed '1.5'; give whole numbers from 0"),
        (lambda rows: [r | {"fold": int(r["fold"]) - 1} for r in rows], "fold '0'; give whole numbers from 1"),
        (lambda rows: [r | {"label": "rain"} for r in rows], "has label 'rain', but 'bark' in the manifest"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_name(tmp_path, edit, reason):
    write(tmp_path / "svm.csv", edit(table_of(tmp_path / "svm.csv")))
    with pytest.raises(PredictionTableError, match=reason):
        imported(tmp_path, tmp_path / "svm.csv")
    assert not (tmp_path / "toy").exists()


def bare(row):
    return {name.removeprefix("prob:"): value for name, value in row.items()}


def test_clips_that_no_fold_predicts_are_named_and_not_their_group(tmp_path):
    """They would count as training clips, whose group is also tested; that is not what is wrong."""
    rows = [r | {"fold": 1 + int(r["fold"]) % 3} for r in table_of(tmp_path / "svm.csv")]
    write(tmp_path / "svm.csv", rows[1:])
    with pytest.raises(PredictionTableError, match=r"svm: 1 test clip without a prediction in any fold \(1-00-0\)"):
        imported(tmp_path, tmp_path / "svm.csv")


def test_semicolons_and_decimal_commas_are_read_as_points(tmp_path):
    table_of(tmp_path / "svm.csv")
    text = (tmp_path / "svm.csv").read_text(encoding="utf-8")
    (tmp_path / "de.csv").write_text("\ufeff" + text.replace(",", ";").replace(".", ","), encoding="utf-8")
    for ours, theirs in zip(
        *(read_prediction_table(tmp_path / name, CLIPS, "x") for name in ("svm.csv", "de.csv")), strict=True
    ):
        np.testing.assert_array_equal(ours.probs, theirs.probs)


def test_probabilities_of_two_decimals_are_normalized_and_others_have_to_fit(tmp_path):
    def read(*cells):
        rows = [r | {f"prob:{n}": c for n, c in zip(NAMES, cells, strict=True)} for r in table_of(tmp_path / "svm.csv")]
        write(tmp_path / "svm.csv", rows)
        return read_prediction_table(tmp_path / "svm.csv", CLIPS, "x")[0].probs[0]

    np.testing.assert_allclose(read("0.27", "0.27", "0.24", "0.24"), np.array([27, 27, 24, 24]) / 102)
    for cells in (("0.2701", "0.27", "0.24", "0.24"), ("0.5", "0.3", "0.1", "0.07")):
        with pytest.raises(PredictionTableError, match="probabilities sum to"):
            read(*cells)


def rename(row, old, new):
    return {new if name == old else name: value for name, value in row.items()}


def drop(row, *names):
    return {name: value for name, value in row.items() if name not in names}


@pytest.mark.parametrize("exchanged", [True, False])
def test_columns_of_exchanged_classes_are_noted(tmp_path, caplog, exchanged):
    rows = table_of(tmp_path / "svm.csv", seeds=range(5), skill=4)
    for row in rows if exchanged else []:
        row["prob:bark"], row["prob:rain"] = row["prob:rain"], row["prob:bark"]
    write(tmp_path / "svm.csv", rows)
    imported(tmp_path, tmp_path / "svm.csv")
    found = [record.getMessage() for record in caplog.records if "order of the class columns" in record.getMessage()]
    assert len(found) == exchanged
    assert all("bark as rain, rain as bark" in message for message in found)


HALVES = np.arange(2000) % 2 == 0


def test_weak_predictions_and_classes_that_take_others_over_are_not_called_exchanged():
    rng = np.random.default_rng(0)
    for n_classes in (2, 10, 50):
        assert exchanged_classes(*rng.integers(n_classes, size=(2, 2000)), HALVES, n_classes) == {}
    targets = np.repeat([0, 1, 2], 100)
    assert exchanged_classes(targets, np.where(targets == 1, 0, targets), HALVES[:300], 3) == {}
    assert exchanged_classes(targets, (targets + 1) % 3, HALVES[:300], 3) == {0: 2, 1: 0, 2: 1}
    assert exchanged_classes(targets[::20], (targets[::20] + 1) % 3, HALVES[:15], 3) == {}, "5 clips each"
    assert exchanged_classes(targets, (targets + 1) % 3, targets == 0, 3) == {}, "each class is in one half"


@pytest.mark.parametrize("n_classes", [10, 50])
def test_all_columns_moved_by_one_are_noticed_where_half_of_the_predictions_are_wrong(n_classes):
    rng = np.random.default_rng(0)
    targets = rng.integers(n_classes, size=2000)
    predicted = np.where(rng.random(2000) < 0.5, targets, rng.integers(n_classes, size=2000))
    assert exchanged_classes(targets, predicted, HALVES, n_classes) == {}
    moved = {(k + 1) % n_classes: k for k in range(n_classes)}
    assert exchanged_classes(targets, (predicted + 1) % n_classes, HALVES, n_classes) == moved


@pytest.mark.parametrize("prefix", ["prob_", "", "p "])
def test_columns_of_classes_without_prob_are_named(tmp_path, prefix):
    rows = table_of(tmp_path / "svm.csv")
    write(tmp_path / "svm.csv", [{name.replace("prob:", prefix): v for name, v in row.items()} for row in rows])
    with pytest.raises(PredictionTableError, match=f"rename '{prefix}{NAMES[0]}' to 'prob:{NAMES[0]}', and the others"):
        read_prediction_table(tmp_path / "svm.csv", CLIPS)


def test_a_column_of_predicted_labels_under_another_name_is_suggested(tmp_path):
    rows = table_of(tmp_path / "svm.csv", labels=True)
    write(tmp_path / "svm.csv", [rename(row, "prediction", "predicted_label") for row in rows])
    with pytest.raises(PredictionTableError, match="rename 'predicted_label' to 'prediction'"):
        read_prediction_table(tmp_path / "svm.csv", CLIPS)


@pytest.mark.parametrize("number", ["2", "2.0"])
def test_a_predicted_number_of_a_class_needs_the_name(tmp_path, number):
    rows = table_of(tmp_path / "svm.csv", labels=True)
    write(tmp_path / "svm.csv", [row | {"prediction": number} for row in rows])
    message = rf"line 2: prediction '{number}' is not a class; write the name .* 0 is 'bark' and 3 is 'siren'\)$"
    with pytest.raises(PredictionTableError, match=message):
        imported(tmp_path, tmp_path / "svm.csv")


def test_numbers_are_no_hint_where_classes_are_called_so():
    assert of_number("12", ("1", "2", "siren")) == ""


def test_a_workbook_of_excel_is_to_be_saved_as_csv(tmp_path):
    (tmp_path / "svm.xlsx").write_bytes(b"PK\x03\x04\x14\x00\x00\x00\x08\x00\x99")
    with pytest.raises(PredictionTableError, match=r"is not UTF-8 text \(byte 0x99\); save it .* 'CSV UTF-8'$"):
        imported(tmp_path, tmp_path / "svm.xlsx")


def test_a_table_of_another_kind_is_refused_and_a_file_names_its_variant(tmp_path):
    with pytest.raises(PredictionTableError, match=r"are of type ndarray; give the path of a CSV file, a DataFrame or"):
        read_prediction_table(np.zeros((48, 4)), CLIPS)
    table_of(tmp_path / "svm.csv")
    assert {run.variant for run in read_prediction_table(str(tmp_path / "svm.csv"), CLIPS)} == {"svm"}


def test_a_label_that_is_no_class_is_refused(tmp_path):
    rows = table_of(tmp_path / "svm.csv", labels=True)
    write(tmp_path / "svm.csv", [rows[0] | {"prediction": "brak"}, *rows[1:]])
    with pytest.raises(PredictionTableError, match="line 2: prediction 'brak' is not a class; did you mean 'bark'"):
        imported(tmp_path, tmp_path / "svm.csv")


def test_other_predictions_of_the_same_run_are_refused(tmp_path):
    table_of(tmp_path / "svm.csv")
    assert imported(tmp_path, tmp_path / "svm.csv") == imported(tmp_path, tmp_path / "svm.csv"), "once more"
    table_of(tmp_path / "svm.csv", skill=0.5)
    with pytest.raises(PredictionTableError, match="has other predictions of it; remove that folder"):
        imported(tmp_path, tmp_path / "svm.csv")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda c: replace(c, fold=1 + c.fold % 3),
            "runs .*/svm-fold.* and .*/other-fold.* differ in the clips that they report: .* (is|are) in one alone",
        ),
        (lambda c: replace(c, label=NAMES[-1] if c.label == NAMES[0] else c.label), "differ in their classes"),
    ],
)
def test_runs_that_could_not_be_compared_with_those_of_the_folder_are_not_written(tmp_path, change, reason):
    columns = {"clip_id": [c.clip_id for c in CLIPS], "prediction": [CLIPS[-1].label] * len(CLIPS)}
    earmark.import_predictions(columns, CLIPS, tmp_path / "runs" / "toy", variant="svm")
    before = sorted(tmp_path.rglob("*"))
    other = [change(c) for c in CLIPS]
    with pytest.raises(PredictionTableError, match=f"toy.*could not be compared; give another folder.*{reason}"):
        earmark.import_predictions(columns, other, tmp_path / "runs" / "toy", variant="other")
    assert sorted(tmp_path.rglob("*")) == before
    earmark.import_predictions(columns, CLIPS, tmp_path / "runs" / "toy", variant="other")
    assert aggregate(read_runs(tmp_path / "runs" / "toy")).n_runs == 6


def test_groups_across_the_folds_of_a_table_are_refused(tmp_path):
    rows = table_of(tmp_path / "svm.csv")
    write(tmp_path / "svm.csv", [r | {"fold": 1 + i % 2} for i, r in enumerate(rows)])
    with pytest.raises(LeakageError, match=r"^fold 1 of the predictions: .* 'source1-0', .* give --split") as error:
        imported(tmp_path, tmp_path / "svm.csv")
    assert "'files'" not in str(error.value) and "split.kind" not in str(error.value)


def test_a_waiver_that_would_do_is_named_and_an_unknown_one_refused(tmp_path):
    table_of(tmp_path / "svm.csv")
    clips = [replace(clip, group="131943") if clip.clip_id.endswith("-00-0") else clip for clip in CLIPS]
    runs = read_prediction_table(tmp_path / "svm.csv", clips, "svm")
    with pytest.raises(LeakageError, match="give --waiver esc50-published-folds"):
        import_predictions(runs, clips, tmp_path / "toy")
    with pytest.raises(SplitError, match="waiver = 'esc50': no such waiver; did you mean 'esc50-published-folds'"):
        import_predictions(runs, clips, tmp_path / "toy", waiver="esc50")
    assert len(import_predictions(runs, clips, tmp_path / "toy", waiver="esc50-published-folds")) == 3
    with pytest.raises(ConfigError, match="waiver = 'esc50-published-folds': leave it out: the split has its own"):
        import_predictions(runs, clips, tmp_path / "other", splits={}, waiver="esc50-published-folds")


def test_a_name_that_is_no_folder_is_said_with_its_argument(tmp_path):
    table_of(tmp_path / "svm.csv")
    with pytest.raises(ConfigError, match=r"^variant = 'my svm': use letters"):
        imported(tmp_path, tmp_path / "svm.csv", "my svm")
    with pytest.raises(ConfigError, match=r"^output = 'my runs\?': use letters"):
        import_predictions(read_prediction_table(tmp_path / "svm.csv", CLIPS, "svm"), CLIPS, tmp_path / "my runs?")


def test_folds_of_the_table_may_be_others_than_the_published_ones(tmp_path):
    rows = table_of(tmp_path / "svm.csv")
    write(tmp_path / "svm.csv", [r | {"fold": r["fold"] % 3 + 1} for r in rows])
    imported(tmp_path, tmp_path / "svm.csv")
    records = read_runs(tmp_path / "toy")
    assert {BY_ID[c].fold % 3 + 1 for r in records for c in r.clip_ids if r.config.fold == 2} == {2}
    assert records[0].result["split"]["kind"] == "files"


def test_a_given_split_is_the_training_subset(tmp_path):
    table_of(tmp_path / "svm.csv", clips=[c for c in CLIPS if c.fold == 2], fold=False)
    train, test = ([c.clip_id for c in CLIPS if c.fold in folds] for folds in ((1,), (2,)))
    split = Split(tuple(train), (), tuple(test), "holdout", 1)
    runs = read_prediction_table(tmp_path / "svm.csv", CLIPS, "svm", fold=1)
    import_predictions(runs, CLIPS, tmp_path / "toy", splits={1: split})
    (record,) = read_runs(tmp_path / "toy")
    assert (record.training_subset_known, record.n_train) == (True, len(train))
    assert not any("trained on" in note for note in notes_on({"svm": [record]}, 30, ()))


def test_a_given_split_that_was_edited_into_a_leak_is_refused(tmp_path):
    train, test = ([c.clip_id for c in CLIPS if c.fold in folds] for folds in ((1,), (2,)))
    table_of(tmp_path / "svm.csv", clips=[c for c in CLIPS if c.clip_id in test[1:]], fold=False)
    runs = read_prediction_table(tmp_path / "svm.csv", CLIPS, "svm", fold=1)
    split = Split((*train, test[0]), (), tuple(test[1:]), "holdout", 1)
    with pytest.raises(LeakageError, match="more than one subset has group"):
        import_predictions(runs, CLIPS, tmp_path / "toy", splits={1: split})
    assert not (tmp_path / "toy").exists()


def test_the_folds_of_a_suite_are_those_of_the_predictions(tmp_path):
    """A leave-one-out of another tool, without a column fold: each row is of the fold that tests the clip."""
    suite, fold_of = tmp_path / "runs", {clip.clip_id: clip.fold for clip in CLIPS}
    for fold in sorted(set(fold_of.values())):
        write_split(make_split(CLIPS, SplitConfig(kind="folds"), fold), CLIPS, suite / f"net-fold{fold}")
    unpublished = [replace(clip, fold=None) for clip in CLIPS]
    table = {"clip_id": list(fold_of), "prediction": [BY_ID[c].label for c in fold_of]}
    earmark.import_predictions(table, unpublished, tmp_path / "toy", variant="svm", split=suite)
    records = read_runs(tmp_path / "toy")
    assert {r.config.fold: set(r.clip_ids) for r in records} == {
        fold: {c for c, f in fold_of.items() if f == fold} for fold in set(fold_of.values())
    }
    assert all(r.training_subset_known for r in records)
    with pytest.raises(PredictionTableError, match=r"fold 9, seed 0: the split has folds 1, 2, .* only"):
        earmark.import_predictions(table | {"fold": [9] * len(fold_of)}, unpublished, tmp_path / "no", split=suite)


def test_a_clip_that_several_folds_test_needs_its_fold(tmp_path):
    ids = [c.clip_id for c in CLIPS]
    splits = {1: Split((), (), tuple(ids[:2]), "files", 1), 2: Split((), (), tuple(ids[1:]), "files", 2)}
    assert [c.fold for c in with_tested_folds(CLIPS[:3], splits)] == [1, None, 2]
    assert [c.fold for c in with_tested_folds(CLIPS[:3], {2: splits[2]})] == [2, 2, 2], "the first is refused by name"


def test_runs_of_one_fold_with_two_splits_are_no_folds(tmp_path):
    for name, test in (("a", CLIPS[:2]), ("b", CLIPS[2:4])):
        write_split(Split((CLIPS[-1].clip_id,), (), tuple(c.clip_id for c in test), "files", 1), CLIPS, tmp_path / name)
    with pytest.raises(SplitError, match="a and b are of one fold and have other splits"):
        read_splits(tmp_path)


def test_the_fold_of_a_learning_curve_is_that_with_all_groups(tmp_path):
    ids = [c.clip_id for c in CLIPS]
    for name, train in (("base-train0.5", ids[4:8]), ("base", ids[4:])):
        write_split(Split(tuple(train), (), tuple(ids[:4]), "files", 1), CLIPS, tmp_path / name)
    assert read_splits(tmp_path)[1].train == tuple(ids[4:])


def test_a_split_with_clips_that_the_manifest_lacks_is_refused(tmp_path):
    ids = [c.clip_id for c in CLIPS]
    write_split(Split(tuple(ids[4:]), (), tuple(ids[:4]), "files", 1), CLIPS, tmp_path / "split")
    table = {"clip_id": ids[:4], "prediction": [c.label for c in CLIPS[:4]]}
    with pytest.raises(PredictionTableError, match=rf"split of fold 1: 1 clip that the manifest lacks \({ids[-1]}\)"):
        earmark.import_predictions(table, CLIPS[:-1], tmp_path / "toy", split=tmp_path / "split")
    assert not (tmp_path / "toy").exists()


@pytest.mark.parametrize("column", ["label", "group"])
def test_a_manifest_that_is_not_that_of_the_split_is_refused(tmp_path, column):
    """Such runs could not be compared with those of the split."""
    ids = [c.clip_id for c in CLIPS]
    write_split(Split(tuple(ids[4:]), (), tuple(ids[:4]), "files", 1), CLIPS, tmp_path / "runs" / "net-fold1")
    table = {"clip_id": ids[:4], "prediction": [c.label for c in CLIPS[:4]]}
    there = getattr(CLIPS[9], column)
    other = next(value for value in sorted({getattr(c, column) for c in CLIPS}) if value != there)
    clips = [replace(c, **{column: other}) if c is CLIPS[9] else c for c in CLIPS]
    message = rf"split\.csv: clip {ids[9]} has the {column} '{there}', but '{other}' in the manifest; give the manifest"
    with pytest.raises(SplitError, match=message):
        earmark.import_predictions(table, clips, tmp_path / "toy", split=tmp_path / "runs")
    assert not (tmp_path / "toy").exists()


def test_a_manifest_of_test_clips_alone_has_the_interval_of_a_hold_out(tmp_path):
    """Which clips train is not known: the assumed effect of the training set is that of a fifth held out."""
    tested = [Clip(c.clip_id, Path("x.wav"), c.label, c.group, 1) for c in make_clips(1, 60)]
    others = [replace(c, clip_id=f"{i}-{c.clip_id}", group="other", fold=2) for c in tested for i in range(4)]
    widths = []
    for clips in (tested, [*tested, *others[:20]], [*tested, *others]):
        for variant, skill in (("a", 1.0), ("b", 2.5)):
            columns = {"clip_id": [c.clip_id for c in tested], "probs": make_probs(tested, seed=1, skill=skill)}
            earmark.import_predictions(columns, clips, tmp_path / f"of{len(clips)}", variant=variant)
        (verdict,) = aggregate(read_runs(tmp_path / f"of{len(clips)}")).verdicts
        widths.append(verdict.judgment.high - verdict.judgment.low)
    assert widths == pytest.approx([widths[2]] * 3) and widths[2] < 0.5


def test_a_fold_of_all_clips_leaves_none_to_train_on(tmp_path, caplog):
    """As with the answers to the training data, which are refused where the others count as training clips."""
    table_of(tmp_path / "svm.csv", fold=False)
    earmark.import_predictions(tmp_path / "svm.csv", CLIPS, tmp_path / "toy", fold=1)
    text = "If any of them was in training, the score is too high"
    assert "fold 1 tests every clip of the manifest; i" + text[1:] in caplog.text
    assert f"svm: every clip of the manifest is a test clip. {text}." in aggregate(read_runs(tmp_path / "toy")).notes
    caplog.clear()
    table_of(tmp_path / "knn.csv")
    earmark.import_predictions(tmp_path / "knn.csv", CLIPS, tmp_path / "folds")
    assert "every clip" not in caplog.text + str(aggregate(read_runs(tmp_path / "folds")).notes)


def test_finished_models_are_judged_as_they_are(tmp_path):
    """Of two models on one test set, the question may be about these models and not about other trainings of them."""
    for folder, as_it_is in (("recipes", False), ("models", True)):
        for variant, skill in (("a", 1.0), ("b", 2.5)):
            columns = {"clip_id": [c.clip_id for c in CLIPS], "probs": make_probs(CLIPS, seed=1, skill=skill)}
            place = {"as_it_is": True} if as_it_is else {"fold": 1}
            earmark.import_predictions(columns, CLIPS, tmp_path / folder, variant=variant, **place)
    recipes, models = (aggregate(read_runs(tmp_path / folder)) for folder in ("recipes", "models"))
    assert not recipes.fixed and any("`earmark import --as-it-is`" in note for note in recipes.notes)
    assert "No variant has several training sets, so " in terminal_text(recipes)
    assert models.fixed and not any("--as-it-is" in note for note in models.notes)
    assert "assumed effect" not in terminal_text(models)
    widths = [c.judgment.high - c.judgment.low for found in (models, recipes) for c in found.verdicts]
    assert widths[0] < 0.7 * widths[1]
    assert recipes.verdicts[0].difference == models.verdicts[0].difference


def test_folds_and_seeds_are_not_of_a_model_as_it_is(tmp_path, capsys):
    table_of(tmp_path / "svm.csv")  # its published folds do not count
    write_manifest(CLIPS, tmp_path / "clips.csv")
    command = ["import", str(tmp_path / "svm.csv"), "--clips", str(tmp_path / "clips.csv"), "--as-it-is"]
    for more, said in ((["--fold", "1"], "as_it_is and fold"), (["--split", "x"], "as_it_is and split")):
        with pytest.raises(SystemExit):
            main([*command, *more, "-o", str(tmp_path / "toy")])
        assert f"{said}: a model as it is has no folds; give one of them" in capsys.readouterr().err
    main([*command, "-o", str(tmp_path / "toy")])
    (record,) = read_runs(tmp_path / "toy")
    assert record.fixed_model and len(record.clip_ids) == len(CLIPS)
    table_of(tmp_path / "svm.csv", seeds=(1, 2))
    with pytest.raises(SystemExit):
        main([*command, "-o", str(tmp_path / "no")])
    assert "as_it_is: svm has 2 runs, and a model as it is has one" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_a_class_of_most_clips_and_a_constant_answer_are_said(tmp_path):
    clips = [replace(c, label=NAMES[0] if i % 10 else NAMES[1]) for i, c in enumerate(CLIPS)]
    for variant, labels in (("constant", [NAMES[0]] * len(clips)), ("perfect", [c.label for c in clips])):
        columns = {"clip_id": [c.clip_id for c in clips], "prediction": labels}
        earmark.import_predictions(columns, clips, tmp_path / "toy", variant=variant, as_it_is=True)
    notes = earmark.aggregate(tmp_path / "toy").notes
    most = 100 * (1 - len(clips[::10]) / len(clips))
    assert any(note.startswith(f"{most:.1f} % of the clips are {NAMES[0]}, so always answering that") for note in notes)
    assert "The same class is predicted for every clip: constant." in notes
    table_of(tmp_path / "svm.csv")
    imported(tmp_path / "even", tmp_path / "svm.csv")
    notes = aggregate(read_runs(tmp_path / "even" / "toy")).notes
    assert not any("always answering" in note or "The same class" in note for note in notes)


def test_arrays_and_data_frames_are_taken(tmp_path):
    probs = make_probs(CLIPS, seed=1)
    columns = {"clip_id": [c.clip_id for c in CLIPS], "probs": probs}
    folders = earmark.import_predictions(columns, CLIPS, tmp_path / "toy", variant="arrays")
    content = read_predictions(folders[0] / "predictions.csv", NAMES)
    wanted = [i for i, c in enumerate(CLIPS) if c.fold == 1]
    np.testing.assert_allclose(content.probs, probs[wanted], atol=1e-8)

    class Frame:  # as much of pandas as is used
        columns = ("clip_id", "prediction", "seed")

        def to_dict(self, orient):
            assert orient == "records"
            return [{"clip_id": c.clip_id, "prediction": c.label, "seed": float("nan")} for c in CLIPS]

    earmark.import_predictions(Frame(), CLIPS, tmp_path / "toy", variant="frame", selected_on="none")
    frame = next(v for v in earmark.aggregate(tmp_path / "toy").variants if v.variant == "frame")
    assert frame.metrics["accuracy"].pooled == 1.0


def test_the_number_0_is_a_name():
    """As in a DataFrame of clips, classes and variants that are numbered."""
    clips = [Clip(str(i), Path(f"{i}.wav"), str(i % 2), str(i), 1) for i in range(4)]
    numbers = {"clip_id": [0, 1, 2, 3], "label": [0, 1, 0, 1], "prediction": [0, 1, 0, 0], "variant": [0, 0, 0, 0]}
    (run,) = read_prediction_table(numbers, clips)
    assert (run.variant, run.clip_ids, run.predicted.tolist()) == ("0", ("0", "1", "2", "3"), [0, 1, 0, 0])
    with pytest.raises(PredictionTableError, match="row 2: 1 has label '0', but '1' in the manifest"):
        read_prediction_table(numbers | {"label": [0, 0, 0, 0]}, clips, "svm")


def test_arrays_of_another_shape_are_refused():
    with pytest.raises(PredictionTableError, match=r"probs has shape \(2, 3\)"):
        read_prediction_table({"clip_id": ["a", "b"], "probs": np.full((2, 3), 1 / 3)}, CLIPS, "x")


def test_importing_needs_no_torch(tmp_path):
    code = "import sys, earmark.runs.import_predictions, earmark.runs.prediction_table; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_result_json_says_what_is_known(tmp_path):
    table_of(tmp_path / "svm.csv", labels=True)
    folder = imported(tmp_path, tmp_path / "svm.csv")[0]
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert (result["format_version"], result["imported"], result["selected_on"]) == (2, True, "none")
    assert result["metrics"]["nll"] is None
    assert "epochs" not in result and not (folder / "timing.json").exists()


@pytest.mark.parametrize(
    ("header", "cells", "problem"),
    [
        ("clip_id,fold,seed,prediction,prediction", "1,0,a,b", "has the column 'prediction' twice"),
        ("clip_id,fold,seed,prediction", "1,1e300,a", "seed '1e300'; give whole numbers from 0"),
    ],
)
def test_a_doubled_column_and_an_absurd_seed_are_refused(tmp_path, header, cells, problem):
    (tmp_path / "t.csv").write_text(f"{header}\n{CLIPS[0].clip_id},{cells.replace('a', NAMES[0])}\n", encoding="utf-8")
    with pytest.raises(PredictionTableError, match=problem):
        read_prediction_table(tmp_path / "t.csv", CLIPS, "x")


def test_more_cells_than_columns_and_blank_lines_have_the_number_of_their_line(tmp_path):
    row, wrong = f"{CLIPS[0].clip_id},{NAMES[0]}", f"{CLIPS[1].clip_id},quack"
    texts = {f"{row}\n\n\n{wrong}": "line 5: prediction 'quack'", f"{row},x": "line 2: more cells than columns"}
    for text, problem in texts.items():
        (tmp_path / "t.csv").write_text(f"clip_id,prediction\n{text}\n", encoding="utf-8")
        with pytest.raises(PredictionTableError, match=problem):
            read_prediction_table(tmp_path / "t.csv", CLIPS)


def test_a_given_variant_is_that_of_all_rows_and_not_of_several(tmp_path):
    rows = [row | {"variant": "tuned"} for row in table_of(tmp_path / "svm.csv", labels=True)]
    write(tmp_path / "svm.csv", rows)
    for given, found in (("svm", "svm"), ("", "tuned")):
        assert {run.variant for run in read_prediction_table(tmp_path / "svm.csv", CLIPS, given)} == {found}
    write(tmp_path / "svm.csv", [rows[0] | {"variant": ""}, *rows[1:]])
    names = {run.variant for run in read_prediction_table(tmp_path / "svm.csv", CLIPS, unnamed="file")}
    assert names == {"file", "tuned"}
    write(tmp_path / "svm.csv", [rows[0] | {"variant": "plain"}, *rows[1:]])
    with pytest.raises(PredictionTableError, match=r"--variant 'svm': .* has 2 variants .*\(plain, tuned\)"):
        read_prediction_table(tmp_path / "svm.csv", CLIPS, "svm")


def write_autrainer(folder, clips, seed):
    """The lists and results of a run as autrainer 0.10 writes them; returns the probabilities of the test clips."""
    for subset, fold in {"train": 3, "dev": 2, "test": 1}.items():
        write(folder / f"{subset}.csv", [{"path": str(c.path), "label": c.label} for c in clips if c.fold == fold])
    run = Path(f"results/esc10/training/ESC-10_AlexNet_Adam_0.001_32_epoch_20_None_None_{seed}", "_test")
    run.mkdir(parents=True)
    probs = make_probs([c for c in clips if c.fold == 1], seed=seed)
    rows = [{"index": i, "predictions": NAMES[p.argmax()]} for i, p in enumerate(probs)]
    for row, p in zip(rows, probs, strict=True):
        row |= {f"probability_{name}": value for name, value in zip(NAMES, p, strict=True)}
    write(run / "test_results.csv", rows[::-1])
    return probs


def test_the_recipe_for_autrainer_gives_a_table_and_its_lists_a_split(tmp_path, monkeypatch):
    """The code of docs/judge.md; autrainer names a clip by the number of its row in test.csv."""
    pytest.importorskip("pandas")
    page = (Path(__file__).parents[2] / "docs" / "judge.md").read_text(encoding="utf-8")
    (recipe,) = [code for block in page.split("```python\n")[1:] if "test_results" in (code := block.split("```")[0])]
    monkeypatch.chdir(tmp_path)
    folder = Path("data", "ESC-10")
    folder.mkdir(parents=True)
    probs = {seed: write_autrainer(folder, CLIPS, seed) for seed in (1, 2, 3, 4, 5)}
    exec(recipe, {})
    split = make_split(CLIPS, SplitConfig(kind="files", path=str(folder)), 1)
    write_split(split, CLIPS, tmp_path / "split")
    earmark.import_predictions("autrainer.csv", CLIPS, "runs", split="split", selected_on="valid")
    records = {r.config.seed: r for r in read_runs(tmp_path / "runs")}
    assert set(records) == set(probs) and records[1].training_subset_known
    tested = [c.clip_id for c in CLIPS if c.fold == 1]
    for seed, record in records.items():
        np.testing.assert_allclose(record.probs, probs[seed][np.argsort(tested)], atol=1e-9)


def without_answers(tmp_path, edit, **settings):
    """Import labels that `edit` has changed; --missing is rain."""
    write(tmp_path / "svm.csv", edit(table_of(tmp_path / "svm.csv", labels=True)))
    return earmark.import_predictions(tmp_path / "svm.csv", CLIPS, tmp_path / "toy", variant="svm", **settings)


@pytest.mark.parametrize("rows_stay", [True, False])
def test_clips_without_an_answer_count_as_a_class(tmp_path, caplog, rows_stay):
    def edit(rows):
        return [r | {"prediction": ""} for r in rows[:2] if rows_stay] + rows[2:]

    without_answers(tmp_path, edit, missing="rain")
    first, *others = read_runs(tmp_path / "toy")
    predicted = {i: NAMES[k] for i, k in zip(first.clip_ids, first.predictions, strict=True)}
    assert [predicted[clip.clip_id] for clip in CLIPS[:2]] == ["rain", "rain"]
    assert [r.result["n_unanswered"] for r in (first, *others)] == [2, 0, 0]
    n_right = sum(clip.label == "rain" for clip in CLIPS[:2])
    assert f"svm: 2 of 48 test clips without a prediction, counted as rain (right for {n_right})" in caplog.text
    (note,) = [note for note in notes_on({"svm": [first, *others]}, 30, ()) if "no answer" in note]
    assert note == "svm gave no answer for 2 of 48 test clips: they count as rain."


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [("rain", "add a row of it to count its clips"), ("", "the score is that of the other folds")],
)
def test_a_fold_without_a_row_is_named_and_not_made_up(tmp_path, caplog, missing, remedy):
    without_answers(tmp_path, lambda rows: [r for r in rows if r["fold"] != 2], missing=missing)
    assert {r.config.fold for r in read_runs(tmp_path / "toy")} == {1, 3}
    assert f"svm: no predictions for fold 2 (16 clips); {remedy}" in caplog.text


@pytest.mark.parametrize(
    ("edit", "settings", "reason"),
    [
        (lambda rows: rows[1:], {}, r"1 test clip without a prediction \(1-00-0\); .* or --missing LABEL"),
        (lambda rows: [rows[0] | {"prediction": ""}, *rows[1:]], {}, "line 2: prediction is empty; .* --missing LABEL"),
        (lambda rows: [rows[0] | {"prediction": "none"}, *rows[1:]], {}, "leave it empty and give --missing LABEL"),
        (lambda rows: rows, {"missing": "rian"}, "--missing 'rian': is not a class; did you mean 'rain'"),
    ],
)
def test_the_option_for_clips_without_an_answer_is_named(tmp_path, edit, settings, reason):
    with pytest.raises(PredictionTableError, match=reason):
        without_answers(tmp_path, edit, **settings)


def test_a_prediction_beside_probabilities_has_to_agree_and_decides_ties(tmp_path):
    rows = table_of(tmp_path / "svm.csv")
    probs = [float(rows[1][f"prob:{name}"]) for name in NAMES]
    worst, best = NAMES[int(np.argmin(probs))], NAMES[int(np.argmax(probs))]
    rows[0] |= {f"prob:{name}": 0.4 if name in NAMES[1:3] else 0.1 for name in NAMES} | {"prediction": NAMES[2]}
    write(tmp_path / "svm.csv", [rows[0], *({**row, "prediction": ""} for row in rows[1:])])
    (run, *_) = read_prediction_table(tmp_path / "svm.csv", CLIPS, "svm", fold=1)
    assert NAMES[run.predicted[run.clip_ids.index(rows[0]["clip_id"])]] == NAMES[2]
    rows[1]["prediction"] = worst
    write(tmp_path / "svm.csv", [rows[0], *({**row, "prediction": row.get("prediction", "")} for row in rows[1:])])
    message = f"line 3: prediction is '{worst}', but '{best}' is more probable; delete the column"
    with pytest.raises(PredictionTableError, match=message):
        read_prediction_table(tmp_path / "svm.csv", CLIPS, "svm", fold=1)


def test_a_prediction_that_decides_a_tie_is_what_is_scored(tmp_path):
    rows = table_of(tmp_path / "svm.csv")
    tie = {f"prob:{name}": 0.4 if name in NAMES[1:3] else 0.2 / (len(NAMES) - 2) for name in NAMES}
    stated = [clip.label if clip.label in NAMES[1:3] else NAMES[2] for clip in CLIPS]
    write(tmp_path / "svm.csv", [{**row, **tie, "prediction": name} for row, name in zip(rows, stated, strict=True)])
    imported(tmp_path, tmp_path / "svm.csv")
    (variant,) = earmark.aggregate(tmp_path / "toy").variants
    assert variant.metrics["accuracy"].pooled == np.mean([clip.label in NAMES[1:3] for clip in CLIPS])
    assert variant.metrics["nll"].pooled is not None


def test_classes_that_are_equally_probable_are_counted(tmp_path, caplog):
    rows = table_of(tmp_path / "svm.csv")
    tie = {f"prob:{name}": 0.4 if name in NAMES[1:3] else 0.2 / (len(NAMES) - 2) for name in NAMES}
    stated = [rows[0] | tie | {"prediction": NAMES[2]}, rows[1] | tie | {"prediction": NAMES[1]}]
    write(tmp_path / "svm.csv", [*stated, rows[2] | tie, *rows[3:]])
    imported(tmp_path, tmp_path / "svm.csv")
    assert (
        "svm: several classes are equally probable for 2 of 48 clips; the first in sorted order counts" in caplog.text
    )


def test_probabilities_are_needed_for_every_clip(tmp_path):
    table_of(tmp_path / "svm.csv")
    with pytest.raises(PredictionTableError, match="--missing 'rain': is for predicted labels"):
        earmark.import_predictions(tmp_path / "svm.csv", CLIPS, tmp_path / "toy", missing="rain")


def test_clips_that_are_missing_in_several_folds_are_counted_together(tmp_path):
    rows = table_of(tmp_path / "svm.csv")
    write(tmp_path / "svm.csv", [row for i, row in enumerate(rows) if i % 8])
    with pytest.raises(PredictionTableError, match="1, seed 0 and 2 other runs: 6 test clips without a prediction"):
        imported(tmp_path, tmp_path / "svm.csv")


@pytest.mark.parametrize("column", ["file", "filename"])
def test_the_column_of_the_recordings_may_have_another_name(tmp_path, column):
    rows = [rename(r, "path", column) for r in table_of(tmp_path / "svm.csv", name="path", fold=False)]
    write(tmp_path / "svm.csv", rows)
    assert len(imported(tmp_path, tmp_path / "svm.csv")) == 3
    write(tmp_path / "svm.csv", [r | {"file": "", "filename": ""} for r in rows])
    with pytest.raises(PredictionTableError, match="neither a column 'clip_id' nor 'path'"):
        read_prediction_table(tmp_path / "svm.csv", CLIPS, "svm")


def test_the_same_predictions_again_are_no_second_look(tmp_path):
    table_of(tmp_path / "svm.csv")
    folders = imported(tmp_path, tmp_path / "svm.csv")
    assert imported(tmp_path, tmp_path / "svm.csv") == folders
    assert len(read_ledger(tmp_path / "ledger.csv")) == 3


@pytest.mark.parametrize("n_written", [0, 1, 2, 3])
def test_an_interrupted_import_leaves_nothing_and_each_run_is_made_once(tmp_path, monkeypatch, n_written):
    made = []

    def interrupted(path, *given):
        if len(made) == n_written:
            raise InterruptedError
        made.append(path)
        write_predictions(path, *given)

    table_of(tmp_path / "svm.csv")
    monkeypatch.setattr("earmark.runs.import_predictions.write_predictions", interrupted)
    if n_written < 3:
        with pytest.raises(InterruptedError):
            imported(tmp_path, tmp_path / "svm.csv")
        assert [path.name for path in tmp_path.iterdir()] == ["svm.csv"]
    else:
        assert len(imported(tmp_path, tmp_path / "svm.csv")) == 3


def test_paths_of_a_split_are_relative_to_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table_of(tmp_path / "svm.csv")
    for folder in imported(tmp_path, tmp_path / "svm.csv"):
        rows = read_table(folder / "split.csv")
        found = {row["clip_id"]: (folder / row["filepath"]).resolve() for row in rows}
        assert found == {clip.clip_id: clip.path.resolve() for clip in CLIPS}
        assert all(row["filepath"].startswith("../../") for row in rows)


def test_columns_of_predictions_may_be_in_capitals(tmp_path):
    clips = [Clip(i, Path(f"{i}.wav"), label, i, 1) for i, label in (("a", "dog"), ("b", "cat"))]
    table = {"Clip_ID": ["a", "b"], "Prediction": ["dog", "dog"], "Seed": [3, 3]}
    (run,) = read_prediction_table(table, clips, "svm")
    assert (run.seed, run.clip_ids, run.predicted.tolist()) == (3, ("a", "b"), [1, 1])


@pytest.mark.parametrize("labels", [True, False])
def test_class_names_of_macos_are_those_of_the_manifest(labels):
    """Letters that a file system takes apart (NFD): the same class."""
    clips = [Clip(i, Path(f"{i}.wav"), label, i, 1) for i, label in (("a", "Gr\u00e8be"), ("b", "Ska\u0308r"))]
    assert clips[1].label == "Sk\u00e4r"
    columns = {"prediction": ["Gre\u0300be", "Ska\u0308r"]} if labels else {}
    probs = {} if labels else {"prob:Gre\u0300be": [1, 0], "prob:Ska\u0308r": [0, 1]}
    table = {"clip_id": ["a", "b"], "label": ["Gre\u0300be", "Sk\u00e4r"], **columns, **probs}
    (run,) = read_prediction_table(table, clips, "svm")
    assert run.predicted.tolist() == [0, 1]
