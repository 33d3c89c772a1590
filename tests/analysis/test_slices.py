"""Parts of the clips, against scores and tests of scipy and scikit-learn, and by simulation."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

from earmark.analysis.aggregate import aggregate
from earmark.analysis.breakdown import recall_intervals
from earmark.analysis.joint_model import JointModel
from earmark.analysis.paired_runs import PairedRuns
from earmark.analysis.records import read_runs
from earmark.analysis.slice_tables import slice_rows, slice_table, slice_texts
from earmark.analysis.slices import Column, find_slices, labels_of
from earmark.runs.columns import read_column
from run_folders import make_clips, write_suite

PAIR = ("b", "a")


def slices(values, right, group, fold=None, target=None, fixed=False, column="site", pairs=(PAIR,)):
    """The slices of runs (V, R, N)."""
    ids = tuple(map(str, range(right.shape[2])))
    fold = np.zeros(right.shape[1], int) if fold is None else fold
    runs = PairedRuns(("a", "b", "c")[: len(right)], right, fold, group, target, fixed=fixed, clip_ids=ids)
    metric = "accuracy" if target is None else "uar"
    models = {"accuracy": JointModel(replace(runs, target=None)), metric: JointModel(runs)}
    return find_slices(Column(column, dict(zip(ids, values, strict=True))), metric, models, models, pairs)


def simulated(n_groups=40, clips=4, better_in="", points=0.0, seed=0, n_folds=4):
    """Values, right answers (2, R, N), groups and folds; `b` gains in one slice."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), clips)
    values = np.array(["north", "south", "west"])[rng.permutation(n_groups) % 3][group]
    fold = np.repeat(np.arange(n_folds), 2)
    latent = rng.normal(size=n_groups)[group] + rng.normal(size=(2, 1, len(group))) * 0.5 + 1
    latent = latent + 0.3 * rng.normal(size=(2, len(fold), len(group)))
    latent[1] += points * (values == better_in)
    right = (latent > 0).astype(float)
    right[:, group % n_folds != fold[:, None]] = np.nan
    return values, right, group, fold


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slices")
    clips = make_clips(5, 8, 4)
    records = read_runs(write_suite(folder, {"none": 1.5, "se": 2.5}, clips=clips))
    with (folder / "meta.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "site"])
        for clip in clips:
            writer.writerow([f"recordings/{clip.clip_id}.wav", ["A", "B", ""][int(clip.group[-1]) % 3]])
    return folder, records


def test_a_score_is_that_of_the_clips_of_the_part(suite):
    folder, records = suite
    column = read_column("site", labels_of(records), folder / "meta.csv")
    found = aggregate(records, "uar", by=column).slices
    assert [(p.value, p.n_clips, p.n_groups) for p in found.slices] == [("A", 60, 15), ("B", 60, 15)]
    assert found.n_unknown == 40
    for e in found.scores:
        runs = [r for r in records if r.variant == e.variant]
        by_seed = []
        for seed in (1, 2, 3):
            rows = [
                (r.targets[i], r.predictions[i])
                for r in runs
                if r.config.seed == seed
                for i, clip_id in enumerate(r.clip_ids)
                if column.value_of_clip[clip_id] == e.value
            ]
            by_seed.append(balanced_accuracy_score(*zip(*rows, strict=True)))
        assert e.estimate == pytest.approx(np.mean(by_seed))
        assert e.low < e.estimate < e.high


def test_a_difference_is_that_of_a_comparison_of_the_part_alone():
    values, right, group, fold = simulated()
    found = slices(values, right, group, fold)
    tail = 1 - 0.95 ** (1 / 3)
    for e in found.differences:
        of_part = values == e.value
        alone = JointModel(PairedRuns(("a", "b"), right[:, :, of_part], fold, group[of_part]))
        posterior = alone.posterior(*PAIR)
        assert e.estimate == pytest.approx(posterior.estimate)
        assert e.high - e.estimate == pytest.approx(posterior.half_width(tail))


@pytest.mark.parametrize("metric", ["accuracy", "uar"])
def test_a_slice_is_the_same_runs_without_the_other_clips(metric):
    values, right, group, fold = simulated()
    ids = tuple(map(str, range(len(group))))
    target = None if metric == "accuracy" else np.arange(len(group)) % 3
    runs = PairedRuns(("a", "b"), right, fold, group, target, test_train_ratio=1.25, clip_ids=ids)
    models = {metric: JointModel(runs)}
    found = find_slices(Column("site", dict(zip(ids, values, strict=True))), metric, models, models, [PAIR])
    for e in (*found.scores, *found.differences):
        model = JointModel(replace(runs, right=np.where(values == e.value, right, np.nan)))
        if e.baseline:
            posterior = model.posterior(*PAIR)
            reach = posterior.half_width(1 - 0.95 ** (1 / 3))
            expected = posterior.estimate, posterior.estimate - reach, posterior.estimate + reach
        else:
            expected = model.score(e.variant)
        assert (e.estimate, e.low, e.high) == pytest.approx(tuple(expected), abs=1e-12)


def test_a_gap_of_single_clips_is_the_interval_of_welch():
    rng = np.random.default_rng(0)
    values = np.where(np.arange(600) < 150, "A", "B")
    right = (rng.random((1, 1, 600)) < np.where(values == "A", 0.6, 0.8)).astype(float)
    (gap,) = slices(values, right, np.arange(600), fixed=True, pairs=()).gaps
    one, other = (right[0, 0, values == value] for value in "AB")
    low, high = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert gap.estimate == pytest.approx(one.mean() - other.mean())
    assert gap.low == pytest.approx(low, abs=0.004)
    assert gap.high == pytest.approx(high, abs=0.004)
    assert gap.shown


def test_a_change_over_speakers_is_the_t_test_of_two_samples():
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(12), 40)
    fold, values = np.arange(12), np.where(group < 6, "female", "male")
    shift = 0.1 * rng.normal(size=(2, 12))[:, group]
    right = (rng.random((2, 12, 480)) < 0.7 + shift[:, None]).astype(float)
    right[:, group != fold[:, None]] = np.nan
    (change,) = slices(values, right, group, fold).changes
    means = np.nanmean(np.where(np.isfinite(right[0]), right[1] - right[0], np.nan), axis=1)
    reference = stats.ttest_ind(means[:6], means[6:], equal_var=False).confidence_interval(0.95)
    assert change.estimate == pytest.approx(means[:6].mean() - means[6:].mean())
    assert change.high - change.low == pytest.approx(reference.high - reference.low, rel=0.15)


