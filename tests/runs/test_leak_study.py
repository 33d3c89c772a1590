"""The leak study: leaky splits leak what they claim and are flagged, and what they are worth is measured."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

import commands
from earmark.analysis.leaks import COMPARED, measure_leaks
from earmark.analysis.records import read_runs
from earmark.config.sections import Options, SplitConfig
from earmark.config.suite import RunConfig, SuiteConfig, merge, to_dict
from earmark.config.training import TrainConfig
from earmark.config.write import suite_toml
from earmark.datasets.manifest import Clip, read_manifest, write_manifest
from earmark.runs.leak_study import (
    LEFT_OUT,
    add_copies,
    clips_with_mates,
    copies_across_subsets,
    describe_inflation,
    epoch_on_test,
    make_conditions,
    plan_leak_study,
    random_clips,
    read_finished,
    with_equal_steps,
)
from earmark.runs.plan import plan_suite
from earmark.runs.prepare import prepare_suite
from earmark.runs.suite import run_suite
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import write_json
from earmark.splits.make import fold_numbers, make_split
from earmark.splits.split import LeakageError, check_split
from run_folders import make_clips, make_probs, write_run


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """Two classes that only the speaker tells apart: each of 8 speakers has a pitch of their own and one label."""
    folder = tmp_path_factory.mktemp("voices")
    rng = np.random.default_rng(0)
    clips = []
    pitches = rng.permutation(np.geomspace(200, 3000, 8))
    for speaker, pitch in enumerate(pitches):
        for take in range(4):
            seconds = np.arange(2400) / 8000
            path = folder / f"s{speaker}t{take}.wav"
            soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * seconds) + 0.01 * rng.normal(size=2400), 8000)
            clips.append(Clip(path.stem, path, "ab"[speaker % 2], f"s{speaker}", speaker % 4 + 1, 0.3))
    write_manifest(clips, folder / "clips.csv")
    return folder / "clips.csv"


@pytest.fixture
def suite(voices):
    return merge(
        SuiteConfig(),
        {
            "name": "voices",
            "folds": [1, 2],
            "data": {"dataset": "manifest", "root": str(voices)},
            "front_end": {"n_fft": 256, "hop_length": 64, "n_mels": 32},
            "split": {"kind": "folds"},
            "augment": {"freq_masks": 0, "time_masks": 0, "mixup_alpha": 0.0},
            "train": {"epochs": 8, "batch_size": 4},
        },
    )


@pytest.fixture
def options(tmp_path) -> Options:
    return Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1)


def test_leaky_conditions_are_run_flagged_and_measured(suite, options):
    plan = plan_leak_study(suite, options)
    assert len(plan.runs) == 2 * 5
    assert len({run.id for run in plan.runs}) == 10
    steps = {len(run.split.train) * run.config.train.epochs for run in plan.runs}
    assert max(steps) < 1.2 * min(steps), "copies must not mean longer training"
    assert run_suite(plan, options) == {}
    records = read_runs(options.runs / "voices-optimism")
    by_condition = {record.variant: record for record in records}
    assert set(by_condition) == {*COMPARED, *COMPARED.values()}
    for name in COMPARED:
        assert by_condition[name].result["split"]["leaks"], f"{name} is flagged"
    for name in COMPARED.values():
        assert not by_condition[name].result["split"]["leaks"]
    assert by_condition["epoch_on_test"].result["selected_on"] == "test"
    mates = clips_with_mates(plan)
    found = measure_leaks(records, mates)
    assert {(e.condition, e.metric) for e in found} == {(c, m) for c in COMPARED for m in ("accuracy", "uar")}
    gain = {e.condition: e.difference for e in found if e.metric == "accuracy"}
    assert gain["random_clips"] > 0.2, "who knows the speaker knows the label"
    assert gain["epoch_on_test"] >= 0
    text = describe_inflation(plan)
    assert text.startswith("| leak | metric |")
    assert "16 of 16 test clips have a copy in training." in text and "left out" not in text


def test_a_probe_has_no_epoch_to_choose(suite, options):
    """`epoch_on_test` of a probe was trained and reported as harmless: +0.0 points."""
    plan = plan_leak_study(merge(suite, {"probe": {"kind": "knn"}}), options)
    assert {run.config.variant for run in plan.runs} == {*COMPARED, *COMPARED.values()} - {"epoch_on_test"}
    assert run_suite(plan, options) == {}
    text = describe_inflation(plan)
    assert "| epoch_on_test |" not in text
    assert text.endswith(f"epoch_on_test: left out, because {LEFT_OUT['epoch_on_test']}.")


def test_a_split_without_other_folds_has_no_random_clips(suite, options):
    """Of two hold-outs, the few clips that both test were compared with one another."""
    plan = plan_leak_study(merge(suite, {"folds": [], "split": {"kind": "holdout", "test_ratio": 0.25}}), options)
    assert "random_clips" not in {run.config.variant for run in plan.runs}
    assert len(plan.runs) == 4
    assert "group_kfold" in LEFT_OUT["random_clips"]


def test_points_of_learning_curves_are_refused(suite, options):
    with pytest.raises(EarmarkError, match=r"train_fractions = \[0\.5\]: leave it out"):
        plan_leak_study(merge(suite, {"train_fractions": [0.5]}), options)


def test_mates_are_clips_of_the_group_or_copies(suite, options):
    plan = plan_leak_study(suite, options)
    for run in plan.runs:
        mates = clips_with_mates(plan)[run.id]
        if run.config.variant in ("random_clips", "copies_across_subsets"):
            assert mates == set(run.split.test)
        else:
            assert not mates


def test_the_command_says_what_it_trains_and_where_the_result_lies(suite, options, monkeypatch, tmp_path, capsys):
    config = tmp_path / "own.toml"
    suite = merge(suite, {"variants": {"none": {}, "se": {"model": {"attention": "se"}}}, "probe": {"kind": "knn"}})
    config.write_text(suite_toml(suite), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    command = ("optimism", config, "--device", "cpu", "--threads", "1")
    assert commands.run(*command, "--dry-run") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("variant none, the first of 2: 8 trainings of 8 to do\n")
    assert "to do     " in printed and not list((tmp_path / "runs").glob("*/*/result.json"))
    assert commands.run(*command) == 0
    path = Path("runs", "voices-optimism", "inflation.md")
    assert capsys.readouterr().out.endswith(f"{path.read_text(encoding='utf-8')}\n{path}\n")
    for judge in ("aggregate", "compare", "report"):
        assert commands.run(judge, path.parent) == 2
        assert f"what they say is in {path}" in capsys.readouterr().err


def test_the_manifest_of_the_data_set_stays_without_copies(suite, options):
    prepare_suite(plan_suite(suite, options))
    (manifest,) = options.work.glob("*/clips.csv")
    before = manifest.read_bytes()
    plan = plan_leak_study(suite, options)
    prepare_suite(plan)
    assert manifest.read_bytes() == before
    (everything,) = options.work.glob("*/with-copies/clips.csv")
    assert len(read_manifest(everything)) == 3 * len(read_manifest(manifest)) == len(plan.data_of(plan.runs[0]).clips)


def test_each_fold_has_the_settings_that_were_tuned_for_it(suite, options):
    choices = {"1": {"train": {"lr": 0.001}}, "2": {"train": {"lr": 0.01}, "front_end": {"n_mels": 16}}}
    tested = {str(run.config.fold): run.split.reported_digest() for run in plan_suite(suite, options).runs}
    about = {"mode": "nested", "settings": ["train.lr", "front_end.n_mels"], "choices": choices, "tested": tested}
    plan = plan_leak_study(replace(suite, variants={"net": {"tuned": about}}), options)
    found = {(run.config.fold, run.config.train.lr, plan.data_of(run).store.front_end.n_mels) for run in plan.runs}
    assert found == {(1, 0.001, 32), (2, 0.01, 16)}


def test_what_suites_refuse_is_refused_before_any_training(suite, options):
    with pytest.raises(EarmarkError, match="cuda:77"):
        plan_leak_study(suite, replace(options, device="cuda:77"))
    about = {"mode": "once", "settings": ["train.lr"], "tested": {"1": "other", "2": "other"}}
    with pytest.raises(EarmarkError, match="tests other clips than when its settings were chosen"):
        plan_leak_study(replace(suite, variants={"net": {"tuned": about}}), options)


def test_finished_runs_of_other_settings_are_refused_and_those_of_other_folds_are_not(suite, options):
    def finish(suite):
        plan = plan_leak_study(suite, options)
        for run in plan.runs:
            run.folder.mkdir(parents=True)
            write_json(run.folder / "config.json", {"run": to_dict(run.config), "data_fingerprint": run.fingerprint})
            write_json(run.folder / "result.json", {})

    finish(replace(suite, folds=(1,)))
    assert len(plan_leak_study(suite, options).missing) == 5
    assert len(plan_leak_study(replace(suite, folds=(2,)), options).missing) == 5
    with pytest.raises(EarmarkError, match=r"was trained with train\.lr = .* they cannot be in one table"):
        plan_leak_study(merge(suite, {"train": {"lr": 0.5}}), options)


def test_conditions_with_other_numbers_of_clips_have_as_many_steps(honest):
    train = TrainConfig(epochs=10, batch_size=8, warmup_epochs=2, patience=4)  # 24 clips are 3 steps, 23 clips are 2
    assert len(honest.train) == 24
    fewer = replace(honest, train=honest.train[:23])
    trained = [with_equal_steps(train, honest, split) for split in (honest, fewer, add_copies(honest, COPIES))]
    assert [made.epochs for made in trained] == [10, 15, 3]
    assert [made.warmup_epochs for made in trained] == pytest.approx([2, 3, 2 * 3 / 9])
    assert [made.patience for made in trained] == [4, 6, 2]


def test_runs_of_other_settings_in_the_folder_do_not_count(tmp_path):
    clips = make_clips(n_folds=1)
    for seed in (1, 2):
        write_run(tmp_path, RunConfig(name="study", seed=seed), clips, make_probs(clips, seed=seed))
    records = read_runs(tmp_path)
    planned = [record for record in records if record.config.seed == 1]
    found = read_finished(SimpleNamespace(runs=planned))
    assert [record.id for record in found] == [record.id for record in planned]


CLIPS = [Clip(f"{k}{g}{i}", Path("none"), k, f"{k}{g}") for k in "ab" for g in range(6) for i in range(3)]
COPIES = [replace(c, clip_id=f"{c.clip_id}_{name}") for c in CLIPS for name in ("noisy", "pitchUp2")]
CONFIG = SplitConfig(n_folds=3)


@pytest.fixture
def honest():
    return make_split(CLIPS, CONFIG, 1)


def groups(ids):
    return {i[:2] for i in ids}


def check_flagged(split, clips):
    check_split(split, clips)
    with pytest.raises(LeakageError, match="inflates the result"):
        check_split(replace(split, leaks=()), clips)


def test_random_clips_break_groups_and_nothing_else():
    folds = fold_numbers(CLIPS, CONFIG)
    splits = [random_clips(CLIPS, CONFIG, fold) for fold in folds]
    assert sorted(i for split in splits for i in split.test) == sorted(c.clip_id for c in CLIPS)
    for split in splits:
        assert groups(split.train) & groups(split.test) and not set(split.train) & set(split.test)
        assert sum(i[0] == "a" for i in split.test) == 6  # stratified
        check_flagged(split, CLIPS)


def test_the_honest_split_knows_the_copies_that_an_audit_found():
    """A suite refuses them in two subsets, and so does its study of leaks."""
    honest = make_conditions(CLIPS, (), CONFIG, 1)["honest"]
    with pytest.raises(LeakageError, match="same audio"):
        make_conditions(CLIPS, (), CONFIG, 1, audited=[(honest.train[0], honest.test[0])])


@pytest.mark.parametrize(
    "settings",
    [{"valid_fold": True}, {"val_ratio": 0.17}, {"tuning_ratio": 0.34}, {"train_fraction": 0.5}],
    ids=lambda settings: next(iter(settings)),
)
def test_random_clips_train_and_select_on_as_many_clips_as_the_honest_split(settings):
    config = replace(CONFIG, **settings)
    for fold in fold_numbers(CLIPS, config):
        fair, leaky = make_split(CLIPS, config, fold), random_clips(CLIPS, config, fold)
        sizes = [[len(ids) for ids in split.subsets().values()] for split in (fair, leaky)]
        assert bool(leaky.valid) == bool(fair.valid)
        np.testing.assert_allclose(*sizes, atol=3, err_msg="but for a group of three clips, which is never divided")


def test_published_folds_need_not_count_from_1():
    clips = [replace(clip, fold=[2, 5, 9][i % 18 // 6]) for i, clip in enumerate(CLIPS)]
    config = SplitConfig(kind="folds")
    splits = [make_conditions(clips, (), config, fold)["random_clips"] for fold in (2, 5, 9)]
    assert [split.fold for split in splits] == [2, 5, 9]
    assert sorted(i for split in splits for i in split.test) == sorted(c.clip_id for c in clips)


def test_random_clips_have_as_many_folds_as_speakers():
    config = SplitConfig(kind="leave_one_group_out")
    assert len(random_clips(CLIPS, config, 12).test) == 3


def test_the_test_subset_selects_the_epoch(honest):
    split = epoch_on_test(honest, CLIPS)
    assert split.valid == split.test == honest.test and split.train == honest.train
    check_flagged(split, CLIPS)


def test_copies_stay_with_their_clip_or_cross(honest):
    fair, leaky = add_copies(honest, COPIES), copies_across_subsets(honest, CLIPS, COPIES)
    check_split(fair, [*CLIPS, *COPIES])
    assert len(fair.train) == len(leaky.train) == 3 * len(honest.train)
    assert fair.test == leaky.test == honest.test
    assert not groups(fair.train) & groups(fair.test)
    assert {i.split("_")[0] for i in leaky.train} == {c.clip_id for c in CLIPS}
    assert set(honest.train) <= set(leaky.train) and not set(leaky.train) & set(leaky.test)
    check_flagged(leaky, [*CLIPS, *COPIES])


def test_copies_are_those_of_clips_whose_names_end_like_an_augmentation():
    """`x_orig` was taken for a copy of `x`, so that no copy was added and no leak was measured."""
    clips = [replace(clip, clip_id=f"{clip.clip_id}_orig") for clip in CLIPS]
    copies = [replace(c, clip_id=f"{c.clip_id}_{name}") for c in clips for name in ("noisy", "pitchUp2")]
    split = make_split(clips, CONFIG, 1)
    assert len(add_copies(split, copies).train) == 3 * len(split.train)
    check_flagged(copies_across_subsets(split, clips, copies), [*clips, *copies])


def test_leaky_splits_are_deterministic(honest):
    assert copies_across_subsets(honest, CLIPS, COPIES) == copies_across_subsets(honest, CLIPS, COPIES[::-1])
    assert random_clips(CLIPS[::-1], CONFIG, 2) == random_clips(CLIPS, CONFIG, 2)
