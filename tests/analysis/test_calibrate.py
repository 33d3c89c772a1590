"""Calibration: what is fitted on held-out logits makes probabilities mean what they say."""

from types import SimpleNamespace

import numpy as np
import pytest

from earmark.analysis import calibrate
from earmark.analysis.calibrate import (
    Calibration,
    calibrated_probabilities,
    choose_calibration,
    cross_fitted_probabilities,
    fit_calibration,
    log_loss,
)


def draw(temperature, bias=(0.0, 0.0, 0.0), n=4000, seed=0):
    """Logits that are `temperature` times too sure of targets drawn from the true probabilities."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(n, 3)) * 1.5
    probs = calibrated_probabilities(true, Calibration(1.0, tuple(bias)))
    targets = (probs.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return true * temperature, targets, np.arange(n) % 5


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_true_temperature_is_found(temperature):
    logits, targets, _ = draw(temperature)
    assert fit_calibration(logits, targets).temperature == pytest.approx(temperature, rel=0.08)


def test_the_true_bias_is_found():
    logits, targets, _ = draw(2.0, bias=(1.0, 0.0, -1.0), n=20_000)
    found = fit_calibration(logits, targets, with_bias=True)
    assert found.temperature == pytest.approx(2.0, rel=0.08)
    np.testing.assert_allclose(found.bias, [1, 0, -1], atol=0.15)


def test_separable_predictions_keep_a_finite_temperature():
    logits = np.eye(3)[np.arange(30) % 3] * 5
    assert 1 / 20 <= fit_calibration(logits, np.arange(30) % 3).temperature < 1
    assert [Calibration(t).at_limit for t in (0.05, 0.06, 1.0, 19.0, 20.0)] == [True, False, False, False, True]


def test_each_fold_is_judged_by_a_calibration_fitted_on_the_others():
    logits, targets, folds = draw(3.0, n=500)
    probs = cross_fitted_probabilities(logits, targets, folds)
    other = folds != 2
    expected = calibrated_probabilities(logits[folds == 2], fit_calibration(logits[other], targets[other]))
    np.testing.assert_allclose(probs[folds == 2], expected)


def test_bias_is_taken_only_where_it_helps_and_the_report_says_what_it_brings():
    report = choose_calibration(*draw(3.0, n=1000))
    assert not report.calibration.bias
    assert report.log_loss_after < report.log_loss_before and report.error_after < report.error_before
    assert choose_calibration(*draw(3.0, bias=(1.5, 0.0, -1.5))).calibration.bias


def test_temperature_keeps_the_order_and_probabilities_sum_to_one():
    logits = np.random.default_rng(0).normal(size=(50, 4)) * 300
    probs = calibrated_probabilities(logits, Calibration(7.0))
    np.testing.assert_allclose(probs.sum(axis=1), 1)
    np.testing.assert_array_equal(probs.argmax(axis=1), logits.argmax(axis=1))
    assert np.isfinite(log_loss(probs, np.zeros(50, int)))


def out_of_fold(folds):
    """Records of these clips by fold."""
    return [
        SimpleNamespace(
            config=SimpleNamespace(fold=fold),
            has_probs=True,
            clip_ids=tuple(ids),
            probs=np.full((3, 2), 0.5),
            targets=np.array([0, 1, 0]),
        )
        for fold, ids in folds.items()
    ]


def test_a_clip_of_repeated_partitions_is_held_out_once(monkeypatch):
    """Two partitions of two folds: in the second, the clips of fold 1 are dealt to both folds."""
    records = out_of_fold({4: "bcf", 3: "ade", 2: "def", 1: "abc"})
    seen = []
    monkeypatch.setattr(calibrate, "choose_calibration", lambda logits, targets, folds: seen.append(folds))
    calibrate.calibrate_records(records)
    held_out = dict(zip("bcfadedefabc", seen[0], strict=True))
    assert held_out == {"a": 1, "b": 1, "c": 1, "d": 2, "e": 2, "f": 2}
    assert seen[0].tolist() == [held_out[clip_id] for clip_id in "bcfadedefabc"]


@pytest.mark.parametrize("folds", [{1: "abc"}, {1: "abc", 2: "cab"}], ids=["one fold", "training sets of one test set"])
def test_clips_that_are_all_held_out_together_cannot_be_cross_fitted(folds):
    assert calibrate.calibrate_records(out_of_fold(folds)) is None
