"""Summaries and comparisons of synthetic runs, against computations made here from the same run folders."""

import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from earmark.analysis import metrics
from earmark.analysis.aggregate import aggregate
from earmark.analysis.bootstrap import auc_influence, pool_runs, pooled_metrics
from earmark.analysis.compare import COMPARED, Resampling, compare, evaluate
from earmark.analysis.records import RunError, RunRecord, read_runs
from earmark.analysis.statistics import resample_groups
from earmark.config.sections import ModelConfig, SplitConfig
from earmark.config.suite import RunConfig
from run_folders import make_clips, make_probs, write_run, write_suite


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Variants `none` and `cbam` alike, `se` better; 5 folds, 3 seeds. Records and aggregate."""
    skills = {"none": 1.5, "cbam": 1.5, "se": 2.6}
    records = read_runs(write_suite(tmp_path_factory.mktemp("runs"), skills, clips=make_clips(5, 6, 6)))
    return records, aggregate(records)


def of(summaries, name):
    return next(v for v in summaries.variants if v.variant == name)


def runs_of(records, variant):
    return [r for r in records if r.variant == variant]


@pytest.mark.parametrize("metric", ["accuracy", "uar", "macro_f1", "roc_auc", "nll", "ece"])
def test_mean_and_spread_over_folds_and_over_seeds(toy, metric):
    records, result = toy
    table = np.array([r.result["metrics"][metric] for r in runs_of(records, "se")]).reshape(5, 3)
    summary = of(result, "se").metrics[metric]
    assert summary.mean == pytest.approx(table.mean(), abs=1e-12)
    assert summary.std_folds == pytest.approx(table.mean(axis=1).std(ddof=1), abs=1e-12)
    assert summary.std_seeds == pytest.approx(table.mean(axis=0).std(ddof=1), abs=1e-12)
    assert (summary.n_folds, summary.n_seeds) == (5, 3)


def test_pooled_metrics_of_one_seed_are_those_of_all_clips_together(toy):
    records, _ = toy
    result = aggregate([r for r in records if r.config.seed == 1])
    runs = [r for r in runs_of(records, "none") if r.config.seed == 1]
    probs, targets = (np.concatenate([getattr(r, name) for r in runs]) for name in ("probs", "targets"))
    expected = metrics.score(probs, targets, records[0].class_names)
    summary = of(result, "none")
    for name, value in expected["metrics"].items():
        assert summary.metrics[name].pooled == pytest.approx(value, abs=1e-12), name
    assert summary.recall == pytest.approx(expected["recall"], abs=1e-12)
    assert summary.confusion == expected["confusion"]


@pytest.mark.parametrize("metric", ["accuracy", "uar", "top3_accuracy", "roc_auc", "nll"])
def test_pooled_metrics_of_several_seeds_are_their_mean(toy, metric):
    records, result = toy
    one_by_one = [of(aggregate([r for r in records if r.config.seed == s]), "se") for s in (1, 2, 3)]
    expected = np.mean([v.metrics[metric].pooled for v in one_by_one])
    assert of(result, "se").metrics[metric].pooled == pytest.approx(expected, abs=1e-12)


def test_groups_are_scored_one_by_one(toy):
    records, result = toy
    runs = runs_of(records, "cbam")
    group = "source2-3"
    right = [r.predictions[i] == r.targets[i] for r in runs for i, g in enumerate(r.groups) if g == group]
    summary = of(result, "cbam").groups[group]
    assert (summary.n_clips, summary.accuracy) == (6, pytest.approx(np.mean(right), abs=1e-12))
    assert len(of(result, "cbam").groups) == result.n_groups == 30


@pytest.mark.parametrize("metric", ["accuracy", "uar", "macro_f1", "nll", "ece"])
def test_resampled_metrics_equal_those_of_clips_repeated_by_hand(toy, metric):
    """Drawing groups as weights equals writing the clips of each drawn group into the set that often."""
    records, _ = toy
    runs = [r for r in runs_of(records, "none") if r.config.seed == 2]
    groups = sorted({g for r in runs for g in r.groups})
    index = {g: i for i, g in enumerate(groups)}
    weights = np.random.default_rng(0).multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=3)
    ours = pooled_metrics(pool_runs(runs, index), weights.astype(float))[metric]
    probs, targets = (np.concatenate([getattr(r, name) for r in runs]) for name in ("probs", "targets"))
    rows = np.array([index[g] for r in runs for g in r.groups])
    for value, weight in zip(ours, weights, strict=True):
        times = weight[rows]
        expected = metrics.score(probs.repeat(times, axis=0), targets.repeat(times), records[0].class_names)
        assert value == pytest.approx(expected["metrics"][metric], abs=1e-12)


def test_auc_influence_follows_the_auc_of_a_brute_force_bootstrap():
    """First-order resampled AUC against the real one: correlation 0.99, spread within 5 %."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 240)
    logits = rng.normal(size=(240, 3)) + np.eye(3)[targets]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    auc, influence = auc_influence(probs, targets)
    assert auc == pytest.approx(metrics.roc_auc(probs, targets), abs=1e-12)
    times = rng.multinomial(240, np.full(240, 1 / 240), size=300)
    ours = auc + times @ influence
    real = [metrics.roc_auc(probs.repeat(t, axis=0), targets.repeat(t)) for t in times]
    assert np.corrcoef(ours, real)[0, 1] > 0.99
    assert np.std(ours) == pytest.approx(np.std(real), rel=0.05)


