"""Summaries and comparisons of synthetic runs, against computations made here from the same run folders."""

import time
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import stats

from earmark.analysis import metrics
from earmark.analysis.aggregate import aggregate
from earmark.analysis.bootstrap import auc_influence, pool_runs, pooled_metrics, shift_auc
from earmark.analysis.breakdown import ReliabilityBin, calibration_error_by_chance
from earmark.analysis.compare import COMPARED, compare_all, joint_model
from earmark.analysis.history import loss_decrease
from earmark.analysis.leaks import COMPARED as LEAKY_KINDS
from earmark.analysis.records import RunError, read_runs
from earmark.analysis.tables import SPLIT_KINDS, terminal_text, write_tables
from earmark.config.search import TunedConfig
from earmark.config.sections import ModelConfig, SplitConfig
from earmark.config.suite import RunConfig
from earmark.config.training import AugmentConfig, TrainConfig
from run_folders import NAMES, make_clips, make_probs, write_run, write_suite


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
        if name != "roc_auc":
            assert summary.metrics[name].pooled == pytest.approx(value, abs=1e-12), name
    assert summary.recall == pytest.approx(expected["recall"], abs=1e-12)
    assert summary.confusion == expected["confusion"]


@pytest.mark.parametrize("metric", ["accuracy", "uar", "macro_f1", "top3_accuracy", "roc_auc", "nll", "ece"])
def test_pooled_metrics_of_several_seeds_are_their_mean(toy, metric):
    """Macro F1 and ECE of all seeds' clips together would be other numbers (bug 18)."""
    records, result = toy
    one_by_one = [of(aggregate([r for r in records if r.config.seed == s]), "se") for s in (1, 2, 3)]
    expected = np.mean([v.metrics[metric].pooled for v in one_by_one])
    assert of(result, "se").metrics[metric].pooled == pytest.approx(expected, abs=1e-12)


def test_auc_is_averaged_over_folds_because_scores_of_two_networks_have_no_common_scale(toy):
    """One fold's network is made less confident, which orders its own clips as before (bug 16)."""
    records, result = toy
    blunted = [replace(r, probs=blunt(r.probs)) if r.config.fold == 1 else r for r in records]
    for name in ("se", "none"):
        runs = runs_of(records, name)
        per_fold = [np.mean([r.result["metrics"]["roc_auc"] for r in runs if r.config.fold == f]) for f in range(1, 6)]
        assert of(result, name).metrics["roc_auc"].pooled == pytest.approx(np.mean(per_fold), abs=1e-12)
        again = of(aggregate(blunted), name).metrics["roc_auc"].pooled
        assert again == pytest.approx(of(result, name).metrics["roc_auc"].pooled, abs=1e-12)


def blunt(probs):
    """Other probabilities of which every class orders the clips alike: p to 0.4 p, and the rest of 1 to a class."""
    blunted = 0.1 * probs
    blunted[np.arange(len(probs)), 0] += 0.9
    return blunted


@pytest.mark.parametrize("metric", ["macro_f1", "roc_auc", "ece"])
def test_metrics_of_seeds_leave_out_seeds_that_lack_a_fold(toy, metric):
    records, _ = toy
    kept = [r for r in records if r.variant == "se" and r.fold_seed != (2, 3)]
    complete = [r for r in kept if r.config.seed != 3]
    value = of(aggregate(kept), "se").metrics[metric].pooled
    assert value == of(aggregate(complete), "se").metrics[metric].pooled


def test_the_calibration_error_has_no_interval_because_the_bootstrap_is_biased(toy):
    """Of a calibrated network, nearly every resample has a larger error than the clips themselves (bug 18)."""
    records, result = toy
    assert all(v.metrics["ece"].low is None for v in result.variants)
    assert all(v.metrics["macro_f1"].low is not None for v in result.variants)
    rng = np.random.default_rng(0)
    calibrated = [
        replace(r, targets=(rng.random((len(r.probs), 1)) > r.probs.cumsum(axis=1)).sum(axis=1)) for r in records
    ]
    index = {g: i for i, g in enumerate(sorted({g for r in records for g in r.groups}))}
    weights = rng.multinomial(len(index), np.full(len(index), 1 / len(index)), size=300)
    pool = pool_runs(runs_of(calibrated, "se"), index)
    estimate = pooled_metrics(pool, np.ones((1, len(index))))["ece"]
    assert np.mean(pooled_metrics(pool, weights.astype(float))["ece"] > estimate) > 0.9


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


