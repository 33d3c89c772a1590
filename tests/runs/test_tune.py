"""Tuning: no test clip is read and no look recorded, it resumes, and what it writes is a suite that is scored once."""

import csv
import dataclasses
import re
import shutil
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import earmark.runs.search_strategies
import earmark.runs.suite
import earmark.runs.tune
from earmark.analysis.ledger import read_ledger
from earmark.analysis.looks import count_looks
from earmark.analysis.records import RunError, read_runs
from earmark.analysis.tuning import CONFIG, read_trials, read_tuning
from earmark.cli.main import main
from earmark.config.search import SearchConfig
from earmark.config.sections import ConfigError, Options
from earmark.config.suite import SuiteConfig, merge, read_suite
from earmark.config.write import suite_toml
from earmark.datasets.folder import read_folder
from earmark.datasets.manifest import Clip, read_manifest, write_manifest
from earmark.report.page import write_report
from earmark.runs.embeddings import write_vectors
from earmark.runs.failures import Failure
from earmark.runs.inner import outer_splits, plan_places
from earmark.runs.plan import plan_suite
from earmark.runs.search_plan import describe_search, plan_search
from earmark.runs.tune import tune, tuned_suite
from earmark.runtime.errors import EarmarkError
from earmark.splits.make import make_split, tuning_clips
from earmark.training.loop import TrainingError


@pytest.fixture
def options(tmp_path) -> Options:
    return Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1)


@pytest.fixture
def suite(small_suite, tones, tmp_path):
    """`small_suite` on recordings of its own in groups of two, with one variant and a space."""
    recordings = shutil.copytree(tones, tmp_path / "tones")
    clips = [replace(c, group=f"{c.label}{int(c.path.stem[1:]) // 2}") for c in read_folder(recordings)]
    write_manifest(clips, tmp_path / "clips.csv")
    search = {"trials": 2, "inner_folds": 2, "space": {"train.lr": [1e-3, 3e-2], "model.dropout": [0.1, 0.2]}}
    data = {"dataset": "manifest", "root": str(tmp_path / "clips.csv")}
    return replace(merge(small_suite, {"data": data, "train": {"epochs": 1}, "search": search}), variants={})


@pytest.fixture
def probes(suite, tmp_path):
    """The same search over two probes on vectors, which takes no time."""
    clips = clips_of(suite)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(clips), 6)) + [[clip.label == "low"] * 6 for clip in clips]
    write_vectors(tmp_path / "vectors.npz", [clip.clip_id for clip in clips], vectors)
    model = {"model": {"name": f"npz:{tmp_path / 'vectors.npz'}"}, "probe": {"kind": "knn"}}
    search = {"trials": 2, "inner_folds": 2, "space": {"probe.kind": ["knn", "logistic"]}}
    return replace(merge(suite, model), search=merge(SearchConfig(), search))


def quiet(_text):
    pass


def clips_of(suite):
    return read_manifest(suite.data.root)


def remove_all_but(suite, kept):
    """Delete the recordings that a search must not read: whatever reads one fails."""
    for clip in clips_of(suite):
        if clip.clip_id not in kept:
            clip.path.unlink()


def places_of(suite, clips, copies=()):
    return plan_places(suite, clips, copies, outer_splits(suite, clips, copies))


def without_seconds(folder):
    return [dataclasses.replace(row, seconds=0.0) for row in read_trials(folder)]


def test_the_test_clips_of_a_fold_are_not_read_and_there_is_no_look(suite, options):
    suite = replace(suite, folds=(1,))
    remove_all_but(suite, make_split(clips_of(suite), suite.split, 1).train)
    plan = plan_search(suite, options)
    tuning = tune(plan, quiet)
    assert [c.fold for c in tuning.choices] == [1] and tuning.finished
    assert not list(options.runs.rglob("ledger.csv")), "an inner run is no look"
    with pytest.raises(RunError, match="no finished run"):
        read_runs(options.runs)
    rows = read_trials(plan.folder)
    assert [row.trial for row in rows] == [0, 1] and all(row.score is not None for row in rows)
    assert not list(options.runs.rglob("*.safetensors"))


