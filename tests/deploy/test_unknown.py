"""The unknown score: references, threshold, and the table of classes held out."""

from dataclasses import asdict

import numpy as np
import pytest

from earmark.analysis.unknown_tables import threshold_text, unknown_table_rows
from earmark.deploy.unknown import (
    MAX_HELD_OUT,
    PRIOR_CLIPS,
    ComparedScores,
    HeldOutClass,
    References,
    class_distances,
    cross_fitted_scores,
    make_references,
    move_gate,
    references_per_class,
    relative_scores,
    set_gate,
    stack_references,
    unknown_scores,
    unknown_table,
    usual_distances,
)
from earmark.runtime.errors import EarmarkError


@pytest.fixture
def clusters():
    """Sixty embeddings around three directions of eight."""
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(3), 20)
    return 5 * np.eye(8)[targets] + 0.3 * rng.normal(size=(60, 8)), targets


def test_scores_are_cosine_distances_over_the_usual_distance_of_the_class(clusters):
    embeddings, targets = clusters
    references = stack_references([make_references(embeddings, targets, per_class=100)], np.array([0.5, 1, 2]))
    queries = np.random.default_rng(1).normal(size=(50, 8))
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (queries, embeddings)]
    expected = ((1 - unit[0] @ unit[1].T) / np.array([0.5, 1, 2])[targets]).min(axis=1)
    np.testing.assert_allclose(unknown_scores(3 * queries, references), expected, atol=2e-3)


def test_distances_of_nearly_equal_embeddings_are_no_rounding_errors():
    """In single precision they were off by up to 15 % of scores of 0.001 to 0.01, and so was the ONNX file."""
    rng = np.random.default_rng(0)
    stored = (1 + 0.003 * rng.normal(size=(1, 20, 256))).astype(np.float16) / np.float16(16)
    queries = stored[0].astype(np.float32) + 1e-5 * rng.normal(size=(20, 256)).astype(np.float32)
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (queries.astype(float), stored[0].astype(float)))
    squared = ((a[:, None] - b) ** 2).sum(axis=2) / 2
    references = References(stored, np.full((1, 20), 1e-3, np.float32))
    np.testing.assert_allclose(unknown_scores(queries, references), squared.min(axis=1) / 1e-3, rtol=1e-5)
    np.testing.assert_allclose(class_distances(queries, (stored[0], np.arange(20)), 20), squared, rtol=1e-5)


def test_few_references_stand_for_every_class(clusters):
    embeddings, targets = clusters
    vectors, classes = make_references(embeddings, targets, per_class=2)
    assert references_per_class(10) == 10 and references_per_class(10, 8) == 6 and references_per_class(1000) == 1
    assert vectors.shape == (6, 8) and vectors.dtype == np.float16
    assert classes.tolist() == np.abs(vectors).argmax(axis=1).tolist() == [0, 0, 1, 1, 2, 2]
    references = stack_references([(vectors, classes)], np.ones(3))
    assert unknown_scores(embeddings, references).max() < 0.1 < unknown_scores(np.eye(8)[3:], references).min()


def test_an_ensemble_averages_the_scores_of_its_networks(clusters):
    embeddings, targets = clusters
    networks = [make_references(embeddings, targets, per_class) for per_class in (100, 2)]
    usual = np.array([0.5, 1, 2])
    queries = np.random.default_rng(2).normal(size=(10, 16))
    parts = (queries[:, :8], queries[:, 8:])
    alone = [relative_scores(class_distances(q, n, 3), usual) for q, n in zip(parts, networks, strict=True)]
    np.testing.assert_allclose(unknown_scores(queries, stack_references(networks, usual)), np.mean(alone, 0), atol=1e-6)


def test_distance_to_a_class_without_references_is_infinite(clusters):
    embeddings, targets = clusters
    references = make_references(embeddings[targets != 1], targets[targets != 1], 10)
    distances = class_distances(embeddings, references, 3)
    assert np.isinf(distances[:, 1]).all() and np.isfinite(distances[:, [0, 2]]).all()
    assert (distances[targets == 2].argmin(axis=1) == 2).all()


def test_usual_distances_are_means_drawn_toward_that_of_all():
    distances = np.array([[0.1, 1, 1]] * 30 + [[1, 0.4, 1]] * 10)
    overall = (30 * 0.1 + 10 * 0.4) / 40
    prior = PRIOR_CLIPS
    expected = [(3 + prior * overall) / (30 + prior), (4 + prior * overall) / (10 + prior), overall]
    np.testing.assert_allclose(usual_distances(distances), expected)


