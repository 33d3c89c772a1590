"""The score of sounds that belong to no class."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from earmark.deploy.unknown import auroc, threshold_at, unknown_scores


def clusters(seed=0, n=100):
    rng = np.random.default_rng(seed)
    centers = np.eye(4)[:3] * 5
    known = centers[np.arange(n) % 3] + rng.normal(size=(n, 4)) * 0.3
    return known, np.eye(4)[3] * 5 + rng.normal(size=(n, 4)) * 0.3


def test_what_is_far_from_all_known_clips_scores_higher():
    known, unknown = clusters()
    scores = [unknown_scores(x, known[:50]) for x in (known[50:], unknown)]
    assert auroc(*scores) == 1.0
    assert scores[1].min() > threshold_at(scores[0], 0.05)


def test_loudness_does_not_count():
    known, unknown = clusters()
    np.testing.assert_allclose(unknown_scores(7 * unknown, known), unknown_scores(unknown, known))
    assert unknown_scores(known[:1], known, neighbors=1)[0] == pytest.approx(0, abs=1e-7)


def test_few_known_clips_and_silent_embeddings_have_a_score():
    known, unknown = clusters()
    assert np.isfinite(unknown_scores(unknown, known[:2])).all()
    assert np.isfinite(unknown_scores(np.zeros((1, 4)), known)).all()


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.5])
def test_threshold_has_the_false_alarm_rate(rate):
    scores = np.random.default_rng(0).normal(size=1000)
    assert (scores > threshold_at(scores, rate)).mean() == pytest.approx(rate, abs=0.002)


def test_auroc_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    known, unknown = rng.integers(0, 9, 200), rng.integers(3, 12, 150)
    targets = np.repeat([0, 1], [200, 150])
    assert auroc(known, unknown) == pytest.approx(roc_auc_score(targets, np.concatenate([known, unknown])))
