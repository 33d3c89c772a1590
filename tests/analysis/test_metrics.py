"""Metrics against scikit-learn (tolerance 1e-12) and worked examples."""

import json

import numpy as np
import pytest
from sklearn import metrics as reference

from earmark.analysis import metrics

NAMES = tuple("abcdef")


def made_up(seed: int, n_clips: int = 200, classes: tuple[int, ...] = tuple(range(6))):
    """Random probabilities (N, 6) that lean towards the targets, and targets drawn from `classes`."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(classes, n_clips)
    logits = rng.normal(size=(n_clips, 6)) + 1.2 * np.eye(6)[targets]
    probs = np.exp(logits)
    return probs / probs.sum(axis=1, keepdims=True), targets


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [tuple(range(6)), (0, 2, 5), (1, 4)])
def test_metrics_equal_scikit_learn(seed, classes):
    probs, targets = made_up(seed, classes=classes)
    predictions = probs.argmax(axis=1)
    result = metrics.score(probs, targets, NAMES)
    expected = {
        "accuracy": reference.accuracy_score(targets, predictions),
        "uar": reference.recall_score(targets, predictions, labels=classes, average="macro"),
        "macro_f1": reference.f1_score(targets, predictions, average="macro"),
        "top3_accuracy": reference.top_k_accuracy_score(targets, probs, k=3, labels=range(6)),
        "roc_auc": np.mean([reference.roc_auc_score(targets == c, probs[:, c]) for c in classes]),
        "nll": reference.log_loss(targets, probs, labels=range(6)),
    }
    for name, value in expected.items():
        assert result["metrics"][name] == pytest.approx(value, abs=1e-12), name
    assert result["confusion"] == reference.confusion_matrix(targets, predictions, labels=range(6)).tolist()


def test_recall_per_class_equals_scikit_learn_and_is_null_for_an_absent_class():
    probs, targets = made_up(0, classes=(0, 1, 2, 3, 4))
    result = metrics.score(probs, targets, NAMES)
    expected = reference.recall_score(targets, probs.argmax(axis=1), labels=range(5), average=None)
    assert [result["recall"][c] for c in NAMES[:5]] == pytest.approx(expected, abs=1e-12)
    assert result["recall"]["f"] is None


def test_auc_counts_ties_half_like_scikit_learn():
    rng = np.random.default_rng(5)
    coarse = rng.integers(1, 4, size=(300, 3)).astype(float)
    targets = rng.integers(0, 3, 300)
    probs = coarse / coarse.sum(axis=1, keepdims=True)
    expected = reference.roc_auc_score(targets, probs, multi_class="ovr", average="macro")
    assert metrics.roc_auc(probs, targets) == pytest.approx(expected, abs=1e-12)


def test_one_class_has_no_auc():
    probs, targets = made_up(1, classes=(3,))
    result = metrics.score(probs, targets, NAMES)
    assert result["metrics"]["roc_auc"] is None
    assert result["metrics"]["uar"] == result["metrics"]["accuracy"] == result["recall"]["d"]


def test_top3_of_two_classes_is_always_right():
    probs, targets = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([1, 0])
    assert metrics.score(probs, targets, "ab")["metrics"] | {"nll": 0} == {
        "accuracy": 0.0,
        "uar": 0.0,
        "macro_f1": 0.0,
        "top3_accuracy": 1.0,
        "roc_auc": 0.0,
        "nll": 0,
        "ece": pytest.approx(0.85, abs=1e-12),
    }


def test_calibration_error_of_a_worked_example():
    """Bins (7/15, 8/15] with confidences 0.505 and 0.53, one right; (14/15, 1] with 0.95 and 1, both right."""
    probs = np.array([[0.505, 0.495], [0.53, 0.47], [0.05, 0.95], [0.0, 1.0]])
    targets = np.array([0, 1, 1, 1])
    expected = (abs(0.5175 - 0.5) + abs(0.975 - 1)) / 2
    assert metrics.expected_calibration_error(probs, targets) == pytest.approx(expected, abs=1e-12)


def test_a_calibrated_model_has_a_small_calibration_error():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.5, 1.0, 100_000)
    targets = (rng.uniform(size=first.size) > first).astype(int)
    probs = np.stack([first, 1 - first], axis=1)
    assert metrics.expected_calibration_error(probs, targets) < 0.01
    assert metrics.expected_calibration_error(probs, np.ones_like(targets)) > 0.7


def test_zero_probability_of_the_truth_is_a_finite_loss():
    result = metrics.score(np.array([[1.0, 0.0]]), np.array([1]), "ab")
    assert result["metrics"]["nll"] == pytest.approx(-np.log(metrics.SMALLEST_PROBABILITY))


def test_scores_are_json():
    probs, targets = made_up(2, classes=(0, 1))
    result = metrics.score(probs.astype(np.float32), targets, NAMES)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize(
    ("probs", "targets", "message"),
    [
        (np.ones((3, 2)) / 2, np.array([0, 1]), "give one row for each of the 2 targets"),
        (np.ones((2, 3)) / 3, np.array([0, 1]), "one column for each of the 2 classes"),
        (np.ones((0, 2)), np.array([], dtype=int), "at least one"),
        (np.ones((2, 2)) / 2, np.array([0, 2]), "indices from 0 to 1"),
        (np.array([[0.5, 0.5], [np.nan, 0.5]]), np.array([0, 1]), "row 1 is not finite"),
    ],
)
def test_impossible_input_is_refused(probs, targets, message):
    with pytest.raises(ValueError, match=message):
        metrics.score(probs, targets, "ab")