def test_bootstrap_interval_is_that_of_group_means(toy):
    """Groups are equally large here, so that the interval of accuracy is near Student's over group means."""
    _, result = toy
    summary = of(result, "none")
    means = [g.accuracy for g in summary.groups.values()]
    reference = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    ours = summary.metrics["accuracy"]
    assert (ours.low, ours.high) == pytest.approx((reference.low, reference.high), abs=0.01)


def test_reliability_bins_give_the_calibration_error(toy):
    _, result = toy
    bins = of(result, "se").reliability
    n = np.array([b.n_clips for b in bins])
    gaps = np.array([abs(b.confidence - b.accuracy) for b in bins])
    assert n.sum() == pytest.approx(result.n_clips)
    assert n @ gaps / n.sum() == pytest.approx(of(result, "se").metrics["ece"].pooled, abs=1e-12)


# --- comparisons


def test_differences_and_tests_equal_those_made_here(toy):
    records, result = toy
    comparison = next(c for c in result.verdicts if (c.variant, c.baseline) == ("se", "none"))
    tables = [
        np.array([r.result["metrics"]["accuracy"] for r in runs_of(records, v)]).reshape(5, 3) for v in ("se", "none")
    ]
    by_fold = (tables[0] - tables[1]).mean(axis=1)
    error = by_fold.std(ddof=1) * np.sqrt(1 / 5 + 1 / 4)
    assert comparison.difference == pytest.approx(by_fold.mean(), abs=1e-12)
    assert comparison.t_p == pytest.approx(2 * stats.t.sf(by_fold.mean() / error, 4), rel=1e-9)
    assert comparison.n_pairs == 15
    assert comparison.p == max(comparison.t_p, comparison.permutation_p)
    assert comparison.low == min(comparison.clip_interval.low, comparison.fold_interval.low)
    assert comparison.high == max(comparison.clip_interval.high, comparison.fold_interval.high)


def test_verdicts_find_the_better_variant_and_no_other(toy):
    _, result = toy
    for metric in COMPARED:
        verdicts = {(c.variant, c.baseline): c.verdict for c in result.comparisons if c.metric == metric}
        assert verdicts == {
            ("none", "cbam"): "no difference shown",
            ("se", "cbam"): "better",
            ("se", "none"): "better",
        }
    assert result.ranks["se"] == 1.0
    assert sum(result.ranks.values()) == pytest.approx(6.0)


def test_with_a_baseline_only_pairs_with_it_are_compared(toy):
    records, _ = toy
    result = aggregate(records, metric="uar", baseline="none")
    assert [(c.variant, c.baseline, c.n_comparisons) for c in result.verdicts] == [
        ("cbam", "none", 2),
        ("se", "none", 2),
    ]
    assert {c.metric for c in result.verdicts} == {"uar"}
    assert result.variants[0].variant == "none"


def test_mcnemar_counts_clips_by_the_majority_of_seeds(toy):
    records, result = toy
    comparison = next(c for c in result.verdicts if (c.variant, c.baseline) == ("se", "none"))
    votes = {}
    for r in records:
        sign = {"se": 1, "none": -1, "cbam": 0}[r.variant]
        for clip_id, right in zip(r.clip_ids, r.predictions == r.targets, strict=True):
            votes[clip_id] = votes.get(clip_id, 0) + sign * right
    assert comparison.only_variant == sum(v > 0 for v in votes.values())
    assert comparison.only_baseline == sum(v < 0 for v in votes.values())


