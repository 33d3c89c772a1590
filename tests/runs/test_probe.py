"""Probes: hyperparameters by inner group folds, cached embeddings, runs beside trained ones, vectors from a file."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from earmark.analysis.aggregate import aggregate
from earmark.analysis.records import read_runs
from earmark.config.sections import ConfigError, Options, ProbeConfig
from earmark.config.suite import RunConfig, merge, run_id
from earmark.models.create import create_model
from earmark.models.embed import headless
from earmark.runs import embeddings, preflight
from earmark.runs.embeddings import read_vectors, write_vectors
from earmark.runs.plan import plan_suite
from earmark.runs.probe import fit_classifier, logistic, probabilities, probe_candidates
from earmark.runs.probe_run import draw_shots
from earmark.runs.status import read_states
from earmark.runs.suite import run_suite


@pytest.fixture
def options(tmp_path) -> Options:
    return Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1)


def probes(suite, *kinds, **changes):
    return merge(replace(suite, variants={kind: {"probe": {"kind": kind}} for kind in kinds}), changes)


def blobs(n_groups=12, per_group=4, n_classes=3, seed=0):
    """Features of separable classes; each group has a class."""
    rng = np.random.default_rng(seed)
    targets = np.repeat(np.arange(n_groups) % n_classes, per_group)
    return (
        rng.normal(size=(len(targets), 8)) + 4 * np.eye(8)[targets],
        targets,
        [f"g{i // per_group}" for i in range(len(targets))],
    )


@pytest.mark.parametrize("kind", ["knn", "logistic", "mlp"])
def test_a_probe_learns_separable_classes(kind):
    features, targets, groups = blobs()
    estimator, chosen = fit_classifier(probe_candidates(kind, len(targets)), features, targets, groups)
    assert chosen in probe_candidates(kind, len(targets))
    test, wanted, _ = blobs(seed=1)
    probs = probabilities(estimator, test, range(4))
    assert np.mean(probs.argmax(axis=1) == wanted) > 0.95
    np.testing.assert_allclose(probs.sum(axis=1), 1)
    assert (probs > 0).all(), "no log loss is infinite"


def test_inner_folds_keep_groups_together():
    """One neighbor is perfect where a clip's own group is in the training folds, and useless where it is not."""
    rng = np.random.default_rng(0)
    places = np.repeat(rng.normal(size=(24, 8)), 6, axis=0) + 1e-3 * rng.normal(size=(144, 8))
    targets, groups = np.repeat(np.arange(24) % 2, 6), [f"g{i // 6}" for i in range(144)]
    _, chosen = fit_classifier(probe_candidates("knn", 144), places, targets, groups)
    assert chosen > 1


def test_too_few_groups_take_the_middle_value():
    features, targets, groups = blobs(n_groups=3)
    _, chosen = fit_classifier(probe_candidates("logistic", len(targets)), features, targets, groups)
    assert chosen == 1e-2


def test_an_inner_fold_with_fewer_clips_than_neighbors_is_no_error():
    """One group has nearly all clips, so that one of two inner folds trains on the eight others."""
    features, targets, _ = blobs(n_groups=25, n_classes=2)
    groups = ["large"] * 92 + ["small"] * 8
    estimator, chosen = fit_classifier(probe_candidates("knn", 100), features, targets, groups)
    assert chosen in (1, 3, 5) and len(estimator.predict(features)) == 100


def test_probes_and_trained_variants_are_one_suite(small_suite, options):
    suite = merge(small_suite, {"folds": [1], "variants": {"plain": {}, "knn": {"probe": {"kind": "knn"}}}})
    suite = replace(suite, variants={name: suite.variants[name] for name in ("plain", "knn")})
    plan = plan_suite(suite, options)
    assert run_suite(plan, options) == {}
    folder = next(run.folder for run in plan.runs if run.config.variant == "knn")
    assert not list(folder.glob("*.safetensors")) and not (folder / "history.csv").exists()
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert result["probe"]["kind"] == "knn" and result["probe"]["n_features"] == 320
    assert result["selected_on"] == "none" and result["macs"] > 0 and "epochs" not in result
    summary = aggregate(read_runs(options.runs))
    assert {v.variant for v in summary.variants} == {"plain", "knn"}
    assert summary.comparisons[0].n_pairs == 1
    assert not any("probe" in note for note in summary.notes)
    assert {state.state for state in read_states(options.runs)} == {"finished"}


