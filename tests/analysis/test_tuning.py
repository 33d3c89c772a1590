"""The files of a search and what is said of it: numbers by hand, damage by name, settings as text on the page."""

import json
import re
from dataclasses import replace

import pytest

from earmark.analysis.aggregate import aggregate
from earmark.analysis.merge import read_folders
from earmark.analysis.records import RunError, read_runs
from earmark.analysis.tuning import Choice, TrialRow, Tuning, TuningError, read_trials, read_tuning, write_tuning
from earmark.analysis.tuning_tables import (
    choices_table,
    ends_text,
    scores_of_choices,
    search_text,
    stability_text,
    ties_text,
    worth_table,
    worth_text,
)
from earmark.config.search import TunedConfig, tuned_name
from earmark.config.suite import RunConfig
from earmark.report.tuning import tuning_section
from run_folders import write_suite


def choice(fold, rate, score, default=0.5, corrected=0.55):
    settings = {"train.lr": rate, "model.name": "<b>"}
    return Choice("base", fold, 80, 20, 3, fold, 10, settings, score, default, 0.4, corrected)


TUNING = Tuning(
    suite="toy", mode="nested", strategy="random", metric="accuracy", inner_folds=2, trials=3, minutes=0.0, seed=0,
    search="abc", space={"train.lr": "0.001 to 0.1", "model.name": '"<b>", "c"'}, finished=True,
    choices=(choice(1, 0.01, 0.6), choice(2, 0.02, 0.7)),
)  # fmt: skip
ROWS = [
    TrialRow("base", fold, trial, 10, None if trial == 2 else 0.5 + 0.05 * trial, 1.0, 3.5, "", {"train.lr": 0.1})
    for fold in (1, 2)
    for trial in range(3)
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tuning").mkdir()
    write_tuning(tmp_path / "tuning", TUNING, ROWS)
    return tmp_path


def test_files_are_read_back_as_they_were_written(folder):
    assert read_tuning(folder) == TUNING and read_trials(folder) == ROWS
    assert read_tuning(folder / "tuning") is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("choices", [{"variant": "a"}], r"tuning\.json lacks the key 'choices\[0\]\.fold'"),
        ("trials", "many", r"tuning\.json: trials = \"many\" must be a whole number"),
        ("format_version", 9, "was written by another version"),
        ("mode", "thrice", "mode = 'thrice'; run `earmark tune` again"),
        ("metric", "macro_f1", "metric = 'macro_f1'; run"),
        ("strategy", "", "strategy = ''; run"),
        ("space", {"train.lr": "", "train.epochs": ""}, "a choice lacks a searched setting; run"),
    ],
)
def test_damage_is_named_with_the_remedy(folder, key, value, message):
    path = folder / "tuning" / "tuning.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(TuningError, match=message):
        read_tuning(folder)
    (folder / "tuning" / "trials.csv").write_text("variant,fold\nbase,1\n")
    with pytest.raises(TuningError, match=r"trials\.csv lacks the column 'trial'.*run `earmark tune` again"):
        read_trials(folder)


@pytest.mark.parametrize("where", ["", "toy-nested"])
def test_a_folder_without_results_names_what_comes_next(tmp_path, where):
    suite = tmp_path / where
    suite.mkdir(exist_ok=True)
    with pytest.raises(RunError, match=r"no finished run .*; `earmark suite` trains runs"):
        read_runs(tmp_path)
    unfinished = f"the search in {suite / 'tuning'} is unfinished: repeat its `earmark tune`"
    for tuning in (replace(TUNING, finished=False), TUNING):  # without tuned.toml, it was stopped at the end
        write_tuning(suite / "tuning", tuning, ROWS)
        with pytest.raises(RunError, match=re.escape(unfinished)):
            read_runs(tmp_path)
    (suite / "tuned.toml").write_text("")
    with pytest.raises(RunError, match=re.escape(f"not trained yet: `earmark suite {suite / 'tuned.toml'}`")):
        read_runs(tmp_path)
    (suite / "tuning" / "tuning.json").write_text("{")
    with pytest.raises(RunError, match=re.escape(unfinished)):
        read_runs(tmp_path)


