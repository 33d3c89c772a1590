"""What can be known before training is reported by the plan, and so by `--dry-run`."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from earmark.config.sections import ConfigError, Options
from earmark.config.suite import merge, to_dict
from earmark.datasets.manifest import write_manifest
from earmark.datasets.read import read_dataset
from earmark.features.windows import window_frames
from earmark.models.create import create_model
from earmark.runs import plan_warnings, preflight
from earmark.runs.leak_study import plan_leak_study
from earmark.runs.plan import plan_suite
from earmark.runs.preflight import expected_frames
from earmark.runs.prepare import prepare_suite
from earmark.runtime.errors import EarmarkError


@pytest.fixture
def options(tmp_path) -> Options:
    return Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"attention": "SE"}}, r"model\.attention = 'SE': unknown name; did you mean 'se'\?"),
        ({"model": {"name": "Resnet50"}}, r"model\.name = 'Resnet50': unknown name; did you mean 'resnet50'\?"),
        ({"model": {"weights": "nowhere.pt"}}, r"model\.weights = 'nowhere\.pt': no such file"),
        ({"model": {"weights": "imagenet"}}, r"model\.weights = 'imagenet': not available for baseline_cnn"),
        ({"augment": {"freq_mask_bins": 33}}, r"augment\.freq_mask_bins = 33: give at most n_mels = 32"),
        ({"train": {"window_seconds": 0.01}}, r"train\.window_seconds = 0\.01: give"),
        ({"train": {"batch_size": 60000, "window_seconds": 3000.0}}, r"train\.batch_size = 60000: .* GiB; give"),
    ],
)
def test_a_setting_that_would_fail_every_run_is_refused_by_the_plan(small_suite, options, changes, message, tmp_path):
    with pytest.raises(EarmarkError, match=message) as caught:
        plan_suite(merge(small_suite, changes), options)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_window_of_ready_made_images_is_that_of_training(small_suite, options, tmp_path):
    """Not the width of the first image, which may be much longer than the others."""
    plan = plan_suite(small_suite, options)
    prepare_suite(plan)
    data = plan.data_of(plan.runs[0])
    config = merge(plan.runs[0].config, {"data": {"images": str(data.store.folder)}})
    widths = [data.store.n_frames(clip.clip_id) for clip in data.clips]
    assert expected_frames(config, data) == int(np.median(widths)) != widths[0]
    second = merge(config, {"train": {"window_seconds": 0.2}})
    assert expected_frames(second, data) == window_frames(0.2, np.array(widths), data.store.front_end)


@pytest.mark.parametrize("plan", [plan_suite, plan_leak_study])
def test_a_data_set_of_one_class_is_refused(plan, small_suite, options, tmp_path):
    """Two networks were trained on it, and both reached 100 %."""
    clips = [dataclasses.replace(clip, label="low") for clip in read_dataset(small_suite.data)]
    write_manifest(clips, tmp_path / "clips.csv")
    suite = merge(small_suite, {"data": {"dataset": "manifest", "root": str(tmp_path / "clips.csv")}})
    with pytest.raises(ConfigError, match=r"data\.root = .*: all clips are of the class 'low'; give two or more"):
        plan(suite, options)


def test_a_variant_is_checked_as_well(small_suite, options):
    suite = merge(small_suite, {"variants": {"a": {}, "b": {"model": {"attention": "cbam2"}}}})
    with pytest.raises(EarmarkError, match=r"'cbam2': unknown name; did you mean 'cbam'\?"):
        plan_suite(suite, options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused_by_the_plan(small_suite, options):
    with pytest.raises(ConfigError, match="device = 'cuda': not available here"):
        plan_suite(small_suite, dataclasses.replace(options, device="cuda"))


def test_weights_that_do_not_fit_are_refused_by_the_plan(small_suite, options, tmp_path):
    weights = tmp_path / "alexnet.pt"
    torch.save(create_model("alexnet", 2, 32).state_dict(), weights)
    with pytest.raises(EarmarkError, match=r"weights .*alexnet\.pt: .* is not in this network"):
        plan_suite(merge(small_suite, {"model": {"weights": str(weights)}}), options)


def test_the_plan_draws_no_random_numbers(small_suite, options):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    plan_suite(small_suite, options)
    assert torch.equal(torch.rand(3), expected)


def finish(run, **changes):
    """Write what a finished run leaves, as far as the plan reads it."""
    run.folder.mkdir(parents=True)
    content = {"run": to_dict(merge(run.config, changes)), "data_fingerprint": run.fingerprint}
    (run.folder / "config.json").write_text(json.dumps(content))
    (run.folder / "result.json").write_text("{}")


def test_finished_runs_of_other_settings_are_named_with_the_difference(small_suite, options):
    finish(plan_suite(merge(small_suite, {"train": {"epochs": 3}}), options).runs[0])
    with pytest.raises(ConfigError, match=r"name = 'tones': .* train\.epochs = 3, not 2, .*; give --name NEW"):
        plan_suite(small_suite, options)
    plan_suite(dataclasses.replace(small_suite, name="other"), options)


def test_finished_runs_of_another_budget_under_another_variant_are_named(small_suite, options):
    other = merge(small_suite, {"train": {"epochs": 3}, "variants": {"third": {}}})
    finish(plan_suite(other, options).runs[0])
    two = dataclasses.replace(small_suite, variants={"plain": {}})
    with pytest.raises(ConfigError, match=r"train\.epochs = 3, not 2"):
        plan_suite(two, options)
    plan_suite(two, dataclasses.replace(options, allow_unequal_budget=True))


def test_more_seeds_and_variants_may_be_added(small_suite, options):
    for run in plan_suite(small_suite, options).runs[:2]:
        finish(run)
    plan_suite(merge(small_suite, {"seeds": [1, 2], "variants": {"new": {"model": {"attention": "se"}}}}), options)


def test_finished_runs_of_other_recordings_are_named(small_suite, options):
    run = plan_suite(small_suite, options).runs[0]
    finish(dataclasses.replace(run, fingerprint="0" * 16, folder=run.folder.with_name("old")))
    with pytest.raises(ConfigError, match=r"old was trained on other recordings, .*; give --name NEW"):
        plan_suite(small_suite, options)


def test_too_few_groups_for_a_verdict_are_warned_of_before_the_training(small_suite, options, caplog):
    plan = plan_suite(small_suite, options)
    assert "neither intervals nor verdicts" not in caplog.text
    few = {
        key: dataclasses.replace(data, clips=tuple(dataclasses.replace(c, group=c.label) for c in data.clips))
        for key, data in plan.data.items()
    }
    n = len({c.group for data in few.values() for c in data.clips})
    assert n < 6
    plan_warnings.warn_of_few_groups(dataclasses.replace(plan, data=few))
    assert f"{n} groups of clips: there will be neither intervals nor verdicts, which need 6" in caplog.text


def test_the_same_recording_in_two_groups_is_warned_of_before_the_training(small_suite, options, caplog):
    """The audit and `validate` find it, but a suite trained on it in silence where nobody had asked them."""
    plan = plan_suite(small_suite, options)
    assert "the same in two groups" not in caplog.text
    ((key, data),) = plan.data.items()
    first, second = data.clips[0], next(c for c in data.clips if c.group != data.clips[0].group)
    index = dict(data.store.index)
    entry = index[second.clip_id, "orig"]
    index[second.clip_id, "orig"] = dataclasses.replace(entry, content=index[first.clip_id, "orig"].content)
    copied = dataclasses.replace(data, store=dataclasses.replace(data.store, index=index))
    plan = dataclasses.replace(plan, data={key: copied})
    plan_warnings.warn_of_copies(plan, [(first.clip_id, second.clip_id)])
    assert "the same in two groups" not in caplog.text, "an audit has found it, and the split keeps them together"
    plan_warnings.warn_of_copies(plan, ())
    assert "1 pair of recordings is the same in two groups" in caplog.text
    assert f"{first.clip_id} = {second.clip_id}; give both the same group or drop one" in caplog.text


def test_a_manifest_without_an_audit_is_warned_of_until_there_is_one(small_suite, options, caplog, tmp_path):
    manifest = tmp_path / "clips.csv"
    write_manifest(read_dataset(small_suite.data), manifest)
    suite = merge(small_suite, {"data": {"dataset": "manifest", "root": str(manifest)}})
    plan_suite(suite, options)
    command = f"`earmark audit {manifest} --json {tmp_path / 'clips.audit.json'}`"
    assert f"no audit is saved beside it, so that altered copies in two subsets would go unnoticed; run {command}" in (
        caplog.text
    )
    caplog.clear()
    (tmp_path / "clips.audit.json").write_text('{"manifest_digest": "other", "copies": []}')
    plan_suite(suite, options)
    assert "no audit is saved" not in caplog.text and "is an audit of other recordings" in caplog.text


def test_the_folds_of_an_official_split_are_not_pooled_in_silence(small_suite, options, caplog):
    plan = plan_suite(small_suite, options)
    config = merge(small_suite, {"split": {"kind": "folds"}, "data": {"dataset": "audformat"}})
    runs = [
        dataclasses.replace(r, config=config.run(r.config.variant, r.config.fold, r.config.seed)) for r in plan.runs
    ]
    plan_warnings.warn_of_official_split(dataclasses.replace(plan, runs=tuple(r for r in runs if r.config.fold == 1)))
    assert "official split" not in caplog.text
    plan_warnings.warn_of_official_split(dataclasses.replace(plan, runs=tuple(runs)))
    assert (
        "the folds of audformat are an official split, 1 test, 2 validation and 3 training, but folds 1, 2"
        in caplog.text
    )
    assert "set folds = [1]" in caplog.text


def test_the_memory_that_fits_is_named(small_suite):
    config = small_suite.run("plain", 1, 1)
    with pytest.raises(ConfigError, match=r"batch_size = 4: training baseline_cnn needs at least .*; give at most 2"):
        preflight.check_memory(config, n_parameters=2**20, n_values=2**28, memory=3 * 2**30)
    preflight.check_memory(config, n_parameters=2**20, n_values=2**20, memory=3 * 2**30)
    preflight.check_memory(config, n_parameters=2**40, n_values=2**20, memory=0)


def test_a_network_is_tried_once_for_all_data_of_one_size(small_suite, options, monkeypatch):
    """The folds of a search have data of their own, and the same networks."""
    tried = []
    monkeypatch.setattr(preflight, "check_model", lambda run, *_: tried.append(run.config.model.dropout))
    variants = {"plain": {}, "dropped": {"model": {"dropout": 0.5}}}
    plans = [plan_suite(merge(small_suite, {"variants": variants, "folds": [fold]}), options) for fold in (1, 2)]
    assert plans[0].data_of(plans[0].runs[0]) is not plans[1].data_of(plans[1].runs[0])
    tried.clear()
    preflight.check_networks(plans, options)
    assert tried == [small_suite.model.dropout, 0.5]
    low = plan_suite(merge(small_suite, {"variants": {}, "front_end": {"n_mels": 16}}), options)
    tried.clear()
    preflight.check_networks([*plans, low], options)
    assert len(tried) == 3, "images of another size are tried as well"
    slow = plan_suite(merge(small_suite, {"variants": {}, "train": {"lr": 1e-4}}), options)
    tried.clear()
    preflight.check_networks([*plans, slow], options)
    assert len(tried) == 2, "a network is the same at another learning rate"


def test_usual_images_are_tried_on_the_processor_and_huge_ones_without_memory(small_suite, options, monkeypatch):
    """The meta device imports much of PyTorch on its first use."""
    devices, create = [], preflight._create
    monkeypatch.setattr(preflight, "_create", lambda *args: devices.append(args[2]) or create(*args))
    random = torch.random.get_rng_state()
    plan_suite(merge(small_suite, {"variants": {}}), options)
    with pytest.raises(ConfigError, match=r"GiB; give"):
        plan_suite(
            merge(small_suite, {"variants": {}, "train": {"batch_size": 60000, "window_seconds": 3000.0}}), options
        )
    assert devices == ["cpu", "meta"]
    assert torch.equal(torch.random.get_rng_state(), random), "weights of the trial draw nothing from the run's numbers"