def test_without_a_test_subset_the_clips_that_are_reported_are_not_read_either(suite, options):
    """A hold-out that reports valid was searched on it."""
    suite = merge(suite, {"split": {"kind": "holdout", "test_ratio": 0.0, "val_ratio": 0.34}})
    reported = make_split(clips_of(suite), suite.split, 1).valid
    remove_all_but(suite, {c.clip_id for c in clips_of(suite)} - {*reported})
    plan = plan_search(suite, options)
    assert reported and not {c.clip_id for c in plan.places[0].clips} & {*reported}
    assert not any(split.valid for split in plan.places[0].splits), "no epoch is selected"
    assert [c.fold for c in tune(plan, quiet).choices] == [1]


def test_once_reads_the_tuning_clips_alone_and_no_fold_tests_them(suite, options):
    suite = merge(suite, {"split": {"tuning_ratio": 0.34}, "search": {"mode": "once"}})
    pool = tuning_clips(clips_of(suite), suite.split)
    remove_all_but(suite, pool)
    (place,) = places_of(suite, clips_of(suite))
    assert {c.clip_id for c in place.clips} == pool
    plan = plan_search(suite, options)
    (choice,) = tune(plan, quiet).choices
    written = read_suite(plan.folder / CONFIG)
    run = written.run("base-once", 2, 1)
    assert (run.train.lr, run.model.dropout) == (choice.settings["train.lr"], choice.settings["model.dropout"])
    assert all(pool.isdisjoint(make_split(clips_of(suite), written.split, fold).test) for fold in (1, 2))


def test_once_needs_clips_that_are_never_tested(suite, options):
    with pytest.raises(ConfigError, match=r"split\.tuning_ratio = 0\.0: give a part of the clips"):
        plan_search(merge(suite, {"search": {"mode": "once"}}), options)


def test_a_variant_with_another_split_is_refused(suite, options):
    other = replace(suite, variants={"a": {"split": {"seed": 7}}})
    with pytest.raises(ConfigError, match=r"variants\.a\.split = \{'seed': 7\}: leave it out and set \[split\]"):
        plan_search(other, options)  # fold 1 of the variant would test clips that have chosen its settings
    assert plan_search(replace(suite, variants={"a": {"split": {"seed": suite.split.seed}}}), options)


def test_a_search_with_a_fraction_of_the_groups_reads_those_of_the_first_seed(suite, options):
    suite = merge(suite, {"seeds": [3, 1], "split": {"train_fraction": 0.75}})
    trained = {run.config.fold: run.split.train for run in plan_suite(suite, options).runs if run.config.seed == 3}
    found = {place.fold: tuple(sorted(c.clip_id for c in place.clips)) for place in plan_search(suite, options).places}
    assert found == trained


