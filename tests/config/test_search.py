"""Search spaces, the trials drawn from them, and what a search writes into a config."""

import dataclasses
import math
from collections import Counter

import pytest

from earmark.config.budget import unequal_budgets
from earmark.config.search_space import Dimension, configuration_id, draw_trials, search_digest, search_space
from earmark.config.sections import ConfigError
from earmark.config.starters import config_folder
from earmark.config.suite import RunConfig, SuiteConfig, deciding_settings, merge, read_suite, run_id
from earmark.config.write import suite_toml

RATE = Dimension("train.lr", low=1e-4, high=1e-2, log=True)
DROPOUT = Dimension("model.dropout", choices=(0.0, 0.3))


def suite_of(space, **search):
    return merge(SuiteConfig(), {"search": {"space": space, **search}})


def test_names_with_and_without_quotes_are_the_same_space(tmp_path):
    (tmp_path / "a.toml").write_text('[search.space]\n"train.lr" = {low = 1e-4, high = 1e-2, log = true}')
    (tmp_path / "b.toml").write_text("[search.space]\ntrain.lr = {low = 1e-4, high = 1e-2, log = true}")
    found = [search_space(read_suite(tmp_path / name)) for name in ("a.toml", "b.toml")]
    assert found[0] == found[1] == [RATE]


