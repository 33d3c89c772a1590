"""References in tables and report, and variants that do not beat them."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from earmark.analysis import floor
from earmark.analysis.aggregate import aggregate
from earmark.analysis.compare import joint_model
from earmark.analysis.json_results import results_json
from earmark.analysis.latex import results_latex
from earmark.analysis.notes import floor_notes
from earmark.analysis.records import RunError, read_runs
from earmark.analysis.rows import headline_table, metric_table
from earmark.analysis.tables import results_markdown, terminal_text
from earmark.report.page import write_report
from run_folders import NAMES, make_clips, write_suite

CLIPS = make_clips(5)
COLUMNS = ("fold", "clip_id", "label", "majority", "band_statistics", "shortcuts")


def suite(tmp_path, right=0.6, shortcuts=True, clips=CLIPS, missing=None):
    """A good and a useless variant above references; band statistics know a fraction `right` of the labels."""
    folder = write_suite(tmp_path, {"bad": 0.1, "good": 4.0}, 5, (1, 2), clips=CLIPS)
    rng = np.random.default_rng(0)
    with (folder / "floor.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for c in clips:
            wrong = NAMES[(NAMES.index(c.label) + 1) % len(NAMES)]
            band = c.label if rng.random() < right else wrong
            writer.writerow([c.fold, c.clip_id, c.label, NAMES[0], band, wrong if shortcuts else ""])
    (folder / "floor.json").write_text(json.dumps({"missing": missing or {}}))
    return folder


def test_references_are_rows_below_the_variants(tmp_path):
    result = aggregate(read_runs(suite(tmp_path)))
    for table in (headline_table(result), metric_table(result, "uar")):
        names = [row[0].text for row in table.rows]
        references = ["most frequent class (reference)", "band statistics (reference)", "shortcuts (reference)"]
        assert names == ["bad", "good", *references]
        assert all(len(row) == len(table.header) for row in table.rows)
    majority, bands, shortcuts = result.references.references
    assert (majority.accuracy, majority.uar, shortcuts.accuracy) == (0.25, 0.25, 0.0)
    assert 0.4 < bands.accuracy < 0.8
    assert len(result.comparisons) == 2, "references are no contestants"
    assert "References need no network" in results_markdown(result)


def test_references_are_below_a_rule_in_latex(tmp_path):
    tex = results_latex(aggregate(read_runs(suite(tmp_path))), "").split(r"\begin{table}")[1]
    variants, references = tex.split(r"\midrule")[1:]
    assert variants.strip().startswith("bad & ") and "good & " in variants
    assert references.strip().startswith(r"most frequent class & 25.0 & 25.0 & -- & -- & -- \\")
    assert "Below the rule: references without a network." in tex


@pytest.mark.parametrize("rights", [(0.3, 0.8), (0.8, 0.3)])
def test_the_floor_of_several_folders_is_the_highest_whatever_their_names(tmp_path, rights):
    bad, good = (
        [run for run in read_runs(suite(tmp_path / name, right)) if run.config.variant == variant]
        for name, right, variant in zip("ab", rights, ("bad", "good"), strict=True)
    )
    found = floor.find_floor({"bad": bad, "good": good}, "accuracy")
    bands = next(r for r in found.references if r.name == "band statistics")
    assert bands.accuracy > 0.6 and {check.reference for check in found.checks} == {"band statistics"}


def test_a_variant_that_does_not_beat_the_floor_is_named(tmp_path):
    result = aggregate(read_runs(suite(tmp_path)))
    assert {c.variant: c.beaten for c in result.references.checks} == {"bad": False, "good": True}
    (note,) = [note for note in result.notes if "floor" in note]
    start = "Worse than the floor, band statistics, which needs no network: bad"
    assert re.fullmatch(rf"{start} \(−[0-9.]+ points, 95 % interval .*\)\.", note)
    assert "good beats it" in terminal_text(result)
    assert [c["beaten"] for c in results_json(result)["floor"]] == [False, True]


def test_a_single_seed_beside_several_is_checked_by_the_run_that_there_is(tmp_path, monkeypatch):
    """Repeated for every seed of the others, it would seem to show that seeds change nothing."""
    models, clips = [], make_clips(1, 40)
    monkeypatch.setattr(floor, "joint_model", lambda *args: models.append(joint_model(*args)) or models[-1])
    write_suite(tmp_path, {"net": 1.2}, 1, (1, 2, 3, 4, 5), clips=clips)
    folder = write_suite(tmp_path, {"svm": 1.2}, 1, (0,), clips=clips, imported=True)
    with (folder / "floor.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *((1, c.clip_id, c.label, NAMES[0], "", "") for c in clips)])
    (folder / "floor.json").write_text(json.dumps({"missing": {}}))
    assert {c.variant for c in aggregate(read_runs(folder)).references.checks} == {"net", "svm"}
    runs = models[-1].runs
    n_runs = np.isfinite(runs.right).any(axis=2).sum(axis=1)
    assert dict(zip(runs.names, n_runs, strict=True)) == {"net": 5, "svm": 1, "reference_most_frequent_class": 6}
    assert not runs.repeated


def test_a_floor_that_is_nearly_reached_is_not_beaten(tmp_path):
    result = aggregate(read_runs(suite(tmp_path, right=1.0)))
    assert {c.beaten for c in result.references.checks} == {False}
    assert "None of them is shown to beat the floor" in terminal_text(result)


@pytest.mark.parametrize("names", [("good",), ("bad", "good"), ("bad", "good", "mid")])
def test_that_nothing_beats_the_floor_is_said_once(tmp_path, names):
    """The headline, a line of its own and a note said it."""
    skills = {"bad": 1.2, "mid": 1.4, "good": 1.5}
    folder = write_suite(tmp_path, {name: skills[name] for name in names}, 5, (1, 2), clips=CLIPS)
    with (folder / "floor.csv").open("w", newline="", encoding="utf-8") as file:
        missed = [c.fold + int(c.clip_id[-1]) >= 6 for c in CLIPS]
        bands = [NAMES[(NAMES.index(c.label) + wrong) % len(NAMES)] for c, wrong in zip(CLIPS, missed, strict=True)]
        rows = ((c.fold, c.clip_id, c.label, NAMES[0], band, "") for c, band in zip(CLIPS, bands, strict=True))
        csv.writer(file).writerows([COLUMNS, *rows])
    (folder / "floor.json").write_text(json.dumps({"missing": {}}))
    records = read_runs(folder)
    result = aggregate(records)
    assert {c.beaten for c in result.references.checks} == {False}
    assert not any(c.worse for c in result.references.checks)
    write_report(records, tmp_path / "report.html")
    for text in (terminal_text(result), results_markdown(result), (tmp_path / "report.html").read_text("utf-8")):
        assert text.count("shown to beat") == 1
        assert text.count("Differences from the floor, band statistics (") == 1


@pytest.mark.parametrize("names", [("bad",), ("bad", "poor")])
def test_the_headline_says_so_where_all_are_worse_than_the_floor(tmp_path, names):
    folder = suite(tmp_path, right=1.0)
    kept = [run for run in read_runs(folder) if run.variant == "bad"]
    records = [replace(run, config=replace(run.config, variant=name)) for name in names for run in kept]
    text = " ".join(terminal_text(aggregate(records)).split())
    who = "It is" if len(names) == 1 else "All of them are"
    assert f"{who} worse than the floor, band statistics." in text
    assert "shown to beat" not in text


def test_the_report_has_the_references_as_rows_and_lines(tmp_path):
    write_report(read_runs(suite(tmp_path)), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("band statistics") >= 4
    assert "chance 25.0" in page
    assert "Worse than the floor, band statistics" in page


def test_a_missing_reference_is_named_with_its_reason(tmp_path):
    result = aggregate(read_runs(suite(tmp_path, shortcuts=False, missing={"shortcuts": "no recordings"})))
    assert [r.name for r in result.references.references] == ["most frequent class", "band statistics"]
    assert "Reference without a score: shortcuts (no recordings)." in result.notes


@pytest.mark.parametrize("what", ["none", "incomplete"])
def test_without_a_floor_of_these_clips_a_line_says_so(tmp_path, what):
    folder = suite(tmp_path, clips=CLIPS[1:])
    if what == "none":
        (folder / "floor.csv").unlink()
    result = aggregate(read_runs(folder))
    assert result.references.references == ()
    assert "There is no reference without a network" in terminal_text(result)


def test_a_damaged_floor_is_named(tmp_path):
    folder = suite(tmp_path)
    (folder / "floor.csv").write_text("fold\n1\n")
    with pytest.raises(RunError, match=r"floor\.csv: cannot be read.*delete it"):
        aggregate(read_runs(folder))


def test_an_interval_of_half_the_scale_is_no_result():
    """Two folds of eight clips: anything is possible, which -100 to +100 says in the form of a measurement."""
    reference = floor.Reference("band statistics", 0.6, 0.6)
    wide, narrow = (floor.FloorCheck("none", "band statistics", -0.1, -reach, reach) for reach in (0.9, 0.3))
    texts = [floor_notes(floor.Floor((reference,), (check,)), "accuracy")[0] for check in (wide, narrow)]
    assert "none (−10.0 points; too few folds and groups for an interval)" in texts[0]
    assert "none (−10.0 points, 95 % interval −30.0 to +30.0)" in texts[1]