def test_copies_in_two_groups_stay_in_one_inner_fold():
    clips = [
        Clip(f"c{i:02d}", Path("x.wav"), "ab"[i % 2], group=f"g{i // 4:02d}", fold=1 + (i // 4) % 5) for i in range(80)
    ]
    search = {"inner_folds": 4, "space": {"train.lr": [1e-3, 3e-2]}}
    suite = merge(SuiteConfig(), {"split": {"kind": "folds"}, "search": search})
    copies = [("c00", "c20"), ("c24", "c44")]  # in one published fold, so that the outer split accepts them
    for place in places_of(suite, clips, copies):
        for ids in copies:
            assert all(sum(not {*ids}.isdisjoint(s) for s in (n.train, n.test)) <= 1 for n in place.splits)


def test_more_inner_folds_than_groups_are_refused_by_the_setting_that_makes_them(suite):
    message = r"^search\.inner_folds = 12: there are 9 groups of clips to choose on \(fold 1\); give at most 9$"
    with pytest.raises(ConfigError, match=message):
        places_of(merge(suite, {"search": {"inner_folds": 12}}), clips_of(suite))
    clips = [Clip(f"c{i}", Path("x.wav"), "ab"[i % 2], group=f"g{i // 4}", fold=1 + i // 4) for i in range(8)]
    two = merge(SuiteConfig(), {"split": {"kind": "folds"}, "search": {"space": {"train.lr": [1e-3, 3e-2]}}})
    with pytest.raises(ConfigError, match=r"there is only one group of clips to choose on \(fold 1\); add recordings"):
        places_of(two, clips)


def test_the_epochs_of_a_search_are_told_before_it_starts(suite, options):
    space = {"train.epochs": [1, 3]}  # two trials: 1 epoch as in the config, and 3
    plan = plan_search(merge(suite, {"search": {"space": space}}), options)
    trainings = 2 * plan.suite.search.inner_folds * len(plan.places)
    assert describe_search(plan)[-1] == f"{trainings} inner trainings of {trainings // 2 * (1 + 3)} epochs in all"
    more = plan_search(merge(suite, {"search": {"space": space, "trials": 9}}), options)
    lines = [*describe_search(plan), "base: the space has no more than 2 different trials; 9 were asked for"]
    assert describe_search(more) == lines


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"augment.waveform": [[], ["pitchDown9"]]}, "augmentation 'pitchDown9': unknown"),
        ({"model.name": ["baseline_cnn", "baseline_cmn"]}, "model.name = 'baseline_cmn'"),
        ({"augment.freq_mask_bins": [4, 400]}, "augment.freq_mask_bins = 400: give at most n_mels = 32"),
    ],
)
def test_every_choice_is_checked_before_the_first_trial(space, message, suite, options):
    with pytest.raises(EarmarkError, match=re.escape(message)):
        plan_search(merge(suite, {"search": {"space": space}}), options)
    assert not options.runs.exists() and not options.work.exists()


def test_inner_folds_divide_the_training_subset_by_group(suite):
    clips = clips_of(suite)
    group_of = {c.clip_id: c.group for c in clips}
    for place in places_of(suite, clips):
        outer = make_split(clips, suite.split, place.fold)
        assert sorted(i for inner in place.splits for i in inner.test) == sorted((*outer.train, *outer.valid))
        for inner in place.splits:
            assert not {group_of[i] for i in inner.train} & {group_of[i] for i in inner.test}