def test_embeddings_are_computed_once_for_all_folds_and_probes(small_suite, options, monkeypatch):
    calls = []
    real = embeddings.infer
    monkeypatch.setattr(embeddings, "infer", lambda *args: calls.append(1) or real(*args))
    suite = merge(probes(small_suite, "knn", "logistic"), {"train": {"window_seconds": 0.3}})
    assert run_suite(plan_suite(suite, options), options) == {}
    assert len(calls) == 1
    again = replace(options, runs=options.runs / "again")
    assert run_suite(plan_suite(suite, again), again) == {}
    assert len(calls) == 1
    first, second = (sorted(o.runs.glob("tones/*/predictions.csv")) for o in (options, again))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert run_suite(plan_suite(merge(suite, {"seeds": [2]}), options), options) == {}
    assert len(calls) == 2, "a random network of another seed"


def test_a_network_whose_embeddings_are_cached_is_not_created(small_suite, options, monkeypatch):
    suite = merge(probes(small_suite, "knn", "logistic"), {"train": {"window_seconds": 0.3}})
    assert run_suite(plan_suite(suite, options), options) == {}
    created = []
    monkeypatch.setattr(preflight, "check_network", lambda config, *_: created.append(config.variant))
    again = replace(options, runs=options.runs.with_name("again"))
    plan_suite(suite, again)
    assert created == []
    for changes in ({"model": {"attention": "se"}}, {"train": {"window_seconds": 0.2}}):
        plan_suite(merge(suite, changes), again)
        assert len(created) == 1, "one check for all probes of a network"
        created.clear()
    plan_suite(replace(suite, variants={"trained": {}, **suite.variants}), again)
    assert created == ["trained"]


def test_a_damaged_cache_is_computed_again(small_suite, options):
    suite = merge(probes(small_suite, "knn"), {"folds": [1]})
    run_suite(plan_suite(suite, options), options)
    (cache,) = options.work.rglob("embeddings-*.npz")
    cache.write_bytes(b"no zip")
    again = replace(options, runs=options.runs / "again")
    assert run_suite(plan_suite(suite, again), again) == {}
    assert cache.stat().st_size > 100


def test_vectors_of_any_backbone_are_taken_from_a_file(small_suite, options, tmp_path):
    plan = plan_suite(probes(small_suite, "knn"), options)
    clips = plan.data_of(plan.runs[0]).clips
    names = sorted({clip.label for clip in clips})
    vectors = 5 * np.eye(3)[[names.index(c.label) for c in clips]] + 0.1
    write_vectors(tmp_path / "v.npz", [c.clip_id for c in clips], vectors)
    suite = probes(small_suite, "knn", "logistic", model={"name": f"npz:{tmp_path / 'v.npz'}"})
    assert run_suite(plan_suite(suite, options), options) == {}
    scores = {v.variant: v.metrics["accuracy"].pooled for v in aggregate(read_runs(options.runs)).variants}
    assert scores == {"knn": 1.0, "logistic": 1.0}
    before = {run.id for run in plan_suite(suite, options).runs}
    write_vectors(tmp_path / "v.npz", [c.clip_id for c in clips], vectors + 1)
    assert not before & {run.id for run in plan_suite(suite, options).runs}, "other vectors are other runs"
    with pytest.raises(ConfigError, match="vectors cannot be trained"):
        plan_suite(merge(suite, {"variants": {"knn": {"probe": {"kind": "none"}}}}), options)


def test_a_file_that_lacks_a_clip_is_refused_by_the_plan(small_suite, options, tmp_path):
    write_vectors(tmp_path / "v.npz", ["other"], np.ones((1, 3)))
    suite = merge(probes(small_suite, "knn", model={"name": f"npz:{tmp_path / 'v.npz'}"}), {"folds": [1]})
    with pytest.raises(ConfigError, match=r"v\.npz.*no vector, or several, for _00, .*; make the file again"):
        plan_suite(suite, options)


def test_arrays_of_other_names_are_named(tmp_path):
    np.savez(tmp_path / "v.npz", files=np.array(["a.wav"]), features=np.ones((1, 2)))
    with pytest.raises(ConfigError, match="has neither clip_ids nor paths, but files, features"):
        read_vectors(f"npz:{tmp_path / 'v.npz'}", ["a"])


