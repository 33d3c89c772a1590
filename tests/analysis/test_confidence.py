"""The confidence from which on answers are as precise as wanted, by hand and by simulation."""

import csv

import numpy as np
import pytest

from earmark.analysis.confidence import find_thresholds, lowest_confidence, threshold_text
from earmark.analysis.paired_runs import PairedRuns
from earmark.analysis.records import RunError, read_runs
from earmark.analysis.tables import write_thresholds
from earmark.runtime.errors import EarmarkError
from run_folders import make_clips, write_suite

CLIPS = make_clips(4, 15, 4)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return read_runs(
        write_suite(tmp_path_factory.mktemp("confidence"), {"none": 1.5, "se": 4.0}, 4, (1, 2), clips=CLIPS)
    )


def answers(group, right, confidence):
    runs = PairedRuns(("a",), right[None, None].astype(float), np.zeros(1, int), group, fixed=True)
    return runs, confidence[None]


def test_the_lowest_confidence_whose_interval_is_above_is_found():
    confidence = np.repeat([0.305, 0.605, 0.905], 200)
    right = np.concatenate([np.arange(200) % 2, np.arange(200) % 20 > 0, np.ones(200)])
    runs, certain = answers(np.arange(600), right, confidence)
    least, precision = lowest_confidence(runs, certain, 0.9)
    assert least == 0.31  # all answers together are 81.7 % right, those above 0.6 are 97.5 %
    assert precision.estimate == pytest.approx(0.975)
    assert precision.low >= 0.9
    assert lowest_confidence(runs, certain, 0.98)[0] == 0.61
    assert lowest_confidence(runs, certain, 0.75)[0] == 0.01
    assert lowest_confidence(runs, certain, 0.999) is None


def test_a_promise_is_seldom_broken():
    rng, n_broken, n_found = np.random.default_rng(0), 0, 0
    for _ in range(40):
        group = np.repeat(np.arange(80), 4)
        logit = rng.normal(size=80)[group] + 1.5 * rng.normal(size=320) + 1.3
        confidence = 1 / (1 + np.exp(-logit))
        found = lowest_confidence(*answers(group, rng.random(320) < confidence, confidence), 0.8)
        if found is not None:
            n_found += 1
            n_broken += found[0] < 0.42  # from there on, 80 % of all answers are right
    assert n_found > 30
    assert n_broken <= 3


def test_variants_have_one_threshold_and_a_single_one_has_its_classes(records, tmp_path):
    both = find_thresholds(records, 0.8)
    assert [(t.variant, t.label) for t in both] == [("none", ""), ("se", "")]
    assert both[0].answered < both[1].answered == 1.0
    alone = find_thresholds([r for r in records if r.variant == "se"], 0.8)
    assert [t.label for t in alone] == ["", "bark", "bell", "rain", "siren"]
    write_thresholds(alone, tmp_path)
    with (tmp_path / "thresholds.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["confidence"]) == alone[0].confidence
    assert float(rows[0]["low"]) >= 0.8
    write_thresholds(both, tmp_path)
    (tmp_path / "thresholds.csv").write_text("subject,age\n1,30\n")
    with pytest.raises(EarmarkError, match=r"thresholds\.csv: exists and is no such table of earmark"):
        write_thresholds(alone, tmp_path)


def test_a_fraction_is_of_the_predictions_of_the_class(records):
    runs = [r for r in records if r.variant == "none"]
    (rain,) = (t for t in find_thresholds(runs, 0.7) if t.label == "rain")
    of_class = [(r.probs[i].max(), r.targets[i] == 2) for r in runs for i in np.flatnonzero(r.predictions == 2)]
    confident = [right for confidence, right in of_class if confidence >= rain.confidence]
    assert rain.answered == pytest.approx(len(confident) / len(of_class))
    assert rain.precision.estimate == pytest.approx(np.mean(confident))


def test_answers_count_not_the_clips_that_have_one():
    """Each of 3 seeds is sure of other clips; a clip that one seed is sure of counts as one answer, not as three."""
    n = 300
    right = np.tile(np.arange(n) % 3 > 0, (3, 1)).astype(float)
    confidence = np.where(right == 1, 0.9, np.where(np.arange(3)[:, None] == np.arange(n) // 3 % 3, 0.9, 0.2))
    runs = PairedRuns(("a",), right[None], np.zeros(3, int), np.arange(n))
    least, precision = lowest_confidence(runs, confidence, 0.8)
    assert least == 0.21
    assert precision.estimate == pytest.approx(600 / 700)
    assert lowest_confidence(runs, confidence, 0.9) is None


def test_the_interval_of_a_ratio_holds_the_precision():
    """Several seeds that are unlike: the interval is of the answers of other clips and other seeds, too."""
    rng, n_held, truth = np.random.default_rng(0), 0, 0.851
    for _ in range(30):
        group = np.repeat(np.arange(100), 4)
        logit = rng.normal(size=100)[group] + 1.2 * rng.normal(size=400) + 1.3
        confidence = 1 / (1 + np.exp(-(logit + rng.normal(size=(5, 400)))))
        right = (rng.random((5, 400)) < 1 / (1 + np.exp(-logit))).astype(float)
        runs = PairedRuns(("a",), right[None], np.zeros(5, int), group)
        _, precision = lowest_confidence(runs, np.where(confidence >= 0.7, confidence, np.nan), 0.5)
        n_held += precision.low <= truth <= precision.high
    assert n_held >= 27


def test_what_is_not_shown_says_how_many_groups_it_takes(records):
    text = threshold_text(find_thresholds(records, 0.99), 0.99)
    assert "Confidence for a precision of 99 %" in text
    assert "it takes about 381 groups of clips" in text


def test_what_has_no_confidence_is_refused(records):
    labels = read_runs("results/esc50-tuned")
    with pytest.raises(RunError, match="base-nested has predicted labels without probabilities"):
        find_thresholds(labels, 0.9)
