"""Folders of runs in one comparison, seeds that are numbered differently, and the comparison as JSON."""

import json
from dataclasses import replace

import numpy as np
import pytest

from earmark.analysis.aggregate import aggregate
from earmark.analysis.compare import joint_model
from earmark.analysis.headline import headline
from earmark.analysis.json_results import write_results_json
from earmark.analysis.latex import results_latex
from earmark.analysis.merge import pair_seeds, read_folders
from earmark.analysis.records import RunError, read_runs
from earmark.config.sections import SplitConfig
from earmark.config.suite import RunConfig
from earmark.report.page import write_report
from earmark.report.results import differences_section
from run_folders import make_clips, write_suite

CLIPS = make_clips(3)


def suite(runs, name, skills, seeds=(1, 2), clips=CLIPS, **changes):
    n_folds = max(c.fold for c in clips)
    return write_suite(runs, skills, n_folds, seeds, clips=clips, base=RunConfig(name=name), **changes)


def test_folders_of_other_suites_are_one_comparison(tmp_path):
    a, b = suite(tmp_path, "a", {"none": 1.0}), suite(tmp_path, "b", {"se": 3.0})
    with pytest.raises(RunError, match=r"2 suites .* `earmark compare`"):
        aggregate(read_runs(tmp_path))
    result = aggregate(read_folders([a, b]))
    assert result.name == "a+b"
    assert [v.variant for v in result.variants] == ["none", "se"]
    assert result.verdicts[0].n_pairs == 6


def test_many_names_are_counted_and_not_digested(tmp_path):
    folders = [suite(tmp_path, f"{letter}{'x' * 29}", {f"{letter}-net": 1.0}, seeds=(1,)) for letter in "abcd"]
    (name,) = {record.config.name for record in read_folders(folders)}
    assert name == f"a{'x' * 29}+b{'x' * 29} and 2 more"
    folders = [suite(tmp_path, f"{letter}{'x' * 79}", {f"{letter}-net": 1.0}, seeds=(1,)) for letter in "ab"]
    (name,) = {record.config.name for record in read_folders(folders)}
    assert name.startswith("axxx") and name.endswith(" and 1 more") and len(name) <= 80


def test_one_name_in_two_folders_is_prefixed(tmp_path):
    a, b = suite(tmp_path, "a", {"none": 1.0, "se": 1.0}), suite(tmp_path, "b", {"none": 1.0})
    assert {r.variant for r in read_folders([a, b])} == {"a.none", "b.none", "se"}


def test_a_learning_curve_keeps_its_variant_where_that_is_prefixed(tmp_path):
    """The points were not prefixed, and the curve was gone without a word."""
    a, b = suite(tmp_path, "a", {"none": 3.0}), suite(tmp_path, "b", {"none": 1.0})
    half = RunConfig(name="a", split=SplitConfig(train_fraction=0.5))
    write_suite(tmp_path, {"none-train0.5": 1.0}, 3, (1, 2), clips=CLIPS, base=half)
    (curve,) = aggregate(read_folders([a, b])).curves
    assert curve.variant == "a.none" and [point.fraction for point in curve.points] == [0.5, 1.0]


def test_folders_of_one_name_are_told_apart_by_their_paths(tmp_path):
    a, b = suite(tmp_path / "old", "a", {"none": 1.0}), suite(tmp_path / "new", "a", {"none": 1.0})
    assert {r.variant for r in read_folders([a, b])} == {"old_a.none", "new_a.none"}


def test_the_end_of_one_path_may_be_another_path(tmp_path, monkeypatch):
    suite(tmp_path, "a", {"none": 1.0})
    b = suite(tmp_path / "x", "a", {"none": 1.0})
    monkeypatch.chdir(tmp_path)
    variants = {r.variant for r in read_folders(["a", b])}
    assert variants == {f"{tmp_path.name}_a.none", "x_a.none"}


@pytest.mark.parametrize("inside", [True, False])
def test_a_folder_given_twice_is_refused(tmp_path, inside):
    a = suite(tmp_path, "a", {"none": 1.0})
    with pytest.raises(RunError, match="given twice, or lies in another"):
        read_folders([a, tmp_path if inside else a])