def test_an_interrupted_search_resumes_and_ends_as_if_it_had_not_been(probes, options, tmp_path, monkeypatch):
    train, calls = earmark.runs.tune.run_suites, []

    def interrupted(plans, options):
        calls.append([len(plan.missing) for plan in plans])
        if len(calls) == 1:
            train(plans[:1], options)
            raise KeyboardInterrupt
        return train(plans, options)

    monkeypatch.setattr(earmark.runs.tune, "run_suites", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune(plan_search(probes, options), quiet)
    assert not read_tuning(options.runs / "tones-nested").finished
    resumed = tune(plan_search(probes, options), quiet)
    assert calls == [[4, 4], [4]], "the first fold is not searched again"
    elsewhere = replace(options, runs=tmp_path / "elsewhere")
    assert tune(plan_search(probes, elsewhere), quiet) == resumed
    assert without_seconds(options.runs / "tones-nested") == without_seconds(elsewhere.runs / "tones-nested")
    monkeypatch.setattr(earmark.runs.tune, "run_suites", lambda *_: pytest.fail("everything is finished"))
    assert tune(plan_search(probes, options), quiet) == resumed
    damaged = next(options.runs.glob("*/tuning/*/predictions.csv"))
    damaged.write_text("clip_id\n", encoding="utf-8")
    with pytest.raises(
        EarmarkError, match=r"trial .*-fold\d-seed1-.*: .*; remove the folder and run the command again"
    ):
        tune(plan_search(probes, options), quiet)


def test_what_was_chosen_is_scored_once_in_each_fold_and_reported(probes, options, tmp_path, capsys):
    (tmp_path / "a.toml").write_text(suite_toml(probes), encoding="utf-8")
    where = ["--runs", str(options.runs), "--work", str(options.work), "--threads", "1"]
    main(["tune", str(tmp_path / "a.toml"), *where, "--suite", "-o", str(tmp_path / "chosen.toml")])
    assert "base-nested" in capsys.readouterr().out
    folder = options.runs / "tones-nested"
    looks, records = read_ledger(options.runs / "ledger.csv"), read_runs(options.runs)
    assert sorted((look.variant, look.fold) for look in looks) == [("base-nested", 1), ("base-nested", 2)]
    assert count_looks(records).n == 1, "the search is one configuration, whatever each fold chose"
    chosen = {c.fold: c.settings for c in read_tuning(folder).choices}
    assert all(record.config.probe.kind == chosen[record.config.fold]["probe.kind"] for record in records)
    assert read_suite(tmp_path / "chosen.toml") == read_suite(folder / CONFIG)
    summary = write_report(records, tmp_path / "report.html")
    assert any("base-nested: probe.kind chosen in each fold separately" in note for note in summary.notes)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "How the settings were chosen" in page and page.count("trial 1:") == 2
    with pytest.raises(ConfigError, match="the choices of another search have been scored"):
        plan_search(merge(probes, {"search": {"trials": 3}}), options)


@pytest.mark.parametrize("changed", ["split", "recordings", "record"])
def test_choices_are_refused_where_a_fold_tests_other_clips(changed, probes, options):
    search = plan_search(probes, options)
    chosen = tuned_suite(search, tune(search, quiet))
    assert plan_suite(chosen, options).missing
    if changed == "split":
        chosen = merge(chosen, {"split": {"seed": chosen.split.seed + 1}})
    elif changed == "recordings":
        gone = make_split(clips_of(probes), probes.split, 1).test[0]
        write_manifest([clip for clip in clips_of(probes) if clip.clip_id != gone], probes.data.root)
    else:
        chosen.variants["base-nested"]["tuned"].pop("tested")
    with pytest.raises(ConfigError, match=r"variants\.base-nested\.tuned: fold 1 tests other clips"):
        plan_suite(chosen, options)


def test_a_finished_search_with_a_limit_of_time_stays_finished(probes, options, monkeypatch):
    """Its winner may have been scored: the same command must not choose again, however fast it is this time."""
    monkeypatch.setattr(earmark.runs.search_strategies, "ROUND", 1)
    monkeypatch.setattr(earmark.runs.tune, "_out_of_time", lambda *_: True)
    limited = merge(probes, {"search": {"minutes": 1.0}})
    first = tune(plan_search(limited, options), quiet)
    assert first.finished and [choice.n_trials for choice in first.choices] == [1, 1]
    monkeypatch.setattr(earmark.runs.tune, "_out_of_time", lambda *_: False)
    rows = read_trials(options.runs / "tones-nested")
    assert tune(plan_search(limited, options), quiet) == first
    assert read_trials(options.runs / "tones-nested") == rows
    more = merge(limited, {"search": {"minutes": 2.0}})
    assert [choice.n_trials for choice in tune(plan_search(more, options), quiet).choices] == [2, 2]


def test_the_time_of_the_trials_counts_against_a_limit(probes, options, monkeypatch):
    """That of earlier calls, too: each trial says that it took a minute, and four of them are over the limit."""
    monkeypatch.setattr(earmark.runs.search_strategies, "ROUND", 1)
    read = earmark.runs.tune.read_result
    monkeypatch.setattr(earmark.runs.tune, "read_result", lambda *a: dataclasses.replace(read(*a), seconds=60.0))
    search = {"minutes": 3.5, "trials": 3, "space": {"probe.kind": ["knn", "logistic", "mlp"]}}
    told = []
    found = tune(plan_search(merge(probes, {"search": search}), options), told.append)
    assert [choice.n_trials for choice in found.choices] == [2, 2]
    assert told[-1] == "the limit of 3.5 minutes ended the search after 2 of 3 trials of each fold"


def test_a_damaged_record_of_a_search_is_written_again(probes, options):
    first = tune(plan_search(probes, options), quiet)
    for name in ("tuning.json", "trials.csv"):
        (options.runs / "tones-nested" / "tuning" / name).write_text("{", encoding="utf-8")
        assert tune(plan_search(probes, options), quiet) == first


def test_a_trial_that_fails_loses_and_only_failures_are_an_error(probes, options, monkeypatch):
    probes = replace(probes, folds=(1,))
    train = earmark.runs.tune.run_suites

    def fail(*kinds):
        def run(plans, options):
            (plan,) = plans
            bad = {run.folder.name for run in plan.runs if run.config.probe.kind in kinds}
            good = replace(plan, runs=tuple(run for run in plan.runs if run.folder.name not in bad))
            return train([good], options) | dict.fromkeys(bad, Failure("loss = nan in epoch 1", of_settings=True))

        return run

    plan = plan_search(probes, options)
    monkeypatch.setattr(earmark.runs.tune, "run_suites", fail("knn"))  # the config as it is
    (choice,) = tune(plan, quiet).choices
    assert (choice.trial, choice.n_trials, choice.default) == (1, 1, None)
    with (plan.folder / "tuning" / "trials.csv").open(encoding="utf-8") as file:
        assert [row["failure"] for row in csv.DictReader(file)] == ["loss = nan in epoch 1", ""]
    monkeypatch.setattr(earmark.runs.tune, "run_suites", fail("knn", "logistic"))
    with pytest.raises(EarmarkError, match=r"base, fold 1: all trials failed \(loss = nan in epoch 1\)"):
        tune(plan_search(probes, replace(options, runs=options.runs / "b")), quiet)


def failing_third(error):
    """`train_and_evaluate` that fails in the third run."""
    train, tried = earmark.runs.suite.train_and_evaluate, []

    def run(*arguments):
        tried.append(arguments)
        if len(tried) == 3:
            raise error
        return train(*arguments)

    return run


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("CUDA error: launch failure"), "the device failed (CUDA error: launch failure)"),
        (BrokenProcessPool("a process died"), "a process died"),
    ],
)
def test_a_run_that_was_never_trained_stops_the_search(error, reason, probes, options, tmp_path, monkeypatch):
    """A device or a process that is lost says nothing about the settings of a trial."""
    monkeypatch.setattr(earmark.runs.suite, "train_and_evaluate", failing_third(error))
    message = rf"^trial .*-seed1-\w+: was not trained \({re.escape(reason)}\); run the command again$"
    with pytest.raises(EarmarkError, match=message):
        tune(plan_search(probes, options), quiet)
    folder = options.runs / "tones-nested"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}
    assert before and not read_tuning(folder).finished
    monkeypatch.undo()
    resumed = tune(plan_search(probes, options), quiet)
    assert before.items() <= {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}.items()
    assert resumed == tune(plan_search(probes, replace(options, runs=tmp_path / "elsewhere")), quiet)


