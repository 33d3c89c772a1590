"""A plan that is written before training: what is missing, added or changed afterwards is said."""

import json
import shutil
from dataclasses import replace

import pytest

from earmark.analysis.aggregate import aggregate
from earmark.analysis.merge import read_folders
from earmark.analysis.plan_file import PlanEntry, PlanError, RunKey, extend_plan, read_plan
from earmark.analysis.plan_notes import describe
from earmark.analysis.records import read_runs
from earmark.analysis.tables import results_markdown
from run_folders import write_suite

FOLDS, SEEDS, VARIANTS = range(1, 6), (1, 2, 3), ("none", "se")


@pytest.fixture
def toy(tmp_path):
    return write_suite(tmp_path)


def entry_of(folder, n_results=0, **changes):
    """The plan of all runs that are in a folder now."""
    runs = {r.id: RunKey(r.variant, *r.fold_seed) for r in read_runs(folder)}
    entry = PlanEntry("2026-01-01T00:00:00+00:00", n_results, "accuracy", "", {"train.lr": 0.003}, {}, runs)
    return replace(entry, **{"variants": {name: {"model.attention": name} for name in VARIANTS}, **changes})


def remove(folder, pattern):
    for run in [*folder.glob(pattern)]:
        shutil.rmtree(run)


def notes(folder, *arguments):
    return [n for n in aggregate(read_runs(folder), *arguments).notes if "plan" in n.lower()]


def test_a_plan_that_was_kept_needs_no_note(toy):
    extend_plan(toy, entry_of(toy))
    assert notes(toy) == []


def test_without_a_plan_nothing_is_said(toy):
    assert read_plan(toy) is None
    assert notes(toy) == []


@pytest.mark.parametrize(
    ("removed", "text"),
    [
        (["*-fold2-*"], "24 of 30 planned runs: fold 2 is missing."),
        (["*-seed3-*"], "20 of 30 planned runs: seed 3 is missing."),
        (["*-fold2-*", "*-seed3-*"], "16 of 30 planned runs: fold 2, seed 3 are missing."),
        (["se-*"], "15 of 30 planned runs: variant se is missing."),
        (["se-fold4-seed2-*"], "29 of 30 planned runs: se fold 4 seed 2 is missing."),
    ],
)
def test_what_was_removed_from_all_variants_is_named(toy, removed, text):
    extend_plan(toy, entry_of(toy))
    for pattern in removed:
        remove(toy, pattern)
    assert notes(toy) == [text]
    assert text in results_markdown(aggregate(read_runs(toy)))


def test_runs_outside_the_plan_are_named(toy, tmp_path):
    entry = entry_of(toy)
    extend_plan(toy, replace(entry, runs={run: place for run, place in entry.runs.items() if place.variant == "none"}))
    assert notes(toy) == ["15 runs of se not in the plan of the suite."]


def test_the_plan_gives_metric_and_baseline_and_others_are_named(toy):
    extend_plan(toy, entry_of(toy, metric="uar", baseline="se"))
    result = aggregate(read_runs(toy))
    assert result.metric == "uar"
    assert [(c.variant, c.baseline) for c in result.verdicts] == [("none", "se")]
    assert notes(toy) == []
    assert notes(toy, "accuracy", "") == [
        "This comparison is by accuracy; the plan of the suite is by uar.",
        "This comparison has no baseline; the plan of the suite has the baseline se.",
    ]


@pytest.mark.parametrize(("other", "metric"), [("uar", "uar"), ("accuracy", "accuracy")])
def test_several_plans_give_the_metric_on_which_they_agree(toy, tmp_path, other, metric):
    second = tmp_path / "second" / "toy"
    shutil.copytree(toy, second)
    extend_plan(toy, entry_of(toy, metric="uar", baseline="se"))
    extend_plan(second, entry_of(second, metric=other))
    result = aggregate(read_folders([toy, second]))
    assert result.metric == metric and len(result.variants) == 4