def test_a_changed_auc_stays_below_1_and_falls_further_than_it_rises():
    small, large = np.array([-1e-5, 1e-5]), np.array([-0.02, 0.02])
    assert shift_auc(0.98, small) == pytest.approx(0.98 + small, abs=1e-8)
    low, high = shift_auc(0.98, large)
    assert low < 0.96 < 0.98 < high < 1
    assert np.all(shift_auc(1.0, large) == 1.0)


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


def test_interval_of_accuracy_covers_that_of_group_means(toy):
    """Groups are equally large here: the interval over groups, seeds and folds is a little wider than Student's."""
    _, result = toy
    summary = of(result, "none")
    means = [g.accuracy for g in summary.groups.values()]
    reference = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    ours = summary.metrics["accuracy"]
    assert 1.0 < (ours.high - ours.low) / (reference.high - reference.low) < 1.6
    assert ours.low < ours.pooled < ours.high


def test_reliability_bins_are_the_mean_of_the_seeds(toy):
    records, result = toy
    bins = of(result, "se").reliability
    n = np.array([b.n_clips for b in bins])
    assert n.sum() == pytest.approx(result.n_clips)
    confidences = np.concatenate([r.probs.max(axis=1) for r in runs_of(records, "se")])
    assert n @ [b.confidence for b in bins] == pytest.approx(confidences.sum() / 3)


# --- comparisons


def test_differences_equal_those_made_here_and_the_verdict_follows_from_the_interval(toy):
    records, result = toy
    for metric in COMPARED:
        for c in (c for c in result.comparisons if c.metric == metric):
            means = [
                np.mean([r.result["metrics"][metric] for r in runs_of(records, v)]) for v in (c.variant, c.baseline)
            ]
            if metric == "accuracy":
                assert c.difference == pytest.approx(means[0] - means[1], abs=1e-12)
            assert c.difference == pytest.approx(
                of(result, c.variant).metrics[metric].pooled - of(result, c.baseline).metrics[metric].pooled, abs=1e-12
            )
            j = c.judgment
            assert (c.n_pairs, c.n_folds, c.n_groups, c.n_comparisons) == (15, 5, 30, 3)
            assert j.low < c.difference < j.high
            assert (j.p < 0.05) == (j.low > 0 or j.high < 0) == (c.verdict in ("better", "worse"))
            assert j.probability_better + j.probability_equal + j.probability_worse == pytest.approx(1)


def test_verdicts_find_the_better_variant_and_no_other(toy):
    _, result = toy
    for metric in COMPARED:
        verdicts = {(c.variant, c.baseline): c.verdict for c in result.comparisons if c.metric == metric}
        assert verdicts == {("none", "cbam"): "undecided", ("se", "cbam"): "better", ("se", "none"): "better"}
    assert result.ranks["se"] == 1.0
    assert sum(result.ranks.values()) == pytest.approx(6.0)
    assert (result.best.variant, result.best.n_candidates) == ("se", 3)
    assert of(result, "none").metrics["accuracy"].pooled < result.best.corrected <= result.best.score


def test_equal_scores_of_a_fold_share_a_rank(tmp_path):
    """0.1 + 0.2 and 0.3 differ in the last bit: means of the same counts are ties (bug 18)."""
    clips = make_clips(2, groups_per_fold=8)
    records = read_runs(write_suite(tmp_path, {"a": 1.0, "b": 1.0}, 2, (1, 2, 3), clips))
    scores = {"a": (0.1, 0.2, 0.3), "b": (0.3, 0.2, 0.1)}
    assert np.mean(scores["a"]) != np.mean(scores["b"])
    records = [scored(r, scores[r.variant][r.config.seed - 1]) for r in records]
    assert aggregate(records).ranks == {"a": 1.5, "b": 1.5}


def scored(record, accuracy):
    metrics_with = {**record.result["metrics"], "accuracy": accuracy}
    return replace(record, result={**record.result, "metrics": metrics_with})


