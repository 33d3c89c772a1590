"""Every number among the settings is finite and within bounds, and every name can be that of a folder."""

import dataclasses
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.config.bounds import BOUNDS, MAX_DEPTH
from earmark.config.search import SearchConfig
from earmark.config.sections import ConfigError, Options
from earmark.config.suite import RunConfig, SuiteConfig, merge, read_suite, run_from_dict, to_dict
from earmark.runtime.schema import is_deep


def numbers(config, prefix=""):
    """Name and type of each setting that is a number."""
    for f in dataclasses.fields(config):
        value, hint = getattr(config, f.name), typing.get_type_hints(type(config))[f.name]
        if dataclasses.is_dataclass(value):
            yield from numbers(value, f"{prefix}{f.name}.")
        elif hint in (int, float):
            yield prefix + f.name, hint


NUMBERS = [*numbers(RunConfig()), *numbers(Options()), *numbers(SearchConfig(), "search.")]


def nested(name, value):
    for key in reversed(name.split(".")):
        value = {key: value}
    return value


def config_of(name):
    if name.startswith("search."):
        return SuiteConfig()
    return Options() if "." not in name and name not in ("fold", "seed") else RunConfig()


@pytest.mark.parametrize(("name", "hint"), NUMBERS)
def test_every_number_is_finite_and_not_absurd(name, hint):
    for value in ["nan", "inf", "-inf"] if hint is float else [10**30, -(10**30), 10**400]:
        with pytest.raises(ConfigError, match=name.rpartition(".")[2]):
            merge(config_of(name), nested(name, hint(value)))


def test_the_bounds_are_those_of_settings():
    assert set(BOUNDS) <= {name for name, _ in NUMBERS}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("front_end.range_db", 1e4),
        ("front_end.hop_length", 1),
        ("front_end.n_fft", 2**20),
        ("front_end.n_mels", 100_000),
        ("front_end.sample_rate", 10_000_000),
        ("train.epochs", 10**9),
        ("train.lr", 1e10),
        ("train.window_seconds", 0.01),
        ("data.root", "x" * 5000),
    ],
)
def test_values_of_no_use_are_refused_with_what_to_give(name, value):
    with pytest.raises(ConfigError, match=rf"{name} = .*: give "):
        merge(RunConfig(), nested(name, value))


def test_a_number_too_large_for_a_float_is_refused():
    with pytest.raises(ConfigError, match=r"train\.lr = 1000.*give"):
        merge(RunConfig(), {"train": {"lr": 10**400}})


@pytest.mark.parametrize("name", ["..", ".", "con", "NUL.txt", "-x", ".x", "x.", "a/b", "a\\b", "x" * 250, "", "a\nb"])
def test_names_that_are_no_folders_are_refused(name):
    for setting, content in (("name", {"name": name}), ("name of a variant", {"variants": {name: {}}})):
        with pytest.raises(ConfigError, match=f"^{setting} = "):
            merge(SuiteConfig(), content)


def test_deep_content_is_refused_without_recursion(tmp_path):
    for text in ("x = " + "[" * 5000 + "]" * 5000, "variants.a.model.name = " + "[" * 60 + "]" * 60):
        (tmp_path / "a.toml").write_text(text)
        with pytest.raises(ConfigError, match=r"config .*a\.toml: .*nested"):
            read_suite(tmp_path / "a.toml")
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert is_deep(deep, MAX_DEPTH) and not is_deep(to_dict(SuiteConfig()), MAX_DEPTH)
    with pytest.raises(ConfigError, match="nested"):
        run_from_dict({"augment": {"waveform": deep}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from([*sorted(name for name, _ in numbers(RunConfig())), "name", "variants.a", "augment.waveform"]), JSON
)
def test_any_value_is_taken_or_refused_in_one_line(name, value):
    kind = SuiteConfig() if name.startswith("variants") else RunConfig()
    try:
        config = merge(kind, nested(name, value))
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert merge(type(config)(), to_dict(config)) == config


def test_an_integer_of_thousands_of_digits_is_refused(tmp_path):
    """Found by the fuzzer."""
    (tmp_path / "a.toml").write_text("seeds = [" + "9" * 5000 + "]")
    with pytest.raises(ConfigError, match=r"config .*a\.toml: not valid TOML \(Exceeds the limit"):
        read_suite(tmp_path / "a.toml")