def test_other_clips_are_refused(tmp_path):
    a, b = suite(tmp_path, "a", {"none": 1.0}), suite(tmp_path, "b", {"se": 1.0}, clips=CLIPS[1:])
    with pytest.raises(RunError, match=r"of one fold and differ in .*"):
        aggregate(read_folders([a, b]))


def test_other_groups_are_refused(tmp_path):
    regrouped = [replace(c, group=f"{c.group}x") for c in CLIPS]
    a, b = suite(tmp_path, "a", {"none": 1.0}), suite(tmp_path, "b", {"se": 1.0}, clips=regrouped)
    with pytest.raises(RunError, match=r"differ in the group of \d+ clips \("):
        aggregate(read_folders([a, b]))


def test_seeds_of_other_numbers_are_paired_in_order(tmp_path):
    a = suite(tmp_path, "a", {"none": 1.0}, seeds=(1, 2, 3))
    b = suite(tmp_path, "b", {"se": 1.0}, seeds=(42, 123, 999))
    result = aggregate(read_folders([a, b]))
    assert result.verdicts[0].n_pairs == 9
    assert any("different seeds" in note for note in result.notes)
    assert not any("lacks" in note for note in result.notes)
    assert {v.variant: v.seeds for v in result.variants} == {"none": (1, 2, 3), "se": (42, 123, 999)}
    section = differences_section(result)
    for caption in (section.lead, results_latex(result, "What was done.")):
        assert "same fold and seed" not in caption and "in the order of their seeds" in caption


def test_one_run_per_fold_of_each_variant_has_no_note_on_seeds(tmp_path):
    """Which runs are a pair is plain, as with predictions of another tool, which have no seed."""
    a = suite(tmp_path, "a", {"none": 1.0}, seeds=(42,))
    b = suite(tmp_path, "b", {"svm": 1.0}, seeds=(0,), imported=True)
    result = aggregate(read_folders([a, b]))
    assert result.verdicts[0].n_pairs == 3
    assert not any("seeds" in note or "lacks" in note for note in result.notes), result.notes


def test_a_single_seed_is_paired_with_every_seed(tmp_path):
    a = suite(tmp_path, "a", {"none": 1.0}, seeds=(1, 2, 3))
    b = suite(tmp_path, "b", {"se": 1.0}, seeds=(42,))
    records = read_folders([a, b])
    paired, _ = pair_seeds({name: [r for r in records if r.variant == name] for name in ("none", "se")})
    assert [r.fold_seed for r in paired["se"]] == [(fold, seed) for fold in (1, 2, 3) for seed in (0, 1, 2)]
    assert joint_model(paired, "accuracy").runs.repeated == {("se", fold) for fold in (1, 2, 3)}
    summaries = {v.variant: v for v in aggregate(records).variants}
    assert summaries["se"].n_runs == 3, "its own score has the runs that there are"


def test_a_single_seed_beside_several_keeps_its_own_interval(tmp_path):
    """It is paired with every seed, but its score has been measured with one."""
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    for runs in (alone, beside):
        suite(runs, "a", {"svm": 1.0}, seeds=(0,), imported=True)
    suite(beside, "a", {"net": 1.0}, seeds=(1, 2, 3, 4, 5))
    intervals = []
    for runs in (alone, beside):
        (svm,) = (v for v in aggregate(read_runs(runs)).variants if v.variant == "svm")
        intervals.append([svm.metrics[m].interval for m in ("accuracy", "uar", "nll")])
    np.testing.assert_allclose(intervals[1], intervals[0])


def test_runs_that_are_missing_in_one_fold_cost_no_seed_of_the_others(tmp_path):
    """Other numbers of seeds: one run each in some folds, and three in the others."""
    a = suite(tmp_path, "a", {"none": 1.0}, seeds=(1, 2, 3))
    b = suite(tmp_path, "b", {"se": 1.0}, seeds=(7, 8, 9))
    runs = [r for r in read_folders([a, b]) if r.config.fold != 1 or r.config.seed in (1, 7)]
    (found,) = aggregate(runs).verdicts
    assert found.judgment is not None
    assert found.n_pairs == 7 and not found.judgment.seeds_assumed


