"""The unknown score: references, threshold, and the table of classes held out."""

import numpy as np
import pytest

from earmark.deploy.unknown import (
    HeldOutClass,
    compared_scores,
    make_references,
    references_per_class,
    set_gate,
    stack_references,
    unknown_scores,
    unknown_table,
    unknown_table_rows,
)


@pytest.fixture
def clusters():
    """Sixty embeddings around three directions of eight."""
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(3), 20)
    return 5 * np.eye(8)[targets] + 0.3 * rng.normal(size=(60, 8)), targets


def test_scores_are_cosine_distances_to_the_nearest_training_clip(clusters):
    embeddings, targets = clusters
    references = make_references(embeddings, targets, per_class=100)
    rng = np.random.default_rng(1)
    queries = rng.normal(size=(50, 8))
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (queries, embeddings)]
    expected = 1 - (unit[0] @ unit[1].T).max(axis=1)
    np.testing.assert_allclose(unknown_scores(3 * queries, references[None]), expected, atol=1e-3)


def test_few_references_stand_for_every_class(clusters):
    embeddings, targets = clusters
    references = make_references(embeddings, targets, per_class=2)
    assert references_per_class(10) == 10 and references_per_class(10, 8) == 6 and references_per_class(1000) == 1
    assert references.shape == (6, 8) and references.dtype == np.float16
    assert sorted(np.abs(references).argmax(axis=1)) == [0, 0, 1, 1, 2, 2]
    assert (
        unknown_scores(embeddings, references[None]).max() < 0.1 < unknown_scores(np.eye(8)[3:], references[None]).min()
    )


def test_an_ensemble_averages_the_scores_of_its_networks(clusters):
    embeddings, targets = clusters
    references = [make_references(embeddings, targets, per_class) for per_class in (100, 2)]
    queries = np.random.default_rng(2).normal(size=(10, 16))
    alone = [unknown_scores(queries[:, 8 * m : 8 * m + 8], references[m][None]) for m in range(2)]
    np.testing.assert_allclose(unknown_scores(queries, stack_references(references)), np.mean(alone, axis=0), atol=1e-6)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.5])
def test_threshold_keeps_the_rate_of_false_alarms(rate):
    scores = np.random.default_rng(0).gamma(2, size=199)
    gate = set_gate(scores, rate)
    assert (scores > gate.threshold).mean() <= rate
    assert (scores >= gate.threshold).mean() > rate, "no lower threshold would do"
    assert (gate.false_alarms, gate.n_clips) == (rate, 199)


def test_energy_and_probability_follow_the_logits():
    logits = np.array([[2.0, 0.0, -1.0], [0.1, 0.0, 0.0]])
    scores = compared_scores(logits, np.zeros(2))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores["probability"], 1 - probs.max(axis=1))
    np.testing.assert_allclose(scores["energy"], -np.log(np.exp(logits).sum(axis=1)))


def test_table_counts_pairs_and_takes_the_threshold_from_the_other_classes():
    def held_out(label, known, unknown):
        both = [{"distance": np.array(v), "probability": np.array(v)} for v in (known, unknown)]
        return HeldOutClass(label, *both)

    first = held_out("a", [0.1, 0.2, 0.3, 0.9], [0.4, 0.95])
    second = held_out("b", [0.1, 0.2, 0.3, 0.5], [0.2, 0.6])
    a, b, mean = unknown_table([first, second], false_alarms=0.25)
    assert (a.label, a.n_clips, a.auroc["distance"], a.detected, a.false_alarms) == ("a", 2, 7 / 8, 1.0, 0.25)
    assert (b.auroc["distance"], b.detected, b.confident) == (5.5 / 8, 0.5, 0.5)
    assert (mean.label, mean.n_clips, mean.detected) == ("mean", 4, 0.75)
    assert unknown_table_rows([a])[1] == ["a", "2", "0.875", "0.875", "100.0 %", "25.0 %", "50.0 %"]