def test_missing_runs_are_left_out_for_both_and_said(toy):
    records, _ = toy
    kept = [r for r in records if not (r.variant == "se" and r.cell in {(2, 1), (2, 2), (2, 3), (4, 1)})]
    result = aggregate(kept)
    counts = {(c.variant, c.baseline): (c.n_pairs, c.n_folds) for c in result.verdicts}
    assert counts == {("none", "cbam"): (15, 5), ("se", "cbam"): (11, 4), ("se", "none"): (11, 4)}
    only_common = aggregate([r for r in kept if r.cell in {q.cell for q in runs_of(kept, "se")}])
    again = next(c for c in only_common.verdicts if (c.variant, c.baseline) == ("se", "none"))
    assert again.difference == next(c for c in result.verdicts if c.variant == "se" and c.baseline == "none").difference
    assert result.n_ranked_folds == 4
    assert any("se lacks 4 of 15 runs (fold 2 seed 1" in note for note in result.notes)
    assert of(result, "se").metrics["accuracy"].n_seeds == 2


def test_one_run_each_is_not_enough_to_tell(tmp_path):
    records = read_runs(write_suite(tmp_path, {"a": 0.2, "b": 4.0}, n_folds=1, seeds=(1,)))
    (comparison,) = aggregate(records).verdicts
    assert comparison.verdict == "not enough runs"
    assert comparison.p is None and comparison.t_p is None


def test_few_groups_have_no_intervals_and_no_verdict(tmp_path):
    clips = make_clips(3, groups_per_fold=1, clips_per_group=40)
    result = aggregate(read_runs(write_suite(tmp_path, {"a": 0.2, "b": 4.0}, 3, (1, 2), clips=clips)))
    assert of(result, "a").metrics["accuracy"].low is None
    assert result.verdicts[0].verdict == "not enough runs"
    assert any("3 groups are too few" in note for note in result.notes)


def test_one_fold_is_compared_over_its_seeds(tmp_path):
    clips = make_clips(2, groups_per_fold=10)
    base = RunConfig(name="toy", split=SplitConfig(kind="holdout"))
    result = aggregate(read_runs(write_suite(tmp_path, {"a": 0.5, "b": 3.0}, 1, range(6), clips, base=base)))
    (comparison,) = result.verdicts
    assert (comparison.n_folds, comparison.n_pairs, comparison.verdict) == (1, 6, "better")


def test_equal_predictions_show_no_difference(tmp_path):
    clips = make_clips(4)
    for variant in ("a", "b"):
        for fold in range(1, 5):
            config = RunConfig(name="toy", variant=variant, fold=fold, model=ModelConfig(attention=variant))
            write_run(tmp_path, config, clips, make_probs([c for c in clips if c.fold == fold], seed=fold))
    (comparison,) = aggregate(read_runs(tmp_path)).verdicts
    assert (comparison.verdict, comparison.difference, comparison.p) == ("no difference shown", 0.0, 1.0)


def test_leave_one_group_out_pools_over_speakers(tmp_path):
    """A speaker with two clips and one class does not weigh as much as the others, nor lacks a recall."""
    clips = make_clips(8, groups_per_fold=1, clips_per_group=8)
    clips = [c for c in clips if c.fold != 8 or c.clip_id in ("8-00-0", "8-00-4")]
    base = RunConfig(name="toy", split=SplitConfig(kind="leave_one_group_out"))
    records = read_runs(write_suite(tmp_path, {"a": 1.0}, 8, (1,), clips, base=base))
    summary = of(aggregate(records), "a")
    right = np.concatenate([r.predictions == r.targets for r in records])
    assert summary.metrics["accuracy"].pooled == pytest.approx(right.mean(), abs=1e-12)
    assert summary.metrics["roc_auc"].n_folds == 7
    assert summary.groups["source8-0"].n_clips == 2


def simulated_run(rng, variant, fold, seed, group_luck, skill):
    """A run in memory on 10 groups of 8 clips: right by the luck of its training, of the group and of the clip."""
    config = RunConfig(name="toy", variant=variant, fold=fold, seed=seed, model=ModelConfig(attention=variant))
    luck = 0.3 * rng.normal() + np.repeat(group_luck, 8) + rng.normal(size=80)
    right = luck + skill > -1.0
    probs = np.where(right[:, None], [0.7, 0.3], [0.3, 0.7])
    names = tuple(f"{fold}-{i:02d}" for i in range(80))
    scores = metrics.score(probs, np.zeros(80, int), ("a", "b"))
    return RunRecord(
        folder=Path(f"{variant}{fold}{seed}"),
        config=config,
        id="",
        settings_id=variant,
        class_names=("a", "b"),
        data_fingerprint=str(fold),
        timing={},
        parts_digest=str(fold),
        result={**scores, "selected_on": "none", "reported_part": "test"},
        n_train=320,
        clip_ids=names,
        groups=tuple(f"{fold}-{i // 8}" for i in range(80)),
        targets=np.zeros(80, int),
        probs=probs,
    )