def test_a_larger_region_of_practical_equivalence_makes_variants_equal(toy):
    records, _ = toy
    same = [r for r in records if r.variant in ("none", "cbam")]
    (narrow,), (wide,) = (aggregate(same, rope=rope).verdicts for rope in (0.01, 0.3))
    assert (narrow.verdict, wide.verdict) == ("undecided", "practically equal")
    assert (narrow.judgment.low, narrow.judgment.p) == (wide.judgment.low, wide.judgment.p)
    for rope in (0.0, 1.0, -0.1):
        with pytest.raises(RunError, match=f"rope = {rope}: give a fraction between 0 and 1"):
            aggregate(same, rope=rope)


def test_with_a_baseline_only_pairs_with_it_are_compared(toy):
    records, _ = toy
    result = aggregate(records, metric="uar", baseline="none")
    assert [(c.variant, c.baseline, c.n_comparisons) for c in result.verdicts] == [
        ("cbam", "none", 2),
        ("se", "none", 2),
    ]
    assert {c.metric for c in result.verdicts} == {"uar"}
    assert result.variants[0].variant == "none"


def test_clips_that_one_variant_alone_gets_right_are_counted_by_the_majority_of_seeds(toy):
    records, result = toy
    comparison = next(c for c in result.verdicts if (c.variant, c.baseline) == ("se", "none"))
    votes = {}
    for r in records:
        sign = {"se": 1, "none": -1, "cbam": 0}[r.variant]
        for clip_id, right in zip(r.clip_ids, r.predictions == r.targets, strict=True):
            votes[clip_id] = votes.get(clip_id, 0) + sign * right
    assert comparison.only_variant == sum(v > 0 for v in votes.values())
    assert comparison.only_baseline == sum(v < 0 for v in votes.values())


def test_missing_runs_are_left_out_for_both_and_reported(toy):
    records, _ = toy
    kept = [r for r in records if not (r.variant == "se" and r.fold_seed in {(2, 1), (2, 2), (2, 3), (4, 1)})]
    result = aggregate(kept)
    counts = {(c.variant, c.baseline): (c.n_pairs, c.n_folds) for c in result.verdicts}
    assert counts == {("none", "cbam"): (15, 5), ("se", "cbam"): (11, 4), ("se", "none"): (11, 4)}
    only_common = aggregate([r for r in kept if r.fold_seed in {q.fold_seed for q in runs_of(kept, "se")}])
    again = next(c for c in only_common.verdicts if (c.variant, c.baseline) == ("se", "none"))
    assert again.difference == next(c for c in result.verdicts if c.variant == "se" and c.baseline == "none").difference
    assert result.n_ranked_folds == 4
    assert any("se lacks 4 of 15 runs (fold 2 seed 1" in note for note in result.notes)
    assert of(result, "se").metrics["accuracy"].n_seeds == 2


def test_one_run_each_says_that_the_training_set_was_never_varied(tmp_path):
    clips = make_clips(2, groups_per_fold=10)
    records = read_runs(write_suite(tmp_path, {"a": 0.2, "b": 4.0}, n_folds=1, seeds=(1,), clips=clips))
    (comparison,) = aggregate(records).verdicts
    assert comparison.judgment.training_set_assumed
    assert comparison.judgment.variance.training_set > 0


def test_few_groups_have_no_intervals_and_no_verdict(tmp_path):
    clips = make_clips(3, groups_per_fold=1, clips_per_group=40)
    result = aggregate(read_runs(write_suite(tmp_path, {"a": 0.2, "b": 4.0}, 3, (1, 2), clips=clips)))
    assert of(result, "a").metrics["accuracy"].low is None
    for c in result.comparisons:
        assert (c.verdict, c.judgment) == ("too few groups", None)
        pooled = [of(result, v).metrics[c.metric].pooled for v in ("b", "a")]
        assert c.difference == pytest.approx(pooled[0] - pooled[1], abs=1e-12)
    assert result.best is None
    assert any("3 groups of clips: intervals and verdicts need 6" in note for note in result.notes)


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
    assert comparison.difference == 0.0
    assert comparison.verdict in ("undecided", "practically equal")
    assert comparison.judgment.p == 1.0


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