def test_vectors_are_found_by_the_whole_name_first_and_by_a_stem_that_is_unique(tmp_path):
    name, vectors = f"npz:{tmp_path / 'v.npz'}", np.arange(4.0)[:, None]
    write_vectors(tmp_path / "v.npz", ["dog", "dog.1", "x/cat.wav", "y/cow.wav"], vectors)
    ids = ["dog.1", "dog", "cat", "cow"]
    assert read_vectors(name, ids)[:, 0].tolist() == [1, 0, 2, 3]
    write_vectors(tmp_path / "v.npz", ["x/dog.wav", "y/dog.wav", "dog.1", "dog.1"], vectors)
    for clip_id in ("dog", "dog.1"):
        with pytest.raises(ConfigError, match=f"no vector, or several, for {clip_id};"):
            read_vectors(name, [clip_id])


def test_few_shots_are_drawn_per_class_and_reported(small_suite, options):
    suite = merge(probes(small_suite, "knn"), {"folds": [1], "probe": {"shots": [1, 4], "draws": 3}})
    suite = replace(suite, variants={"knn": {"probe": {"kind": "knn"}}})
    run_suite(plan_suite(suite, options), options)
    (record,) = read_runs(options.runs)
    entries = record.result["few_shots"]
    assert Counter(e["shots"] for e in entries) == {1: 3, 4: 3}
    assert {e["n_clips"] for e in entries} == {3, 12}, "three classes, each clip its own group"
    targets, groups = np.array([0, 0, 0, 1, 1]), ["a", "a", "b", "a", "c"]
    rows = draw_shots(targets, groups, 1, np.random.default_rng(0))
    assert all(len({groups[r] for r in rows if targets[r] == k}) == 1 for k in (0, 1))


def test_more_shots_than_groups_are_refused_before_anything_is_trained(small_suite, options):
    """Six of twelve groups per class train: 7 shots would be the same draws as 6, all of them, and no curve."""
    probe = merge(probes(small_suite, "knn"), {"probe": {"shots": [1, 6]}})
    assert len(plan_suite(probe, options).runs) == 2
    with pytest.raises(
        ConfigError, match=r"^probe\.shots = 7: fold 1 trains on 6 groups of '<script>'; give at most 6"
    ):
        plan_suite(merge(probe, {"probe": {"shots": [7, 1]}}), options)
    networks = replace(probe, variants={"plain": {}})
    assert plan_suite(merge(networks, {"probe": {"shots": [7]}}), options).runs, "no probe, no curve"


def test_few_shots_are_not_scored_at_the_points_of_a_learning_curve(small_suite, options):
    """They train on fewer groups than the shots may ask for, and no report shows them."""
    suite = merge(probes(small_suite, "knn"), {"folds": [1], "probe": {"shots": [4], "draws": 1}})
    suite = replace(suite, train_fractions=(0.5,))
    run_suite(plan_suite(suite, options), options)
    assert {run.variant: "few_shots" in run.result for run in read_runs(options.runs)} == {
        "knn": True,
        "knn-train0.5": False,
    }


def test_run_ids_without_a_probe_are_those_of_earlier_versions():
    config = RunConfig()
    assert run_id(config, "x") == run_id(replace(config, probe=ProbeConfig()), "x")
    assert run_id(config, "x") != run_id(replace(config, probe=ProbeConfig(kind="knn")), "x")


def test_shots_count_from_one():
    with pytest.raises(ConfigError, match=r"probe\.shots .* give numbers from 1"):
        ProbeConfig(shots=(0,))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("baseline_cnn", 320), ("mn04", 384), ("resnet50", 2048), ("alexnet", 4096), ("timm/test_resnet", 96)),
        *(("cnn6", 512), ("mobilenet_v1", 1024)),
    ],
)
def test_a_headless_network_gives_what_its_head_takes(name, size):
    if name.startswith("timm/"):
        pytest.importorskip("timm", reason="needs the extra timm")
    network = create_model(name, 5, 64)
    with torch.no_grad():
        assert headless(network)(torch.rand(2, 1, 64, 100)).shape == (2, size)
    assert network.get_submodule(network.head) is not None, "the network itself stays whole"


def test_fits_take_one_thread():
    """Two threads on a busy machine wait for each other, many times as long."""
    used = []

    def create():
        used.extend(pool["num_threads"] for pool in threadpool_info())
        return logistic(1.0)

    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    with threadpool_limits(2):
        fit_classifier({1.0: create, 2.0: create}, rng.normal(size=(40, 3)), labels, [str(i) for i in range(40)])
    assert used and set(used) == {1}