def test_without_a_difference_claims_are_rare():
    found = [slices(*simulated(seed=seed)) for seed in range(60)]
    for kind in ("differences", "gaps", "changes"):
        assert sum(any(e.shown for e in getattr(s, kind)) for s in found) <= 4


def test_a_gain_in_one_part_is_found_there_and_as_a_change():
    found = slices(*simulated(120, better_in="west", points=2.0))
    assert [e.value for e in found.differences if e.shown] == ["west"]
    assert "west" in [e.value for e in found.changes if e.shown]
    texts = slice_texts(found)
    assert any(text.startswith("site west: b is better than a by ") for text in texts)
    assert any("site west: b minus a is" in text and "points larger than for the others" in text for text in texts)
    swapped = slices(*simulated(120, better_in="west", points=2.0), pairs=[PAIR[::-1]])
    (first,) = (e for e in swapped.differences if e.shown)
    assert first.estimate < 0
    assert any(text.startswith("site west: b is better than a by ") for text in slice_texts(swapped))


def test_a_part_without_errors_is_not_taken_for_certain():
    rng = np.random.default_rng(0)
    values = np.where(np.arange(200) < 8, "rare", "common")
    right = (rng.random((1, 1, 200)) < np.where(values == "rare", 1.0, 0.85)).astype(float)
    (gap,) = slices(values, right, np.arange(200), fixed=True, pairs=()).gaps
    assert not gap.shown


def test_average_recall_is_compared_on_common_classes():
    rng = np.random.default_rng(0)
    group, target = np.arange(120), np.arange(120) % 3
    values = np.where(group < 60, "A", "B")
    values[(target == 2) & (values == "B")] = ""  # B has no clip of this class
    right = (rng.random((1, 1, 120)) < np.where(target == 2, 0.1, 0.9)).astype(float)
    found = slices(values, right, group, target=target, fixed=True, pairs=())
    in_part = {v: [right[0, 0, (values == v) & (target == k)].mean() for k in (0, 1)] for v in "AB"}
    assert found.gaps[0].estimate == pytest.approx(np.mean(in_part["A"]) - np.mean(in_part["B"]))
    assert found.scores[0].estimate < 0.75 < found.scores[1].estimate


def test_by_label_is_recall(suite):
    _, records = suite
    result = aggregate(records, "uar", by=read_column("label", labels_of(records)))
    for e in result.slices.scores:
        (variant,) = (v for v in result.variants if v.variant == e.variant)
        assert e.estimate == pytest.approx(variant.recall[e.value])
        assert (e.low, e.high) == pytest.approx(recall_intervals(records)[e.variant][e.value])
    assert slice_table(result.slices).title == "By label: recall, %"


def test_small_parts_have_scores_without_intervals(suite):
    _, records = suite
    few = {clip_id: "few" if "-00-" in clip_id and clip_id[0] in "123" else "many" for clip_id in labels_of(records)}
    found = aggregate(records, by=Column("size", few)).slices
    assert all((e.low is None) == (e.value == "few") for e in (*found.scores, *found.differences))
    assert all(e.low is None for e in found.gaps)
    assert "Too few groups of clips: size few (3)" in slice_texts(found)[-1]


def test_rows_have_every_estimate(suite):
    folder, records = suite
    found = aggregate(records, by=read_column("site", labels_of(records), folder / "meta.csv")).slices
    rows = slice_rows(found)
    assert [row["kind"] for row in rows] == ["scores"] * 4 + ["differences"] * 2 + ["gaps"] * 2 + ["changes"]
    assert {row["n_clips"] for row in rows} == {60}


def test_few_groups_on_one_side_have_few_degrees_of_freedom():
    rng = np.random.default_rng(0)
    values = np.where(np.arange(206) < 6, "few", "many")
    right = np.stack([rng.random(206) < 0.5, rng.random(206) < 0.6]).astype(float)[:, None]
    right[:, 0, :6] = [[1, 0, 1, 0, 0, 0], [0, 1, 1, 0, 1, 1]]
    (change,) = slices(values, right, np.arange(206), fixed=True).changes
    difference = right[1, 0] - right[0, 0]
    reference = stats.ttest_ind(difference[:6], difference[6:], equal_var=False).confidence_interval(0.95)
    assert change.high - change.low == pytest.approx(reference.high - reference.low, rel=0.05)
