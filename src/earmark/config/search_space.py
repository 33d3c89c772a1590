"""The search space of `earmark tune`: what may be chosen for each setting, and the settings of each trial."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from earmark.config.search import SearchConfig
from earmark.config.sections import ConfigError, check_setting, shown
from earmark.config.suite import RunConfig, SuiteConfig, deciding_settings, merge, run_id
from earmark.config.unused import unused_settings
from earmark.runtime.errors import suggest
from earmark.runtime.files import digest

SEARCHED = ("front_end", "model", "probe", "augment", "train")
"""Sections whose settings may be searched."""
DIGITS = 3
"""Significant digits of a number that is drawn from a range."""
MAX_REPEATS = 200
"""As many draws in a row without a new trial mean that the space has no more."""

Settings = dict[str, Any]
"""Values by the name of the setting, ``section.setting``."""


@dataclass(frozen=True)
class Dimension:
    """What may be chosen for one setting: some values, or a range of numbers."""

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    """Whether the numbers of the range are whole."""

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Each choice, or both ends of the range."""
        return self.choices or (self.at(0.0), self.at(1.0))

    def draw(self, generator: random.Random) -> Any:
        """A value: each choice, or each number of the range (with `log`: each ratio), is equally probable."""
        if self.choices:
            return generator.choice(self.choices)
        return self.at(generator.random())

    def at(self, fraction: float) -> Any:
        """The number of the range at a fraction of it, 0 to 1, rounded to three digits."""
        low, high = (self.low - 0.5, self.high + 0.5) if self.whole else (self.low, self.high)  # ends are no rarer
        low, high = (math.log(low), math.log(high)) if self.log else (low, high)
        value = low + fraction * (high - low)
        value = math.exp(value) if self.log else value
        value = round(value) if self.whole else float(f"{value:.{DIGITS}g}")
        return min(max(value, self.low), self.high)

    def text(self) -> str:
        """The choices or the range, as they are printed."""
        if self.choices:
            return ", ".join(map(json.dumps, self.choices))
        return f"{self.low:g} to {self.high:g}{', logarithmic' if self.log else ''}"


def search_space(suite: SuiteConfig) -> list[Dimension]:
    """The space that a suite declares, checked: every choice and both ends of every range fit every variant.

    Raises:
        ConfigError: the space is empty, a setting, choice or range in it cannot be used, or a setting changes nothing.
    """
    search = suite.search
    space = dict(_flat(search.space))
    example = '[search.space] "train.lr" = { low = 1e-4, high = 1e-2, log = true }'
    check_setting(bool(space), "search.space", {}, f"say what to search, for example {example}")
    types = _types()
    found = [_dimension(name, content, types) for name, content in space.items()]
    fixed = search.strategy != "halving" or "train.epochs" not in space
    check_setting(fixed, "search.space", "train.epochs", "leave it out: 'halving' sets the epochs itself")
    bases = [suite.run(variant, fold=1, seed=suite.seeds[0]) for variant in suite.variant_names]
    altered = [(d, apply(base, {d.name: value})) for base in bases for d in found for value in d.extremes]
    for dimension in found:
        configs = [*bases, *(config for other, config in altered if other is not dimension)]
        needs = [unused_settings(config).get(dimension.name) for config in configs]
        if all(needs):
            where = f'search.space."{dimension.name}"'
            raise ConfigError(f"{where}: changes nothing here, because it needs {needs[0]}; set that, or leave it out")
    several = any(len(draw_trials(found, base, 2, search.seed)) > 1 for base in bases)
    check_setting(several, "search.space", space, "add choices: it holds nothing but the config as it is")
    return found


def _flat(space: dict[str, Any], prefix: str = "") -> typing.Iterator[tuple[str, Any]]:
    """The entries by dotted name, whether the file writes ``"train.lr"`` or ``train.lr``."""
    for key, value in space.items():
        if isinstance(value, dict) and not {"low", "high"} & value.keys():
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _types() -> dict[str, Any]:
    """The type of every setting that may be searched."""
    found: dict[str, Any] = {}
    for section in SEARCHED:
        kind = typing.get_type_hints(RunConfig)[section]
        found |= {f"{section}.{name}": hint for name, hint in typing.get_type_hints(kind).items()}
    return found