@pytest.mark.parametrize("split_kind", [*LEAKY_KINDS, "my own"])
def test_a_run_of_the_leak_study_has_tables(tmp_path, split_kind):
    """The kinds of split that `earmark optimism` makes were unknown to the sentence on the protocol (bug 7)."""
    split = {"kind": split_kind, "waiver": "", "waived_groups": [], "leaks": ["a leak"]}
    records = read_runs(write_suite(tmp_path, {"random_clips": 1}, 1, (1,), split=split))
    assert "1 run: 1 variant" in write_tables(aggregate(records), tmp_path / "tables")
    words = SPLIT_KINDS[split_kind] if split_kind in LEAKY_KINDS else split_kind
    assert words in (tmp_path / "tables" / "results.md").read_text(encoding="utf-8")


def test_a_model_of_the_comparison_has_a_row_per_run_and_nan_where_a_variant_lacks_it(toy):
    records, _ = toy
    by_variant = {v: [r for r in runs_of(records, v) if (v, r.fold_seed) != ("se", (2, 1))] for v in ("none", "se")}
    runs = joint_model(by_variant, "accuracy").runs
    assert (runs.names, runs.right.shape) == (("none", "se"), (2, 15, 180))
    missing = np.isnan(runs.right).all(axis=2)
    assert missing.sum() == 1 and missing[1, 3]
    assert runs.test_train_ratio == pytest.approx(180 / 144)
    assert np.nansum(runs.right[0]) == sum((r.predictions == r.targets).sum() for r in by_variant["none"])
    (comparison,), best = compare_all(by_variant, joint_model(by_variant, "uar"), "", "uar")
    assert (comparison.n_pairs, best.variant) == (14, "se")


# --- notes


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
    assert any(note == f"1 unfinished run left out: {begun.name}." for note in result.notes)


@pytest.mark.parametrize(
    ("section", "setting", "values"),
    [
        ("train", "epochs", (10, 20)),
        ("train", "lr", (0.001, 0.003)),
        ("train", "weight_decay", (0.0, 0.05)),
        ("train", "backbone_lr_ratio", (0.1, 1.0)),
        ("augment", "mixup_alpha", (0.0, 0.5)),
        ("front_end", "n_mels", (64, 128)),
        ("model", "weights", ("none", "imagenet")),
        ("model", "dropout", (0.1, 0.3)),
    ],
)
def test_every_difference_outside_the_network_is_reported(tmp_path, section, setting, values):
    clips = make_clips(3)
    for variant, value in zip("ab", values, strict=True):
        base = RunConfig(name="toy")
        base = replace(base, **{section: replace(getattr(base, section), **{setting: value})})
        write_suite(tmp_path, {variant: 1}, 3, (1,), clips, base=base)
    expected = f"Variants differ in {section}.{setting} ({values[0]} for a; {values[1]} for b)"
    assert any(note.startswith(expected) for note in aggregate(read_runs(tmp_path)).notes)


def test_a_search_has_a_note_of_its_own_and_all_other_settings_share_one(tmp_path):
    clips = make_clips(3)
    for variant, epochs in (("a", 10), ("b", 20)):
        base = RunConfig(name="toy", train=TrainConfig(epochs=epochs, lr=epochs / 1000))
        if variant == "b":
            base = replace(base, tuned=TunedConfig("once", "ab", ("train.lr",)))
        write_suite(tmp_path, {variant: 1}, 3, (1,), clips, base=base)
    notes = aggregate(read_runs(tmp_path)).notes
    (differing,) = [note for note in notes if note.startswith("Variants differ in ")]
    assert "train.epochs" in differing and "train.lr" in differing and "tuned." not in differing
    assert any(note.startswith("b: train.lr chosen once") for note in notes)


def test_many_settings_that_differ_are_named_and_few_of_them_have_values(tmp_path):
    clips, augment = make_clips(3), AugmentConfig(mixup_alpha=0.1, freq_masks=1, time_masks=1, resize_ratio=0.2)
    for variant, settings in (("a", RunConfig().augment), ("b", augment)):
        base = RunConfig(name="toy", augment=settings, train=TrainConfig(epochs=20 if variant == "b" else 10, lr=0.1))
        write_suite(tmp_path, {variant: 1}, 3, (1,), clips, base=base)
    (note,) = [note for note in aggregate(read_runs(tmp_path)).notes if note.startswith("Variants differ in ")]
    assert note.endswith(
        "augment.time_masks (2 for a; 1 for b); and in train.epochs, whose values `earmark report` lists: "
        "a difference in score may come from that."
    )