def test_no_held_out_clip_has_a_say_in_its_own_scale():
    rng = np.random.default_rng(0)
    parts = [rng.gamma(2, size=(20, 3)) for _ in range(3)]
    scores = cross_fitted_scores(parts)
    np.testing.assert_array_equal(scores[1], relative_scores(parts[1], usual_distances(np.concatenate(parts[::2]))))
    np.testing.assert_array_equal(
        cross_fitted_scores(parts[:1])[0], relative_scores(parts[0], usual_distances(parts[0]))
    )


def test_a_tight_class_has_a_nearer_border_than_a_wide_one():
    held_out = np.concatenate([np.full((40, 2), [0.05, 1.0]), np.full((40, 2), [1.0, 0.4])])
    usual = usual_distances(held_out)
    near_tight, near_wide = relative_scores(np.array([[0.3, 1.0], [1.0, 0.45]]), usual)
    assert near_tight > 1.7 * 0.3 / 0.25 > near_wide / 1.5


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.5])
def test_threshold_keeps_the_rate_of_false_alarms(rate):
    scores = np.random.default_rng(0).gamma(2, size=199)
    gate = set_gate(scores, rate)
    assert (scores > gate.threshold).mean() <= rate
    assert (scores * 1.0002 > gate.threshold).mean() > rate, "no threshold that is much lower would do"
    assert (gate.false_alarms, gate.n_clips) == (rate, 199)
    assert move_gate(set_gate(scores, 0.2), rate) == gate


@pytest.mark.parametrize("sign", [1, -1])
def test_the_clip_that_sets_the_threshold_is_not_above_it_when_it_is_scored_once_more(sign):
    scores = sign * np.random.default_rng(0).gamma(2, size=12)
    again = np.float32(scores) * np.float32(1 + sign * 2e-6)  # as another program or machine computes it
    assert (again > set_gate(scores, 0.05).threshold).sum() == 0
    assert (again > set_gate(scores, 0.25).threshold).sum() == 3


def test_text_of_a_threshold_counts_the_clips_above_it():
    for n, rate, expected in ((12, 0.05, "0 of 12"), (400, 0.05, "20 of 400"), (40, 0.01, "0 of 40")):
        gate = set_gate(np.arange(1, n + 1.0), rate)
        assert f"exceeded by {expected} held-out clips of the classes (at most" in threshold_text(**asdict(gate))


def test_a_model_keeps_the_highest_scores_only():
    scores = np.random.default_rng(0).permutation(5000).astype(float)
    gate = set_gate(scores, 0.05)
    assert len(gate.held_out) == MAX_HELD_OUT
    assert gate.threshold == pytest.approx(4749, rel=2e-4)
    assert move_gate(gate, 0.1).threshold == pytest.approx(4499, rel=2e-4)
    for rate, message in ((0.3, "thresholds up to a rate of 0.1998"), (0, "give a share between 0 and 1")):
        with pytest.raises(EarmarkError, match=message):
            move_gate(gate, rate)


def test_energy_and_probability_follow_the_logits():
    logits = np.array([[2.0, 0.0, -1.0], [0.1, 0.0, 0.0]])
    scores = ComparedScores(np.array([[0.3, 0.2, np.inf]] * 2), logits).named(np.array([1.0, 2.0]))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores["probability"], 1 - probs.max(axis=1))
    np.testing.assert_allclose(scores["energy"], -np.log(np.exp(logits).sum(axis=1)))
    np.testing.assert_array_equal(scores["distance"], [1, 2])
    np.testing.assert_array_equal(scores["plain"], [0.2, 0.2])


def test_table_counts_pairs_and_takes_scale_and_threshold_from_the_other_classes():
    def scored(values, column):
        distances = np.full((len(values), 2), np.inf)
        distances[:, column] = values
        return ComparedScores(distances, np.tile([[3.0, 0.0]], (len(values), 1)))

    first = HeldOutClass("a", scored([0.1, 0.2, 0.3, 0.9], 1), scored([0.4, 0.95], 1))
    second = HeldOutClass("b", scored([0.1, 0.2, 0.3, 0.5], 0), scored([0.2, 0.6], 0))
    a, b, mean = unknown_table([first, second], false_alarms=0.25)
    assert (a.label, a.n_clips, a.auroc["distance"], a.auroc["plain"]) == ("a", 2, 7 / 8, 7 / 8)
    # The usual distance of the only other class is drawn to that of all, so scores are distances over its mean.
    assert (a.detected, a.false_alarms) == (1.0, 0.25), "above 0.3 / 0.275, in units of 0.275"
    assert (b.auroc["distance"], b.detected, b.false_alarms, b.confident) == (5.5 / 8, 0.5, 0.25, 1.0)
    assert (mean.label, mean.n_clips, mean.detected) == ("mean", 4, 0.75)
    assert unknown_table_rows([a])[1][:4] == ["a", "2", "0.875", "0.875"]