def test_scores_of_trials_that_are_none_are_named(folder, tmp_path):
    write_tuning(folder / "tuning", TUNING, [replace(ROWS[0], score=float("nan"))])
    with pytest.raises(TuningError, match=r"trials\.csv: 'nan' is not a finite number; run"):
        read_trials(folder)
    records = read_runs(write_suite(tmp_path, {"base": 1.5}, n_folds=2, seeds=(1,)))
    (records[0].folder.parent / "tuning").mkdir()
    write_tuning(records[0].folder.parent / "tuning", TUNING, ROWS[2:3])
    with pytest.raises(TuningError, match=r"trials\.csv has no score .*; run"):
        tuning_section(records)


def test_the_worth_of_a_choice_is_that_of_its_means():
    text = worth_text(TUNING, {("base", 1): 0.5, ("base", 2): 0.6})
    assert "scored 65.0 % on the inner folds on average over 2 choices" in text
    assert "+15.0 points from the config as it is and +25.0 points from the median trial" in text
    assert (
        "This score also chose it: on groups that did not, about 55.0 % is expected, +5.0 points from the config as it "
        "is, estimated from 20 groups. On the test clips it reaches 55.0 %"
    ) in text
    assert "test clips" not in worth_text(TUNING, {("base", 1): 0.5}), "a fold is missing"
    few = replace(TUNING, choices=(choice(1, 0.01, 0.6, None, None),))
    assert worth_text(few, {}) == "The winner scored 60.0 % on the inner folds: +20.0 points from the median trial."
    assert [row[3].text for row in worth_table(few, {}).rows] == ["–"]


def test_test_clips_are_a_column_where_some_were_scored():
    assert worth_table(TUNING, {}).texts()[0][-1] == "corrected"
    assert [row[-1] for row in worth_table(TUNING, {("base", 1): 0.5}).texts()] == ["test clips", "50.0", "–"]


def test_the_budget_is_that_of_the_whole_search_and_of_its_rounds():
    assert "Random search over 2 settings: 3 trials per fold, each scored by 2 inner folds" in search_text(TUNING)
    limited = search_text(replace(TUNING, minutes=0.5, mode="once"))
    assert "at most 3 trials, within 0.5 minutes for the whole search, each scored" in limited
    halving = replace(TUNING, strategy="halving")
    assert "3 trials per fold, each scored by 2 inner folds that keep groups together; the best of them" in search_text(
        halving
    )
    assert worth_table(halving, {}).header[1] == "trials with all epochs"


def test_instability_is_said_in_numbers():
    assert stability_text(TUNING) == (
        "base: 2 different choices in 2 folds, the most frequent one in 1 (train.lr: 0.01 to 0.02; model.name: <b> 2x)."
    )
    first = TUNING.choices[0]
    for n, folds in ((2, "both folds"), (10, "all 10 folds")):
        same = replace(TUNING, choices=tuple(replace(first, fold=fold) for fold in range(1, n + 1)))
        assert stability_text(same) == f"base: the same choice in {folds} (train.lr: 0.01; model.name: <b> {n}x)."
    assert "not known" in stability_text(replace(TUNING, choices=TUNING.choices[:1]))
    assert choices_table(TUNING).texts()[1] == ["base, fold 1", "0.01", "<b>", "1"]


def test_trials_that_share_the_best_score_are_named():
    rows = [
        TrialRow("base", fold, trial, 10, score, 1.0, 3.5, "", {})
        for fold, scores in ((1, (0.6, 0.4, 0.6, None)), (2, (0.5, 0.6, 0.7, None)))
        for trial, score in enumerate(scores)
    ]
    assert ties_text(TUNING, rows) == (
        "Several trials share the best score: base, fold 1 (trials 0, 2). Of these the one with the lowest log-loss "
        "was chosen, the first where that is equal as well; by accuracy none of them is better than the others."
    )
    equal = [replace(row, score=0.6 if row.fold == 1 else row.score) for row in rows]
    assert ties_text(TUNING, equal).endswith(
        "All trials of base, fold 1 have the same log-loss, too: no setting made a difference."
    )
    assert "no setting" not in ties_text(TUNING, [replace(equal[0], nll=0.9), *equal[1:]])
    assert ties_text(TUNING, ROWS) == ""
    short = [replace(row, epochs=5) if row.trial == 0 else row for row in rows]
    assert ties_text(TUNING, short) == "", "a trial with fewer epochs could not win"