def test_a_planned_baseline_whose_runs_are_gone_is_named(toy):
    extend_plan(toy, entry_of(toy, baseline="se"))
    remove(toy, "se-*")
    assert notes(toy)[1] == "This comparison has no baseline; the plan of the suite has the baseline se."


# --- history


def test_seeds_that_were_added_after_results_are_named(toy):
    everything = entry_of(toy)
    first = {run: place for run, place in everything.runs.items() if place.seed < 3}
    extend_plan(toy, replace(everything, runs=first))
    extend_plan(toy, replace(everything, n_results=20))
    assert notes(toy) == ["Added to the plan when 20 results existed: 10 runs (seed 3)."]
    plan = read_plan(toy)
    assert plan.first.runs == first, "the history is kept"
    assert len(plan.runs) == 30


def test_settings_and_choices_that_changed_after_results_are_named(toy):
    extend_plan(toy, entry_of(toy))
    again = entry_of(toy)
    runs = {f"new-{run}": place for run, place in again.runs.items() if place.variant == "se"}
    variants = {"none": {"train.lr": 0.003}, "se": {"train.lr": 0.001}}
    changed = replace(again, n_results=30, metric="uar", baseline="none", shared={}, variants=variants, runs=runs)
    extend_plan(toy, changed)
    (text,) = notes(toy)
    assert text.startswith(
        "Added to the plan when 30 results existed: 15 runs (variant se); metric uar instead of metric accuracy"
    )
    assert "baseline none instead of none" not in text
    assert "baseline none instead of no baseline" in text
    assert "train.lr = 0.001 instead of 0.003 for se" in text


def test_until_the_first_result_a_new_plan_replaces_the_old_one(toy):
    entry = entry_of(toy)
    extend_plan(toy, replace(entry, runs={**entry.runs, "x": RunKey("se", 99, 1)}, metric="uar"))
    extend_plan(toy, entry)
    assert len(json.loads((toy / "plan.json").read_text(encoding="utf-8"))["entries"]) == 2
    assert notes(toy) == []


def test_until_the_first_result_a_narrower_plan_replaces_the_old_one(toy):
    entry = entry_of(toy)
    extend_plan(toy, replace(entry, runs={**entry.runs, "x": RunKey("se", 99, 1)}))
    extend_plan(toy, entry)
    extend_plan(toy, entry)
    assert len(json.loads((toy / "plan.json").read_text(encoding="utf-8"))["entries"]) == 2
    assert notes(toy) == []


def test_with_results_an_equal_or_narrower_plan_writes_nothing(toy):
    entry = entry_of(toy)
    extend_plan(toy, entry)
    before = (toy / "plan.json").stat().st_mtime_ns
    extend_plan(toy, replace(entry, n_results=30))
    extend_plan(toy, replace(entry, runs=dict([*entry.runs.items()][:3]), n_results=30))
    assert (toy / "plan.json").stat().st_mtime_ns == before


def test_a_plan_written_over_old_results_says_so(toy):
    extend_plan(toy, entry_of(toy, n_results=12))
    assert notes(toy) == ["The plan of the suite was written when 12 results existed already."]


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ('{"format_version": 9, "entries": []}', "format_version = 9"), ("{}", "lacks the key")],
)
def test_a_damaged_plan_is_refused(toy, text, message):
    (toy / "plan.json").write_text(text, encoding="utf-8")
    with pytest.raises(PlanError, match=message):
        aggregate(read_runs(toy))


def test_description_of_runs():
    everything = {RunKey(v, f, s) for v in "ab" for f in (1, 2) for s in (1, 2)}
    assert describe({p for p in everything if p.variant == "a"}, everything) == "variant a"
    assert describe({RunKey("a", 1, 2)}, everything) == "a fold 1 seed 2"
    assert describe({p for p in everything if p.fold == 1 or p.seed == 2}, everything) == "fold 1, seed 2"
