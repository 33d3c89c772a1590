"""Settings that are said to change nothing: predictions are the same to the last bit; they are refused or named."""

from dataclasses import replace

import pytest

from earmark.config.search import SearchConfig
from earmark.config.search_space import configuration_id, draw_trials, nest, search_space
from earmark.config.sections import ConfigError, Options
from earmark.config.suite import RunConfig, deciding_settings, merge
from earmark.config.unused import RULES, unused_settings
from earmark.runs.plan import plan_suite
from earmark.runs.suite import run_suite

PROBE = {"probe.kind": "logistic"}
CHANGES = [
    ({}, {"probe.shots": (1,), "probe.draws": 3}),
    ({}, {"model.placement": "stage"}),
    ({}, {"train.backbone_lr_ratio": 0.1}),
    ({}, {"augment.freq_mixstyle_ratio": 1.0}),
    ({"augment.freq_masks": 0}, {"augment.freq_mask_bins": 9}),
    ({"augment.time_masks": 0}, {"augment.time_mask_ratio": 0.5}),
    ({}, {"train.effective_beta": 0.5, "train.keep_steps": True, "train.warmup_epochs": 2.0}),
    ({}, {"front_end.reference_db": -30.0}),
    (PROBE, {"probe.draws": 3, "model.dropout": 0.1, "augment.mixup_alpha": 0.0, "augment.waveform": ("noisy",)}),
    (PROBE, {"train.epochs": 7, "train.lr": 0.5, "train.batch_size": 9, "train.n_shifts": 3, "train.ema_decay": 0.9}),
    (PROBE, {"train.precision": "bfloat16", "train.patience": 3, "train.class_weights": "balanced"}),
]


def test_every_rule_names_settings_that_exist_and_are_tried_below():
    names = {name for rule in RULES for name in rule.settings}
    assert names <= deciding_settings(RunConfig()).keys()
    tried = {name for _, changes in CHANGES for name in changes}
    assert all(tried & {*rule.settings} for rule in RULES)


@pytest.mark.parametrize(("base", "changes"), CHANGES)
def test_settings_that_are_said_to_change_nothing_change_nothing(base, changes, small_suite, tmp_path):
    suite = merge(replace(small_suite, variants={}, folds=(1,)), nest(base))
    predictions = []
    for number, settings in enumerate(({}, changes)):
        options = Options(runs=tmp_path / f"runs{number}", work=tmp_path / "work", device="cpu", threads=1)
        plan = plan_suite(merge(suite, nest(settings)), options)
        assert not run_suite(plan, options)
        predictions.append((plan.runs[0].folder / "predictions.csv").read_bytes())
        config = plan.runs[0].config
        assert changes.keys() <= unused_settings(config).keys()
        assert configuration_id(config) == configuration_id(suite.run("base", 1, 1)), "one configuration in the ledger"
    assert predictions[0] == predictions[1]


def test_folds_of_a_nested_search_are_one_configuration_whatever_they_use(small_suite):
    """In one fold the ratio changes nothing, because no mixing was chosen there; in another it does."""
    choices = {"1": {"augment": {"freq_mixstyle_alpha": 0.0}}, "2": {"augment": {"freq_mixstyle_alpha": 0.3}}}
    tuned = {"mode": "nested", "settings": ["augment.freq_mixstyle_alpha"], "choices": choices}
    suite = merge(replace(small_suite, variants={}), {"augment": {"freq_mixstyle_ratio": 0.8}})
    suite = merge(suite, {"variants": {"a-nested": {"tuned": tuned}}})
    first, second = (suite.run("a-nested", fold, 1) for fold in (1, 2))
    assert "augment.freq_mixstyle_ratio" in unused_settings(first).keys() - unused_settings(second).keys()
    assert configuration_id(first) == configuration_id(second)


def test_a_setting_that_is_used_is_not_listed():
    config = merge(
        RunConfig(),
        {
            "model": {"attention": "se", "weights": "imagenet"},
            "augment": {"freq_mixstyle_alpha": 0.1},
            "train": {"schedule": "cosine", "class_weights": "effective_number"},
            "split": {"train_fraction": 0.5},
            "front_end": {"reference": "fixed"},
        },
    )
    assert all(name.startswith("probe.") for name in unused_settings(config))
    assert not {"probe.shots", "train.window_seconds"} & unused_settings(merge(config, nest(PROBE))).keys()