def test_variants_that_differ_in_their_attention_alone_have_no_such_note(toy):
    assert not any("differ in" in note for note in toy[1].notes)


@pytest.mark.parametrize(("last", "fall"), [(1.0, 0.0), (0.8, 0.2), (1.2, 0.0)])
def test_a_loss_that_still_falls_is_reported(tmp_path, last, fall):
    """The last fifth of 50 epochs goes in a straight line from 1 to `last`; the curve before does not matter."""
    losses = np.concatenate([np.linspace(3, 1, 40), np.linspace(1, last, 10)])
    assert loss_decrease(losses) == pytest.approx(fall / (1 + last) * 2, abs=1e-12)
    runs = write_suite(tmp_path, {"a": 1}, 2, (1,))
    for path in runs.rglob("history.csv"):
        rows = [f"{e},0.001,{loss},,,,1.0" for e, loss in enumerate(losses, 1)]
        path.write_text("\n".join(["epoch,lr,train_loss,valid_loss,valid_accuracy,valid_uar,seconds", *rows]))
    notes = [n for n in aggregate(read_runs(runs)).notes if "had not converged" in n]
    assert notes == [] if fall == 0 else "(a 22 %)" in notes[0]


def test_two_epochs_are_too_few_to_tell_and_a_missing_history_says_nothing(tmp_path):
    assert loss_decrease(np.array([3.0, 1.0])) == 0.0
    assert loss_decrease(np.array([3.0, np.nan, 1.0])) == 0.0
    runs = write_suite(tmp_path, {"a": 1, "b": 2}, 2, (1,))
    for path in runs.rglob("history.csv"):
        header, *rows = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join([header, *rows[: 2 if path.parent.name.startswith("a-") else 3]]), encoding="utf-8")
    notes = [note for note in aggregate(read_runs(runs)).notes if "Too few epochs" in note]
    assert notes and "converged: a. More epochs" in notes[0]
    for path in runs.rglob("history.csv"):
        path.unlink()
    assert not any("converged" in note for note in aggregate(read_runs(runs)).notes)


def test_clips_that_are_each_a_group_are_noted(tmp_path):
    clips = [replace(c, group=c.clip_id) for c in make_clips(3)]
    notes = aggregate(read_runs(write_suite(tmp_path, {"a": 1}, 3, (1,), clips))).notes
    assert any("Each clip is a group of its own" in note for note in notes)


@pytest.mark.parametrize(
    ("name", "kinds", "noted"),
    [
        ("resnet50", ("none", "se"), True),
        ("resnet50", ("none", "se", "constant"), False),
        ("resnet50", ("se", "cbam"), False),
        ("baseline_cnn", ("none", "se"), False),
    ],
)
def test_attention_in_a_residual_network_from_scratch_asks_for_its_control(tmp_path, name, kinds, noted):
    base = RunConfig(name="toy", model=ModelConfig(name=name))
    runs = write_suite(tmp_path, dict.fromkeys(kinds, 1.5), 2, (1,), base=base)
    assert any("as a control" in note for note in aggregate(read_runs(runs)).notes) == noted


@pytest.mark.parametrize("n_others", [0, 2, 3])
def test_a_class_of_few_groups_is_noted(tmp_path, n_others):
    clips = [replace(c, label="rain") if c.label == "siren" else c for c in make_clips(4, 4)]
    for i in range(1 + n_others):
        clips[16 * i] = replace(clips[16 * i], label="siren")
    notes = aggregate(read_runs(write_suite(tmp_path, {"a": 1}, 4, (1, 2), clips))).notes
    found = [note for note in notes if "clips of siren are of fewer than 4 groups: intervals of UAR" in note]
    assert len(found) == (n_others < 3)


def test_classes_that_all_have_few_groups_are_not_noted(tmp_path):
    """Each has two of eight groups: none is judged by what the others vary by."""
    clips = [replace(c, label=NAMES[int(c.group[-1])]) for c in make_clips(2, 4)]
    notes = aggregate(read_runs(write_suite(tmp_path, {"a": 1}, 2, (1, 2), clips))).notes
    assert not [note for note in notes if "of fewer than 4 groups" in note]