@pytest.mark.parametrize(
    ("space", "search", "message"),
    [
        ({}, {}, "search.space = {}: say what to search"),
        ({"train.lrr": [1]}, {}, r"no such setting to search; did you mean 'train\.lr'"),
        ({"split.seed": [1, 2]}, {}, "no such setting to search"),
        ({"train.lr": []}, {}, "give at least one choice"),
        ({"train.lr": 0.1}, {}, "give a list of choices, or"),
        ({"train.lr": {"low": 1e-4}}, {}, "give a list of choices, or"),
        ({"train.lr": {"low": 1e-2, "high": 1e-4}}, {}, "give a low end below the high end"),
        ({"model.dropout": {"low": 0.0, "high": 0.5, "log": True}}, {}, "give a low end above 0"),
        ({"train.epochs": {"low": 1.5, "high": 9}}, {}, "give whole numbers"),
        ({"model.name": {"low": 1, "high": 9}}, {}, "give a list of choices, or"),
        ({"model.dropout": {"low": 0.0, "high": 1.5}}, {}, r"model\.dropout = 1\.5: give 0 \(off\) to below 1"),
        ({"train.schedule": ["cosine", "linear"]}, {}, r"train\.schedule = 'linear': no such choice"),
        ({"train.epochs": [5, 10]}, {"strategy": "halving"}, "leave it out: 'halving' sets the epochs"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_before_anything_is_trained(space, search, message):
    with pytest.raises(ConfigError, match=message):
        search_space(suite_of(space, **search))


def test_halving_has_no_limit_of_time():
    with pytest.raises(ConfigError, match=r"search\.minutes = 5\.0: give 0"):
        suite_of({}, strategy="halving", minutes=5)


def test_every_variant_must_take_every_choice():
    suite = merge(suite_of({"model.train": ["head"]}), {"variants": {"a": {"model": {"weights": "imagenet"}}, "b": {}}})
    with pytest.raises(ConfigError, match=r"model\.train = 'head'"):
        search_space(suite)


def test_draws_are_uniform_in_the_logarithm_and_stay_within_the_range():
    values = [trial["train.lr"] for trial in draw_trials([RATE], RunConfig(), 2000, seed=0)[1:]]
    assert 1e-4 <= min(values) < 1.1e-4 and 0.9e-2 < max(values) <= 1e-2
    below = sum(value < 1e-3 for value in values) / len(values)
    assert math.isclose(below, 0.5, abs_tol=0.05), "half of the draws lie below the geometric mean"
    epochs = Dimension("train.epochs", low=3, high=5, whole=True)
    assert {trial["train.epochs"] for trial in draw_trials([epochs], RunConfig(), 9, 0)[1:]} == {3, 4, 5}


@pytest.mark.parametrize("log", [False, True])
def test_the_ends_of_a_range_of_whole_numbers_are_as_probable_as_the_others(log):
    epochs = Dimension("train.epochs", low=3, high=5, log=log, whole=True)
    count = Counter(epochs.at((i + 0.5) / 3000) for i in range(3000))
    width = {n: math.log((n + 0.5) / (n - 0.5)) / math.log(5.5 / 2.5) if log else 1 / 3 for n in (3, 4, 5)}
    assert {n: c / 3000 for n, c in count.items()} == pytest.approx(width, abs=1e-3)
    assert (epochs.at(0.0), epochs.at(1.0)) == (3, 5)


def test_a_longer_search_begins_with_the_shorter_one_and_a_wider_one_keeps_the_draws():
    default = {"train.lr": 0.003, "model.dropout": 0.3}
    short, long = (draw_trials([RATE, DROPOUT], RunConfig(), n, seed=1) for n in (4, 8))
    assert long[:4] == short and long[0] == default
    alone = draw_trials([RATE], RunConfig(), 4, seed=1)
    assert [t["train.lr"] for t in alone] == [t["train.lr"] for t in short]
    assert draw_trials([RATE, DROPOUT], RunConfig(), 4, seed=2)[1:] != short[1:]


def test_a_small_space_is_exhausted_and_no_trial_is_drawn_twice():
    trials = draw_trials([DROPOUT], RunConfig(), 10, seed=0)
    assert sorted(t["model.dropout"] for t in trials) == [0.0, 0.3]


def tuned(**choices):
    about = {"mode": "nested", "search": "ab", "settings": ["train.lr"], "choices": choices}
    return merge(SuiteConfig(), {"variants": {"a": {"model": {"attention": "se"}, "tuned": about}, "b": {}}})


def test_each_fold_has_the_settings_that_were_chosen_for_it():
    suite = tuned(**{"1": {"train": {"lr": 0.001}}, "2": {"train": {"lr": 0.002}}})
    first, second = (suite.run("a", fold, 42) for fold in (1, 2))
    assert (first.train.lr, second.train.lr, first.model.attention) == (0.001, 0.002, "se")
    assert suite.run("b", 3, 42).train.lr == SuiteConfig().train.lr
    with pytest.raises(ConfigError, match=r"variants\.a\.tuned\.choices: fold 3 was not tuned"):
        suite.run("a", 3, 42)
    with pytest.raises(ConfigError, match=r"choices\.1\.train\.lr = -1\.0|train\.lr = -1\.0"):
        tuned(**{"1": {"train": {"lr": -1.0}}})


def test_the_configuration_of_a_nested_search_is_the_search():
    """Folds differ in their run id, and are one configuration: for tables, the ledger and the budgets."""
    suite = tuned(**{"1": {"train": {"lr": 0.001}}, "2": {"train": {"lr": 0.002}}})
    runs = [suite.run("a", fold, 42) for fold in (1, 2)]
    assert configuration_id(runs[0]) == configuration_id(runs[1])
    one_fold = [dataclasses.replace(run, fold=1) for run in runs]
    assert run_id(one_fold[0], "") != run_id(one_fold[1], "")
    assert {deciding_settings(run)["train.lr"] for run in runs} == {"chosen in each fold"}
    default = merge(runs[0], {"train": {"lr": SuiteConfig().train.lr}})
    assert configuration_id(runs[0]) == run_id(dataclasses.replace(default, seed=0), ""), "as in earlier ledgers"
    other = dataclasses.replace(runs[0], tuned=dataclasses.replace(runs[0].tuned, search="cd"))
    assert configuration_id(other) != configuration_id(runs[0])
    plain = suite.run("b", 1, 7)
    assert configuration_id(plain) == run_id(dataclasses.replace(plain, seed=0), ""), (
        "as in ledgers of earlier versions"
    )


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({"front_end": {"win_length": 4096, "n_fft": 4096}}, {"front_end": {"n_fft": 8192}}),
        ({"front_end": {"n_fft": 256, "hop_length": 64}}, {"front_end": {"hop_length": 128}}),
        ({"model": {"weights": "imagenet", "train": "head"}}, {"model": {"weights": "audioset"}}),
    ],
)
def test_a_configuration_whose_defaults_do_not_fit_has_an_id(given, chosen):
    """The default of a setting that was searched may not go with the others."""
    (section,) = chosen
    about = {"mode": "nested", "search": "ab", "settings": [f"{section}.{key}" for key in chosen[section]]}
    before = merge(RunConfig(), {**given, "tuned": about})
    after = merge(before, chosen)
    assert after != before and configuration_id(after) == configuration_id(before)


def test_what_one_search_has_chosen_is_an_equal_budget():
    def run(search, batch_size):
        about = {"mode": "once", "search": search, "settings": ["train.batch_size"]}
        return merge(SuiteConfig().run("base", 1, 1), {"tuned": about, "train": {"batch_size": batch_size}})

    assert unequal_budgets([run("ab", 16), run("ab", 32)]) == []
    assert unequal_budgets([run("ab", 16), run("cd", 32)]) == ["train.batch_size", "tuned.search"]
    assert unequal_budgets([run("ab", 16), SuiteConfig().run("plain", 1, 1)]) == ["train.batch_size", "tuned.search"]
    by_hand = [merge(run("", size), {"tuned": {"mode": "none"}}) for size in (16, 32)]
    assert unequal_budgets(by_hand) == ["train.batch_size"], "names of settings without a search"


def test_the_digest_of_a_search_changes_with_all_that_it_depends_on():
    base = suite_of({"train.lr": [1e-3]})
    changed = [{"search": {"trials": 3}}, {"search": {"mode": "once"}}, {"metric": "uar"}, {"train": {"epochs": 3}}]
    assert len({search_digest(suite) for suite in (base, *(merge(base, change) for change in changed))}) == 5
    assert search_digest(merge(base, {"name": "other", "data": {"root": "elsewhere"}})) == search_digest(base)


@pytest.mark.parametrize("path", sorted(config_folder().glob("*.toml")), ids=lambda path: path.stem)
def test_a_config_that_was_written_is_the_same_suite(path, tmp_path):
    suite = read_suite(path)
    (tmp_path / "a.toml").write_text(suite_toml(suite, "two\nlines"), encoding="utf-8")
    assert read_suite(tmp_path / "a.toml") == suite


def test_awkward_values_survive_writing(tmp_path):
    definitions = {"a b.c": {"function": "add_noise", "snr_db": [1.5, 2]}}
    suite = merge(tuned(**{"1": {"train": {"lr": 1e-05}}}), {"augment": {"waveform_definitions": definitions}})
    suite = merge(suite, {"data": {"root": 'C:\\ä "x"\n'}, "search": {"space": {"augment.waveform": [[], ["noisy"]]}}})
    (tmp_path / "a.toml").write_text(suite_toml(suite), encoding="utf-8")
    assert read_suite(tmp_path / "a.toml") == suite