@pytest.mark.parametrize("error", [TrainingError("loss = nan"), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_trial_that_diverges_or_needs_too_much_memory_loses(error, probes, options, monkeypatch):
    monkeypatch.setattr(earmark.runs.suite, "train_and_evaluate", failing_third(error))
    assert tune(plan_search(replace(probes, folds=(1,)), options), quiet).choices[0].n_trials == 1


def test_a_trial_whose_valid_subset_notices_the_divergence_first_loses(small_suite, options):
    """Running statistics lag behind the weights, so logits overflow before the loss does."""
    search = {"trials": 2, "inner_folds": 2, "space": {"train.lr": [1e-3, 100.0]}}
    settings = {"search": search, "split": {"val_ratio": 0.3}, "train": {"epochs": 4}}
    diverging = merge(replace(small_suite, variants={}, folds=(1,)), settings)
    assert tune(plan_search(diverging, options), quiet).choices[0].n_trials == 1
    failed = [row.failure for row in read_trials(options.runs / "tones-nested") if row.failure]
    assert failed and all("not finite" in reason for reason in failed)


def test_a_run_that_another_process_trains_stops_the_search(probes, options, monkeypatch):
    monkeypatch.setattr(earmark.runs.tune, "run_suites", lambda *_: {})
    with pytest.raises(EarmarkError, match=r"was not trained \(another process is training it\)"):
        tune(plan_search(probes, options), quiet)


@pytest.mark.slow
def test_worker_processes_find_the_same(suite, options, tmp_path):
    alone = tune(plan_search(suite, options), quiet)
    two = replace(options, jobs=2, runs=tmp_path / "two")
    assert tune(plan_search(suite, two), quiet) == alone
