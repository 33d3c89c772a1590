"""What a run may start from: nothing that the clips it holds out have trained."""

import dataclasses
import hashlib
import json
import logging
import shutil

import numpy as np
import pytest
import soundfile
import torch

from commands import run as run_command
from earmark.analysis.notes import notes_on
from earmark.analysis.records import read_runs
from earmark.config.sections import ModelConfig, Options
from earmark.config.suite import merge
from earmark.datasets.manifest import Clip
from earmark.models.registry import AUDIOSET_FILES
from earmark.models.weights import weights_digest
from earmark.runs.initial_weights import check_weights, is_start_known
from earmark.runs.known_names import warn_of_known_starts
from earmark.runs.plan import plan_suite
from earmark.runs.suite import run_suite
from earmark.splits.split import NOT_REPORTED, LeakageError, Split
from earmark.training.checkpoint import load_checkpoint, write_checkpoint


@pytest.fixture(scope="module")
def first(tmp_path_factory, tones):
    """A run that was trained on fold 2 and tested on fold 1, with its suite."""
    from earmark.config.suite import SuiteConfig

    root = tmp_path_factory.mktemp("weights")
    content = {
        "name": "first",
        "folds": [1],
        "seeds": [1],
        "data": {"dataset": "folder", "root": str(tones)},
        "front_end": {"n_fft": 256, "hop_length": 64, "n_mels": 32},
        "split": {"kind": "group_kfold", "n_folds": 2},
        "train": {"epochs": 1, "batch_size": 4},
    }
    suite = merge(SuiteConfig(), content)
    options = Options(runs=root / "runs", work=root / "work", device="cpu", threads=1)
    plan = plan_suite(suite, options)
    assert run_suite(plan, options) == {}
    return suite, options, plan.runs[0]


def starting_from(suite, weights, **changes):
    return merge(suite, {"name": "second", "model": {"weights": str(weights)}, **changes})


@pytest.mark.parametrize("name", ["imagenet", "audioset", "none"])
def test_what_has_the_name_of_published_weights_is_not_read(first, tmp_path, monkeypatch, caplog, name):
    _, _, run = first
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run.folder, tmp_path / name)
    model = ModelConfig(weights=name)
    clips = [Clip(clip_id, tmp_path / clip_id, "a", clip_id) for clip_id in run.split.train]
    warn_of_known_starts([(model, Split((), (), run.split.train, "files", 1), clips)])
    assert not caplog.messages
    shutil.rmtree(tmp_path / name)
    (tmp_path / name).write_bytes(b"weights")
    assert weights_digest(name) == "" and is_start_known(model)
    assert weights_digest(f"./{name}") and not is_start_known(ModelConfig(weights=f"./{name}"))


def test_weights_that_the_test_clips_trained_are_refused(first, monkeypatch):
    suite, options, run = first
    weights = run.folder / "last.safetensors"
    assert plan_suite(starting_from(suite, weights), options).missing, "it has not heard the test clips of fold 1"
    held_out = len(run.split.train)
    message = rf"model\.weights = .*: was trained on {held_out} of the {held_out} clips that fold 2 holds out; give"
    with pytest.raises(LeakageError, match=message):
        plan_suite(starting_from(suite, weights, folds=[1, 2]), options)
    monkeypatch.setenv("HOME", str(weights.parent))
    with pytest.raises(LeakageError, match=message):
        plan_suite(starting_from(suite, "~/last.safetensors", folds=[2]), options)


def test_a_network_for_use_may_start_from_weights_that_know_its_clips(first):
    """Nothing is reported of it, so nothing can be inflated."""
    suite, options, run = first
    (second,) = plan_suite(starting_from(suite, run.folder / "last.safetensors"), options).runs[:1]
    store = plan_suite(suite, options).data_of(run).store
    held_out = dataclasses.replace(run.split, valid=run.split.train[:2], train=run.split.train[2:], test=())
    final = dataclasses.replace(held_out, kind=NOT_REPORTED)
    assert check_weights(second.config, store, final) == final
    with pytest.raises(LeakageError):
        check_weights(second.config, store, held_out)


def test_such_weights_are_a_permanent_flag_where_leakage_is_allowed(first, tmp_path):
    suite, options, run = first
    options = dataclasses.replace(options, allow_leakage=True, runs=tmp_path / "runs")
    plan = plan_suite(starting_from(suite, run.folder / "last.safetensors", folds=[2]), options)
    assert run_suite(plan, options) == {}
    records = read_runs(options.runs)
    assert "LEAKAGE in 1 of 1 runs" in notes_on({"second": records}, n_groups=9, unfinished=[])[0]
    n = len(run.split.train)
    assert json.loads((plan.runs[0].folder / "result.json").read_text())["split"]["leaks"] == [
        f"{n} of {n} held-out clips trained last.safetensors"
    ]


