"""Strategies as functions of what was scored: against the published bracket, and on a function with a known best."""

import dataclasses
import math

import pytest

from earmark.config.search import SearchConfig
from earmark.config.search_space import Dimension, apply
from earmark.config.suite import RunConfig
from earmark.runs.search_strategies import FAILED, Outcome, next_trials, planned_epochs, rungs

RATE = Dimension("train.lr", low=1e-4, high=1.0, log=True)
KIND = Dimension("augment.waveform", choices=([], ["noisy"]))
SPACE = [RATE, KIND]
DEFAULT = {"train.lr": 1e-4, "augment.waveform": []}
BASE = apply(RunConfig(), DEFAULT | {"train.epochs": 27})


def score(trial):
    """The better, the nearer the rate is to 0.01; longer training changes nothing."""
    return Outcome(1 - abs(math.log10(trial.settings["train.lr"]) + 2) / 4, 0.0)


def search(config, base=BASE, rounds=100):
    """All rounds of a search, each a list of trials."""
    done, out, found = [], {}, []
    for _ in range(rounds):
        trials = next_trials(config, SPACE, base, done, out)
        if not trials:
            break
        found.append(trials)
        done += trials
        out |= {(t.number, t.epochs): score(t) for t in trials}
    return found


def test_the_bracket_is_that_of_hyperband():
    """Li et al. (2018), table 1: R = 81 and eta = 3, the bracket s = 4; the others have fewer rounds."""
    assert rungs(81, 81, 1, 3) == [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)]
    assert rungs(81, 81, 9, 3) == [(81, 9), (27, 27), (9, 81)]
    assert rungs(2, 40, 5, 3) == [(2, 40)], "too few trials for a second round"
    assert rungs(9, 10, 20, 3) == [(9, 10)], "too few epochs for a second round"


def test_halving_trains_longer_what_was_better_and_always_the_default():
    rounds = search(SearchConfig(strategy="halving", trials=9, min_epochs=3))
    assert [({t.epochs for t in r}, len(r)) for r in rounds] == [({3}, 9), ({9}, 4), ({27}, 2)]
    first = {t.number: score(t).score for t in rounds[0]}
    best = sorted(first, key=first.get, reverse=True)
    assert {t.number for t in rounds[1]} == {0, *best[:3]} and {t.number for t in rounds[2]} == {0, best[0]}


@pytest.mark.parametrize("rate", [1e-4, 0.01])
def test_a_plan_of_halving_is_never_less_than_the_search(rate):
    """Trial 0, the default, is trained in every round, whether or not it is among the best."""
    config, base = SearchConfig(strategy="halving", trials=9, min_epochs=3), apply(BASE, {"train.lr": rate})
    trained = [trial.epochs for trials in search(config, base) for trial in trials]
    planned = planned_epochs(config, SPACE, base)
    assert sorted(planned) == [3] * 9 + [9] * 4 + [27] * 2
    assert len(trained) <= len(planned) and sum(trained) <= sum(planned)


def test_random_search_asks_for_all_at_once_or_in_rounds_under_a_limit_of_time():
    (all_at_once,) = search(SearchConfig(trials=6))
    rounds = search(SearchConfig(trials=6, minutes=1))
    assert [len(r) for r in rounds] == [4, 2] and [*rounds[0], *rounds[1]] == all_at_once
    assert all_at_once[0].settings == DEFAULT


def test_a_searched_number_of_epochs_is_that_of_the_trial():
    space = [Dimension("train.epochs", choices=(3, 9))]
    trials = next_trials(SearchConfig(trials=3), space, apply(BASE, {"train.epochs": 5}), [], {})
    assert sorted(t.epochs for t in trials) == [3, 5, 9]


def test_tpe_is_deterministic_and_goes_on_where_it_was_interrupted():
    pytest.importorskip("optuna")
    config = SearchConfig(strategy="tpe", trials=10)
    whole = search(config)
    assert search(config) == whole and [len(r) for r in whole] == [4, 4, 2]
    assert whole[0][0].settings == DEFAULT
    done = [t for r in whole[:2] for t in r]
    assert next_trials(config, SPACE, BASE, done, {(t.number, t.epochs): score(t) for t in done}) == whole[2]
    assert search(dataclasses.replace(config, seed=1)) != whole


def test_tpe_tries_the_config_as_it_is_in_place_of_what_the_config_refuses():
    """Class weights and balanced sampling correct the same imbalance, so that only one of them may be on."""
    pytest.importorskip("optuna")
    names = {"train.class_weights": ["none", "balanced"], "train.sampler": ["shuffle", "class_balanced"]}
    space = [Dimension(name, choices=tuple(choices)) for name, choices in names.items()]
    done, out = [], {}
    for _ in range(4):
        done += next_trials(SearchConfig(strategy="tpe", trials=16), space, BASE, done, out)
        out = {(t.number, t.epochs): Outcome(0.5, 0.1) for t in done}
    found = {tuple(t.settings.values()) for t in done}
    assert len(done) == 16 and found == {("none", "shuffle"), ("balanced", "shuffle"), ("none", "class_balanced")}


def test_tpe_learns_from_its_trials_and_survives_failures():
    pytest.importorskip("optuna")
    rounds = search(SearchConfig(strategy="tpe", trials=40))
    means = [sum(score(t).score for t in several) / 4 for several in rounds]
    assert sum(means[-4:]) / 4 > sum(means[:4]) / 4 + 0.1
    failed = {(t.number, t.epochs): FAILED for t in rounds[0]}
    assert len(next_trials(SearchConfig(strategy="tpe", trials=8), SPACE, BASE, rounds[0], failed)) == 4