def test_repeated_partitions_are_more_training_sets_and_not_more_clips(tmp_path):
    clips = make_clips(5, 6, 6)
    groups = sorted({c.group for c in clips})
    again = [replace(c, fold=6 + groups.index(c.group) % 5) for c in clips]
    once, twice = (tmp_path / name for name in ("once", "twice"))
    for variant, skill in (("none", 1.5), ("se", 1.7)):
        clip_probs = dict(zip([c.clip_id for c in clips], make_probs(clips, seed=3, skill=skill), strict=True))
        for fold in range(1, 11):
            config = RunConfig(name="toy", variant=variant, fold=fold, model=ModelConfig(attention=variant))
            partition = clips if fold <= 5 else again
            probs = [clip_probs[c.clip_id] for c in partition if c.fold == fold]
            for runs in [once, twice] if fold <= 5 else [twice]:
                write_run(runs, config, partition, np.array(probs))
    single, double = (aggregate(read_runs(runs)) for runs in (once, twice))
    assert double.n_clips == single.n_clips == len(clips)
    assert double.variants[0].groups == single.variants[0].groups
    for metric in ("accuracy", "uar", "macro_f1", "nll", "ece"):
        pooled = [result.variants[1].metrics[metric].pooled for result in (single, double)]
        assert pooled[1] == pytest.approx(pooled[0], abs=1e-9), metric
    (one, *_), (two, *_) = single.verdicts, double.verdicts
    assert (one.n_folds, two.n_folds) == (5, 10)
    assert two.difference == pytest.approx(one.difference, abs=1e-12)
    before, after = one.judgment.variance, two.judgment.variance
    assert after.groups == pytest.approx(before.groups, rel=0.2), "equal predictions say nothing new about the groups"
    assert after.training_set < 0.8 * before.training_set


def test_unknown_metric_and_baseline_are_refused(toy):
    records, _ = toy
    with pytest.raises(RunError, match="metric = 'f1': not a metric for comparisons; choose from accuracy, uar"):
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


def test_variants_with_the_same_predictions_are_named(toy):
    records, result = toy
    assert not any("one model" in note for note in result.notes)
    copies = [replace(r, config=replace(r.config, variant="copy")) for r in runs_of(records, "se")]
    text = "All predictions of copy, se are the same: are they one model under several names?"
    assert text in aggregate([*records, *copies]).notes
    labels = [replace(r, predictions=r.targets, probs=np.eye(4)[r.targets], has_probs=False) for r in copies]
    perfect = [replace(r, config=replace(r.config, variant=name)) for r in labels for name in ("a", "b")]
    assert not any("one model" in note for note in aggregate(perfect).notes), "all are right, and labels prove nothing"


def test_the_interval_of_the_only_pair_with_enough_groups_is_for_no_others(tmp_path):
    records = read_runs(write_suite(tmp_path, {"a": 1.5, "b": 1.5, "c": 1.5}))
    text = terminal_text(aggregate([r for r in records if r.variant != "b" or r.config.fold == 1]))
    assert text.count("too few groups") == 2
    assert "comparisons together" not in text
    assert "for all 3 comparisons together" in terminal_text(aggregate(records))


@pytest.mark.parametrize(("n", "limit"), [(60, 0.16), (400, 0.06), (5000, 0.02)])
def test_calibrated_probabilities_have_the_calibration_error_of_chance(n, limit):
    rng, found, expected = np.random.default_rng(n), [], []
    for _ in range(60):
        probs = rng.dirichlet([0.4] * 5, n)
        targets = (rng.random((n, 1)) > probs.cumsum(axis=1)).sum(axis=1).clip(0, 4)
        found.append(metrics.expected_calibration_error(probs, targets))
        confidence = probs.max(axis=1)
        index = metrics.confidence_bins(confidence)
        bins = [ReliabilityBin(float(confidence[index == k].mean()), 0.0, float((index == k).sum())) for k in {*index}]
        expected.append(calibration_error_by_chance(bins))
    assert np.mean(expected) == pytest.approx(np.mean(found), rel=0.1)
    assert limit / 3 < np.mean(expected) < limit