def simulated_comparison(rng, skill, seeds=(1, 2)):
    """One experiment of two variants on 5 folds; `skill` is what the second has ahead."""
    runs = {"a": [], "b": []}
    for fold in range(5):
        shared = 0.7 * rng.normal(size=10)
        own = {variant: 0.4 * rng.normal(size=10) for variant in runs}
        for variant, ahead in (("a", 0.0), ("b", skill)):
            luck = shared + own[variant]
            runs[variant] += [simulated_run(rng, variant, fold + 1, seed, luck, ahead) for seed in seeds]
    resampling = Resampling(
        {f"{f}-{g}": 10 * (f - 1) + g for f in range(1, 6) for g in range(10)}, resample_groups(50, 200, rng)
    )
    return compare(evaluate(runs["b"], resampling), evaluate(runs["a"], resampling), "accuracy", resampling, rng)


@pytest.mark.parametrize("n_experiments", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_verdicts_on_equal_variants_are_hardly_ever_claims(n_experiments):
    """Under the null, fewer than 7 % of the verdicts claim a difference, where McNemar's test claims far more."""
    rng = np.random.default_rng(0)
    found = [simulated_comparison(rng, skill=0.0) for _ in range(n_experiments)]
    assert np.mean([c.verdict in ("better", "worse") for c in found]) < 0.07
    assert np.mean([c.mcnemar_p < 0.05 for c in found]) > 0.1


def test_verdicts_on_unequal_variants_find_the_better_one():
    rng = np.random.default_rng(1)
    found = [simulated_comparison(rng, skill=1.5).verdict for _ in range(40)]
    assert found.count("better") > 32 and "worse" not in found


# --- what must be said


def test_leaks_and_waivers_are_marked(tmp_path):
    split = {"kind": "folds", "waiver": "esc50-published-folds", "waived_groups": ["131943"], "leaks": ["a in both"]}
    result = aggregate(read_runs(write_suite(tmp_path, {"a": 1, "b": 1}, 3, (1,), split=split)))
    assert of(result, "a").leaks == ("a in both",)
    assert of(result, "a").waived_groups == ("131943",)
    assert any("LEAKAGE in 6 of 6 runs" in note and "a in both" in note for note in result.notes)
    assert any("published exception esc50-published-folds: 131943." in note for note in result.notes)


def test_unfinished_runs_are_counted_and_named(tmp_path):
    folder = write_suite(tmp_path, {"a": 1}, 3, (1,))
    clips = make_clips(3)
    begun = write_run(tmp_path, RunConfig(name="toy", variant="late"), clips, [], finished=False)
    result = aggregate(read_runs(folder))
    assert result.unfinished == (begun.name,)
    assert any(note == f"Unfinished and left out: 1 ({begun.name})." for note in result.notes)


def test_unequal_budgets_are_said(tmp_path):
    clips = make_clips(3)
    for variant, epochs in (("a", 10), ("b", 20)):
        base = RunConfig(name="toy")
        base = replace(base, train=replace(base.train, epochs=epochs))
        write_suite(tmp_path, {variant: 1}, 3, (1,), clips, base=base)
    assert any("train.epochs" in note for note in aggregate(read_runs(tmp_path)).notes)


def test_unknown_metric_and_baseline_are_refused(toy):
    records, _ = toy
    with pytest.raises(RunError, match="metric = 'f1': variants are compared on accuracy or uar"):
        aggregate(records, metric="f1")
    with pytest.raises(RunError, match="baseline = 'non': no variant of these runs; did you mean 'none'"):
        aggregate(records, baseline="non")


def test_the_same_runs_give_the_same_numbers(toy):
    records, result = toy
    assert asdict(aggregate(list(reversed(records)))) == asdict(result)


@pytest.mark.parametrize("n_seeds", [8, pytest.param(50, marks=pytest.mark.slow)])
def test_a_thousand_runs_take_less_than_ten_seconds(tmp_path, n_seeds):
    """160 runs here, 1000 in the slow tests: the time per run counts."""
    clips = make_clips(5, groups_per_fold=20)
    write_suite(tmp_path, {"a": 1.0, "b": 1.0, "c": 1.2, "d": 1.4}, 5, range(n_seeds), clips)
    start = time.process_time()
    result = aggregate(read_runs(tmp_path))
    assert result.n_runs == 20 * n_seeds
    assert time.process_time() - start < 0.01 * result.n_runs