def searched(tried, won):
    """A search of five folds in which `tried` numbers were scored, and which of them won in each fold."""
    space = {"train.epochs": "", "model.name": ""}
    choices = tuple(choice(fold, 0.1, 0.6) for fold in range(1, 6))
    settings = [{"train.epochs": epochs, "model.name": "a"} for epochs in won]
    choices = tuple(replace(one, settings=s) for one, s in zip(choices, settings, strict=True))
    rows = [
        TrialRow("base", fold, i, 10, 0.5, 1.0, 3.5, "", {"train.epochs": epochs, "model.name": "a"})
        for fold in range(1, 6)
        for i, epochs in enumerate(tried)
    ]
    return replace(TUNING, space=space, choices=choices), rows


def test_winners_at_the_end_of_what_was_tried_are_named():
    assert ends_text(*searched((40, 80, 160), (160,) * 5)) == (
        "base: at the end of what was tried: train.epochs (the largest, 160, in all 5 folds). "
        "Values beyond were not tried."
    )
    assert "(the smallest, 40, in 4 of 5 folds)" in ends_text(*searched((40, 80, 160), (40, 40, 80, 40, 40)))
    assert ends_text(*searched((40, 80, 160), (160, 160, 80, 160, 40))) == "", "in most folds is not in nearly all"
    assert ends_text(*searched((80,), (80,) * 5)) == "", "nothing else was tried"
    assert ends_text(*searched((0, 1), (0,) * 5)) == "", "there is nothing below 0"
    tuning, rows = searched((40, 80), (80,) * 5)
    assert ends_text(replace(tuning, choices=tuning.choices[:2]), rows) == "", "two folds agree by chance"


def test_the_section_shows_every_trial_and_the_scores_on_test_clips(tmp_path):
    tuned = TunedConfig(mode="nested", search="abc", settings=("train.lr",))
    base = RunConfig(name="toy", tuned=tuned)
    suite = write_suite(tmp_path, {"base-nested": 1.5}, n_folds=2, seeds=(1, 2), base=base)
    assert tuning_section(read_runs(suite)) is None
    (suite / "tuning").mkdir()
    write_tuning(suite / "tuning", TUNING, ROWS)
    records = read_runs(suite)
    tested = scores_of_choices(records, TUNING)
    first = [r.result["metrics"]["accuracy"] for r in records if r.config.fold == 1]
    assert tested["base", 1] == pytest.approx(sum(first) / 2) and set(tested) == {("base", 1), ("base", 2)}
    long = "v" * 78  # its tuned name is shortened
    named = replace(TUNING, choices=tuple(replace(one, variant=long) for one in TUNING.choices))
    stored = [replace(r, result={**r.result, "variant": tuned_name(long, "nested")}) for r in records]
    assert set(scores_of_choices(stored, named)) == {(long, 1), (long, 2)}
    body = tuning_section(records).body
    assert "<h3>toy</h3>" not in body
    assert body.count('class="dot') == 4, "a failed trial has no score"
    write_tuning(suite / "tuning", replace(TUNING, choices=(replace(TUNING.choices[0], trial=0),)), ROWS[:2])
    won = tuning_section(records).body
    assert won.count('class="dot v1"') == won.count('class="ring v2"') == 1, "also where the config as it is won"
    assert f"{100 * tested['base', 1]:.1f}" in body and "<b>" not in body and "&lt;b&gt;" in body


def test_two_searches_are_told_apart_and_keep_their_scores_on_test_clips(tmp_path):
    """Variants of one name are prefixed where folders are compared; the scores were missing then."""
    for name in ("one", "two"):
        tuned = TunedConfig(mode="nested", search=name, settings=("train.lr", f"train.{name}"))
        suite = write_suite(tmp_path, {"base-nested": 1.5}, 2, (1, 2), base=RunConfig(name=name, tuned=tuned))
        (suite / "tuning").mkdir()
        write_tuning(suite / "tuning", replace(TUNING, suite=name, search=name), ROWS)
    records = read_folders([tmp_path / "one", tmp_path / "two"])
    assert {r.variant for r in records} == {"one.base-nested", "two.base-nested"}
    body = tuning_section(records).body
    assert body.count("On the test clips it reaches") == 2 and "<h3>one</h3>" in body and "<h3>two</h3>" in body
    notes = [note for note in aggregate(records).notes if "chosen in each fold" in note]
    assert "one.base-nested: train.lr, train.one chosen" in notes[0] and "two" not in notes[0].split(";")[0]
    assert "two.base-nested: train.lr, train.two chosen" in notes[1]
