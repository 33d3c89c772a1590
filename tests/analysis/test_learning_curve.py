"""Learning curves: points are no contestants, the gain is the paired comparison, and its verdict is said in words."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from earmark.analysis.aggregate import aggregate
from earmark.analysis.confidence import find_thresholds
from earmark.analysis.json_results import results_json
from earmark.analysis.records import read_runs
from earmark.analysis.tables import results_markdown, terminal_text
from earmark.analysis.verdicts import MORE_RECORDINGS, curve_text
from earmark.config.suite import RunConfig, merge
from earmark.report.page import write_report
from run_folders import make_clips, make_probs, write_run

CLIPS = make_clips(5, groups_per_fold=10)


def write_curve(folder, skills, variant="net", seeds=(1, 2)):
    """Runs with each fraction of the training groups; its skill says how good they are."""
    for fraction, skill in skills.items():
        for fold in range(1, 6):
            for seed in seeds:
                test = [c for c in CLIPS if c.fold == fold]
                others = [c for c in CLIPS if c.fold != fold and (int(c.group[-1]) + seed) % 10 < 10 * fraction]
                name = variant if fraction == 1 else f"{variant}-train{fraction:g}"
                config = merge(RunConfig(name="toy", variant=name, fold=fold, seed=seed), {})
                config = replace(config, split=replace(config.split, train_fraction=fraction))
                probs = make_probs(test, [fold, seed], skill)
                draw = 0 if fraction == 1 else seed
                write_run(folder, config, [*test, *others], probs, fingerprint=f"{fold}-{fraction}-{draw}")
    return folder / "toy"


def test_points_are_no_contestants_and_the_gain_is_paired(tmp_path):
    records = read_runs(write_curve(tmp_path, {0.2: 0.0, 0.5: 1.0, 1.0: 2.5}))
    result = aggregate(records)
    assert [v.variant for v in result.variants] == ["net"] and result.n_runs == 10 and not result.comparisons
    (curve,) = result.curves
    assert [(p.fraction, p.n_groups, p.n_clips, p.n_draws) for p in curve.points] == [
        (0.2, 8, 32, 2), (0.5, 20, 80, 2), (1.0, 40, 160, 2)
    ]  # fmt: skip
    labels = [t.label for t in find_thresholds(records, 0.5)]
    assert labels == ["", *records[0].class_names], "of a single variant, thresholds of its classes"
    by_fraction = [[r for r in records if r.config.split.train_fraction == f] for f in (0.5, 1.0)]
    right = [np.mean(np.concatenate([r.predictions == r.targets for r in runs])) for runs in by_fraction]
    assert curve.gain.difference == pytest.approx(right[1] - right[0])
    assert [p.mean for p in curve.points[1:]] == pytest.approx(right)
    by_seed = [np.mean([r.result["metrics"]["accuracy"] for r in by_fraction[0] if r.config.seed == s]) for s in (1, 2)]
    assert curve.points[1].std == pytest.approx(np.std(by_seed, ddof=1))
    assert curve.gain.verdict == "better" and curve.gain_fraction == 0.5
    assert curve_text(curve).startswith("net: 40 training groups instead of 20 change accuracy by +")
    assert curve_text(curve) in terminal_text(result)
    assert "| net | 50 % | 20 | 80 |" in results_markdown(result)
    assert results_json(result)["learning_curves"][0]["gain"]["verdict"] == "better"


def test_a_draw_that_lacks_a_fold_is_no_draw(tmp_path):
    folder = write_curve(tmp_path, {0.5: 1.0, 1.0: 2.5})
    whole = aggregate(read_runs(folder)).curves[0].points[0]
    for run in folder.glob("net-train0.5-fold3-seed2-*"):
        shutil.rmtree(run)
    point = aggregate(read_runs(folder)).curves[0].points[0]
    assert (whole.n_draws, point.n_draws, point.std) == (2, 1, None)
    first = [r for r in read_runs(folder) if r.config.split.train_fraction < 1 and r.config.seed == 1]
    assert point.mean == pytest.approx(np.mean([r.result["metrics"]["accuracy"] for r in first]))
    for run in folder.glob("net-train0.5-fold4-seed1-*"):
        shutil.rmtree(run)
    assert aggregate(read_runs(folder)).curves[0].points[0].n_draws == 1, "no draw is complete: all runs together"


def test_a_flat_curve_and_a_doubtful_one_are_told_apart(tmp_path):
    records = read_runs(write_curve(tmp_path, {0.5: 2.3, 1.0: 2.4}))
    for rope, verdict in ((0.01, "undecided"), (0.2, "practically equal")):
        (curve,) = aggregate(records, rope=rope).curves
        assert curve.gain.verdict == verdict
        assert curve_text(curve).endswith(MORE_RECORDINGS[verdict])


def test_the_report_has_the_curve_and_its_errors_are_those_of_the_contestants(tmp_path):
    folder = write_curve(tmp_path, {0.5: 0.0, 1.0: 9.0})
    write_report(read_runs(folder), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="curve"' in page and "net, 20 groups, 80 clips: " in page
    assert "No clip is wrong on average" in page


def test_points_alone_are_compared_as_variants(tmp_path):
    result = aggregate(read_runs(write_curve(tmp_path, {0.2: 0.0, 0.5: 2.0})))
    assert [v.variant for v in result.variants] == ["net-train0.2", "net-train0.5"] and not result.curves