def test_a_checkpoint_that_hides_what_trained_it_or_hears_otherwise_is_named(first, tmp_path, caplog):
    suite, options, run = first
    silent = tmp_path / "silent.safetensors"
    network, metadata = load_checkpoint(run.folder)
    write_checkpoint(silent, network, dataclasses.replace(metadata, recordings=()))
    with caplog.at_level(logging.WARNING, logger="earmark"):
        plan_suite(starting_from(suite, silent, folds=[2], front_end={"f_min": 100.0}), options)
    said = [record.getMessage() for record in caplog.records]
    assert any("does not say which recordings trained it" in text for text in said)
    assert any("was trained on images with front_end.f_min = 0.0 (here 100.0)" in text for text in said)


def test_names_of_clips_and_groups_that_trained_the_weights_are_named(first, tones, tmp_path, caplog):
    """The test clips are converted copies, which a digest of the file does not find."""
    suite, options, run = first
    for path in sorted(tones.rglob("*.wav")):
        copy = tmp_path / "tones" / path.relative_to(tones)
        copy.parent.mkdir(parents=True, exist_ok=True)
        waveform, sample_rate = soundfile.read(path)
        soundfile.write(copy, 0.5 * waveform, sample_rate)
    converted = starting_from(suite, run.folder / "last.safetensors", data={"root": str(tmp_path / "tones")}, folds=[2])
    with caplog.at_level(logging.WARNING, logger="earmark"):
        (second,) = plan_suite(converted, dataclasses.replace(options, work=tmp_path / "work")).missing
    (said,) = [text for text in caplog.messages if "of the same name" in text]
    held_out = {*second.split.valid, *second.split.test}
    assert f"last.safetensors was trained on {len(held_out)} clips (" in said and "its score is too high" in said


def test_a_probe_of_an_exported_model_is_held_to_the_same(first, tmp_path):
    from earmark.cli.main import main

    suite, options, run = first
    exported = tmp_path / "model.onnx"
    main(["export", str(run.folder), str(exported)])
    backbone = {"model": {"name": f"onnx:{exported}"}, "probe": {"kind": "logistic", "model_output": "embedding"}}
    plan_suite(merge(suite, {"name": "third", **backbone}), options)
    with pytest.raises(LeakageError, match=r"model\.name = 'onnx:.*': was trained on"):
        plan_suite(merge(suite, {"name": "third", "folds": [2], **backbone}), options)


def test_weights_of_unknown_training_are_named_and_noted_for_good(first, tmp_path, caplog):
    suite, options, run = first
    stripped = tmp_path / "stripped.pt"
    torch.save(load_checkpoint(run.folder)[0].state_dict(), stripped)
    options = dataclasses.replace(options, runs=tmp_path / "runs")
    with caplog.at_level(logging.WARNING, logger="earmark"):
        plan = plan_suite(starting_from(suite, stripped, folds=[2]), options)
    assert "stripped.pt': does not say which recordings trained it" in caplog.text
    assert run_suite(plan, options) == {}
    notes = notes_on({"second": read_runs(options.runs)}, n_groups=9, unfinished=[])
    assert "It is not known what trained the weights that second started from: if it was the test clips" in notes[0]


def test_published_weights_are_known(tmp_path, monkeypatch):
    published = tmp_path / "mn04.pt"
    published.write_bytes(b"published")
    model = ModelConfig(name="mn04", weights=str(published))
    assert not is_start_known(model)
    sha256 = hashlib.sha256(b"published").hexdigest()
    monkeypatch.setitem(AUDIOSET_FILES, "mn04", (published.name, sha256))
    assert is_start_known(model)
    assert is_start_known(ModelConfig()) and is_start_known(ModelConfig(name="mn04", weights="audioset"))


def test_vectors_of_a_network_that_heard_the_test_clips_are_refused(first, tones, tmp_path, caplog):
    suite, options, run = first
    vectors = tmp_path / "vectors.npz"
    assert run_command("embed", run.folder, tones, "-o", vectors) == 0
    with np.load(vectors) as content:
        arrays = dict(content) | {"paths": [path.replace("<", "_") for path in content["paths"]]}  # as clip ids have it
    np.savez(vectors, **arrays)
    probe = {"name": "fourth", "model": {"name": f"npz:{vectors}"}, "probe": {"kind": "knn"}}
    plan_suite(merge(suite, probe), options)
    with pytest.raises(LeakageError, match=r"model\.name = 'npz:.*': was trained on"):
        plan_suite(merge(suite, {**probe, "folds": [2]}), options)
    np.savez(vectors, paths=arrays["paths"], embeddings=arrays["embeddings"])
    with caplog.at_level(logging.WARNING, logger="earmark"):
        plan_suite(merge(suite, {**probe, "folds": [2]}), options)
    assert "vectors.npz': does not say which recordings trained it" in caplog.text