def _dimension(name: str, content: Any, types: dict[str, Any]) -> Dimension:
    where = f'search.space."{name}"'
    if name not in types:
        raise ConfigError(f"{where} = {shown(content)}: no such setting to search{suggest(name, types)}")
    if isinstance(content, list | tuple):
        check_setting(len(content) > 0, where, content, "give at least one choice")
        return Dimension(name, tuple(content))
    remedy = "give a list of choices, or { low = ..., high = ..., log = true or false }"
    check_setting(isinstance(content, dict) and content.keys() <= {"low", "high", "log"}, where, content, remedy)
    check_setting({"low", "high"} <= content.keys(), where, content, remedy)
    numbers = [content["low"], content["high"]]
    good = types[name] in (int, float) and all(isinstance(v, int | float) and math.isfinite(v) for v in numbers)
    check_setting(good and isinstance(content.get("log", False), bool), where, content, remedy)
    low, high = numbers
    check_setting(low < high, where, content, "give a low end below the high end")
    check_setting(low > 0 or not content.get("log"), where, content, "give a low end above 0, or log = false")
    whole = types[name] is int
    check_setting(not whole or all(isinstance(v, int) for v in numbers), where, content, "give whole numbers")
    return Dimension(name, (), low, high, content.get("log", False), whole)


def apply(config: RunConfig, settings: Settings) -> RunConfig:
    """A run with other settings.

    Raises:
        ConfigError: a setting is unknown or its value cannot be used.
    """
    return merge(config, nest(settings))


def nest(settings: Settings) -> dict[str, Any]:
    """Settings by their dotted names as tables in tables."""
    content: dict[str, Any] = {}
    for name, value in settings.items():
        section, _, key = name.partition(".")
        content.setdefault(section, {})[key] = value
    return content


def settings_of(config: RunConfig, names: Sequence[str]) -> Settings:
    """The values that a run has for some settings."""
    values = deciding_settings(config)
    return {name: list(v) if isinstance(v := values[name], tuple) else v for name in names}


def tuned_apart(configs: Sequence[RunConfig]) -> list[str]:
    """The searched settings that a nested search has chosen differently for these runs."""
    names = configs[0].tuned.settings if configs[0].tuned.mode == "nested" else ()
    return [name for name in names if len({json.dumps(attrgetter(name)(config)) for config in configs}) > 1]


def draw_trials(dimensions: Sequence[Dimension], base: RunConfig, n: int, seed: int) -> list[Settings]:
    """The first n trials of a random search: the config as it is, then draws, no training of them twice.

    The first trials of a longer search are those of a shorter one, and a setting that is added to the space leaves the
    draws of the others as they are.

    Args:
        dimensions: the space.
        base: a run of the config as it is.
        n: number of trials.
        seed: of the draws.

    Returns:
        Fewer than n where the space does not have as many.
    """
    default = settings_of(base, [d.name for d in dimensions])
    found, seen, draw, repeats = [default], {_key(default)}, 0, 0
    while len(found) < n and repeats < MAX_REPEATS:
        draw += 1
        trial = _settle(base, {d.name: d.draw(random.Random(f"{seed} {draw} {d.name}")) for d in dimensions})
        repeats += 1
        if trial and _key(trial) not in seen:
            seen.add(_key(trial))
            found.append(trial)
            repeats = 0
    return found


def _settle(base: RunConfig, settings: Settings) -> Settings | None:
    """Settings with those that change nothing as they are in `base`; None where the config refuses the combination."""
    try:
        unused = unused_settings(apply(base, settings))
    except ConfigError:
        return None
    return settings | settings_of(base, [name for name in settings if name in unused])


def fits(base: RunConfig, settings: Settings) -> bool:
    """Whether a run can have these settings together."""
    return _settle(base, settings) is not None


def _key(settings: Settings) -> str:
    return json.dumps(settings, sort_keys=True)


def search_digest(suite: SuiteConfig) -> str:
    """Ten hex digits that stand for a search: its settings, the metric, and the variants as they are without it."""
    search: SearchConfig = suite.search
    variants = [run_id(suite.run(v, 1, suite.seeds[0]), "") for v in suite.variant_names]
    return digest(json.dumps([dataclasses.asdict(search), suite.metric, variants], sort_keys=True), length=10)


def configuration_id(config: RunConfig) -> str:
    """Equal for runs that differ at most in fold, seed, names, places, speed, and what changes nothing or was chosen.

    Settings that change nothing are left out, unless a nested search has chosen some: they may be used in other folds.
    """
    left_out = config.tuned.settings if config.tuned.mode == "nested" else unused_settings(config)
    return run_id(dataclasses.replace(config, fold=1, seed=0), "", as_default=tuple(left_out))
