"""Curves over the number of groups per class, and what is left to gain."""

from dataclasses import replace

import pytest

from earmark.analysis.few_shots import ShotScore, last_gain, shot_curves
from earmark.analysis.records import read_runs
from earmark.config.suite import RunConfig
from earmark.report.page import write_report
from run_folders import make_clips, make_probs, write_run

CLIPS = make_clips(2)


def shots(fold):
    return [
        {"shots": n, "draw": d, "n_clips": 4 * n, "accuracy": 0.1 * n + 0.02 * d + 0.1 * fold, "uar": 0.5}
        for n in (1, 2)
        for d in (0, 1)
    ]


@pytest.fixture
def records(tmp_path):
    for fold in (1, 2):
        test = [c for c in CLIPS if c.fold == fold]
        config = RunConfig(name="toy", variant="knn", fold=fold)
        write_run(tmp_path, config, CLIPS, make_probs(test, fold), few_shots=shots(fold))
        write_run(tmp_path, replace(config, variant="net"), CLIPS, make_probs(test, fold))
    return read_runs(tmp_path)


def test_a_curve_is_the_mean_of_folds_and_draws(records):
    curves = shot_curves({name: [r for r in records if r.variant == name] for name in ("knn", "net")}, "accuracy")
    assert list(curves) == ["knn"]
    first, second = curves["knn"]
    assert (first.shots, first.n_clips, second.shots) == (1, 4.0, 2)
    assert first.mean == pytest.approx(0.1 + 0.01 + 0.15)
    assert first.std == pytest.approx(0.02 / 2**0.5)


def test_the_last_gain_is_that_to_all_groups():
    text = last_gain([ShotScore(1, 4, 0.5, 0.1), ShotScore(5, 20, 0.795, 0.013)], 0.9, "knn")
    assert "gains 10.5 points from 5 groups per class" in text and "differ by 1.3 points" in text
    assert "gains 0.0 points" in last_gain([ShotScore(5, 20, 0.9001, 0.0)], 0.9, "knn"), "zero has no sign"


def test_the_report_has_the_curve_of_the_probe(records, tmp_path):
    write_report(records, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="shots"' in page
    assert "knn, 2 groups per class, 8 clips: 36.0 ± 1.4\N{NO-BREAK SPACE}%" in page