def searched(suite, **space):
    return replace(suite, search=merge(SearchConfig(), {"space": {k.replace("__", "."): v for k, v in space.items()}}))


@pytest.mark.parametrize(
    ("changes", "space", "message"),
    [
        (
            {"probe": {"kind": "knn"}},
            {"train__lr": [0.1, 0.2]},
            r'"train\.lr": changes nothing here, because it needs p',
        ),
        (
            {},
            {"augment__freq_mixstyle_ratio": [0.2, 0.8]},
            r"needs augment\.freq_mixstyle_alpha above 0; set that, or l",
        ),
        ({}, {"probe__shots": [[1], [2]]}, r"needs a probe\.kind"),
        ({}, {"model__dropout": [0.3]}, r"search\.space = .*: add choices: it holds nothing but the config as it is"),
    ],
)
def test_a_search_of_settings_that_change_nothing_is_refused(changes, space, message, small_suite):
    suite = searched(merge(replace(small_suite, variants={}), changes), **space)
    with pytest.raises(ConfigError, match=message):
        search_space(suite)


def test_a_setting_that_another_searched_setting_uses_is_searched_and_no_training_is_drawn_twice(small_suite):
    space = {"augment__freq_mixstyle_alpha": [0.0, 0.3], "augment__freq_mixstyle_ratio": [0.2, 0.8]}
    suite = searched(replace(small_suite, variants={}), **space)
    trials = draw_trials(search_space(suite), suite.run("base", 1, 1), 10, seed=0)
    assert sorted(tuple(trial.values()) for trial in trials) == [(0.0, 0.5), (0.3, 0.2), (0.3, 0.8)]


def test_a_setting_that_one_variant_uses_is_searched(small_suite):
    suite = searched(small_suite, model__placement=["block", "stage"])
    with pytest.raises(ConfigError, match=r"needs a model\.attention"):
        search_space(suite)
    assert search_space(merge(suite, {"variants": {"se": {"model": {"attention": "se"}}, "plain": {}}}))


def test_combinations_that_the_config_refuses_are_not_drawn(small_suite):
    """Both correct the same imbalance, so that only one may be on."""
    space = {"train__class_weights": ["none", "balanced"], "train__sampler": ["shuffle", "class_balanced"]}
    suite = searched(replace(small_suite, variants={}), **space)
    trials = draw_trials(search_space(suite), suite.run("base", 1, 1), 10, seed=0)
    assert sorted(tuple(trial.values()) for trial in trials) == [
        ("balanced", "shuffle"),
        ("none", "class_balanced"),
        ("none", "shuffle"),
    ]


def test_variants_that_differ_in_what_changes_nothing_are_refused(small_suite):
    variants = {"a": {"train": {"warmup_epochs": 2.0}}, "b": {}}
    message = (
        r"variants a and b are one training: train\.warmup_epochs changes nothing here, because it needs train\.sch"
    )
    with pytest.raises(ConfigError, match=message):
        merge(replace(small_suite, variants={}), {"variants": variants})
    merge(replace(small_suite, variants={}), {"variants": variants, "train": {"schedule": "cosine"}})


def test_a_given_setting_that_changes_nothing_is_named_before_the_training(small_suite, tmp_path, caplog):
    options = Options(runs=tmp_path / "runs", work=tmp_path / "work", device="cpu", threads=1)
    plan_suite(merge(small_suite, nest({"probe.shots": (1, 4)})), options)
    assert "probe.shots = (1, 4): changes nothing, because it needs a probe.kind" in caplog.messages
    caplog.clear()
    ratio = nest({"augment.freq_mixstyle_ratio": 0.8})
    plan_suite(merge(small_suite, ratio), options)
    text = "augment.freq_mixstyle_ratio = 0.8: changes nothing, because it needs augment.freq_mixstyle_alpha above 0"
    assert text in caplog.messages
    caplog.clear()
    plan_suite(merge(replace(small_suite, variants={}), ratio | nest({"probe.kind": "knn"})), options)
    assert "changes nothing" not in caplog.text, "settings of training are part of every config"
    caplog.clear()
    variants = {"probe": {"probe": {"kind": "knn"}}, "plain": {}}
    plan_suite(merge(small_suite, nest({"probe.shots": (1, 4)}) | {"variants": variants}), options)
    assert "changes nothing" not in caplog.text, "a variant uses it"