def test_shared_seeds_stay_as_they_are(tmp_path):
    suite(tmp_path, "a", {"none": 1.0}, seeds=(1, 2, 3))
    suite(tmp_path, "a", {"se": 1.0}, seeds=(1, 3))
    result = aggregate(read_runs(tmp_path))
    assert result.verdicts[0].n_pairs == 6
    assert any("se lacks 3 of 9 runs" in note for note in result.notes)


@pytest.mark.parametrize(("seeds", "others"), [((1, 2, 3), [(7, 8, 9), (3, 4, 5)]), ((1, 2, 3), [(9,), (1,)])])
def test_the_numbers_of_seeds_decide_nothing(tmp_path, seeds, others):
    found = []
    for i, numbers in enumerate(others):
        suite(tmp_path / str(i), "a", {"none": 1.0}, seeds=seeds)
        suite(tmp_path / str(i), "a", {"se": 1.0}, seeds=others[0])
        records = [
            replace(r, config=replace(r.config, seed=numbers[others[0].index(r.config.seed)]))
            if r.variant == "se"
            else r
            for r in read_runs(tmp_path / str(i))
        ]
        (comparison,) = aggregate(records).verdicts
        assert comparison.n_pairs == 9
        found.append([comparison.difference, comparison.judgment.low, comparison.judgment.high])
    np.testing.assert_allclose(found[0], found[1])


def test_pairs_without_a_common_run_are_named(tmp_path):
    records = read_runs(suite(tmp_path, "s", {"a": 1.0, "b": 1.0, "c": 1.0}, clips=make_clips(4)))
    folds = {"a": (1, 2), "b": (3, 4), "c": (1, 2, 3, 4)}
    found = aggregate([r for r in records if r.config.fold in folds[r.variant]])
    assert found.uncompared == (("b", "a"),) and len(found.verdicts) == 2
    text = headline(found)
    assert text.endswith("Without a run of the same fold and seed, and so not compared: b and a.")
    assert "cannot tell the 3 variants apart" not in text


def test_json_has_variants_and_verdicts(tmp_path):
    a = aggregate(read_runs(suite(tmp_path, "a", {"none": 0.2, "se": 3.0})))
    write_results_json(a, tmp_path / "out" / "v.json")
    content = json.loads((tmp_path / "out" / "v.json").read_text(encoding="utf-8"))
    first = content["variants"][0]
    assert first["variant"] == "none"
    assert first["metrics"]["accuracy"]["value"] == a.variants[0].metrics["accuracy"].pooled
    better = content["comparisons"][0]
    assert (better["a"], better["b"], better["metric"], better["verdict"]) == ("se", "none", "accuracy", "better")
    assert 0 < better["low"] < better["difference"] < better["high"]
    assert better["p_better"] + better["p_equal"] + better["p_worse"] == pytest.approx(1)


def test_too_few_groups_are_undecided_in_json(tmp_path):
    few = [replace(c, group="one") for c in CLIPS]
    a = aggregate(read_runs(suite(tmp_path, "a", {"none": 0.2, "se": 3.0}, clips=few)))
    write_results_json(a, tmp_path / "v.json")
    comparison = json.loads((tmp_path / "v.json").read_text(encoding="utf-8"))["comparisons"][0]
    assert (comparison["verdict"], comparison["low"], comparison["p_better"]) == ("undecided", None, None)


def test_runs_without_split_csv_are_read_and_reported(tmp_path):
    """As benchmarks/export_results.py writes them."""
    folder = suite(tmp_path, "a", {"none": 1.0, "se": 1.0})
    full = aggregate(read_runs(folder))
    for record in read_runs(folder):
        path = record.folder / "result.json"
        added = {"n_train": record.n_train, "subsets_digest": record.subsets_digest}
        path.write_text(json.dumps(json.loads(path.read_text()) | added))
        (record.folder / "split.csv").unlink()
    assert aggregate(read_runs(folder)) == full
    write_report(read_runs(folder), tmp_path / "r.html")
    assert "se" in (tmp_path / "r.html").read_text(encoding="utf-8")
