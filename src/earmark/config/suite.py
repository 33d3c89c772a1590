"""The settings of a run and of a suite: frozen dataclasses, read from TOML, checked, hashed.

A suite file names the data, the front end, the split, the model and the training once, then says what varies::

    name = "esc10"
    seeds = [42, 123, 999]

    [data]
    dataset = "esc10"

    [variants.se]
    model.attention = "se"

`read_suite` reads it, `SuiteConfig.runs` lists its runs, `run_id` names one.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from earmark.config.sections import (
    AugmentConfig,
    ConfigError,
    DataConfig,
    FrontEndConfig,
    ModelConfig,
    SplitConfig,
    TrainConfig,
    check_setting,
)


@dataclass(frozen=True)
class RunConfig:
    """One training: one variant, one fold, one seed."""

    name: str = "run"
    """Name of the comparison that the run belongs to."""
    variant: str = "base"
    """Name of the setting under comparison."""
    fold: int = 1
    """Which fold is the test part, from 1; with `leave_one_group_out` the group's place in sorted order."""
    seed: int = 42
    """Seed of weights, batches and augmentation."""
    data: DataConfig = field(default_factory=DataConfig)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        check_setting(self.fold >= 1, "fold", self.fold, "folds count from 1")
        check_setting(self.seed >= 0, "seed", self.seed, "give 0 or more")


@dataclass(frozen=True)
class SuiteConfig:
    """A comparison: variants x folds x seeds over the same data."""

    name: str = "suite"
    """Name of the comparison; its runs lie in `<runs>/<name>/`."""
    seeds: tuple[int, ...] = (42,)
    """Seeds of training, each run once per variant and fold."""
    folds: tuple[int, ...] = ()
    """Folds to run, from 1; empty runs all of the split."""
    data: DataConfig = field(default_factory=DataConfig)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What differs: name = { model.attention = "se", ... }; empty compares nothing and runs `base`."""

    def __post_init__(self) -> None:
        check_setting(len(self.seeds) > 0, "seeds", list(self.seeds), "give at least one")
        check_setting(len(set(self.seeds)) == len(self.seeds), "seeds", list(self.seeds), "give each seed once")
        for name in ("name", *self.variants):
            text = self.name if name == "name" else name
            good = bool(text) and all(c.isalnum() or c in "._+-" for c in text)
            check_setting(good, "name of the suite or variant", text, "use letters, digits and . _ + - only")
        for name, changes in self.variants.items():
            check_variant(f"variants.{name}", changes)
            self.run(name, fold=1, seed=self.seeds[0])  # a bad variant is reported when the file is read

    def run(self, variant: str, fold: int, seed: int) -> RunConfig:
        """The run of one variant, fold and seed."""
        shared = {f.name: getattr(self, f.name) for f in dataclasses.fields(RunConfig) if hasattr(self, f.name)}
        shared.pop("seed", None)
        base = RunConfig(**shared, variant=variant, fold=fold, seed=seed)
        return merge(base, self.variants.get(variant, {}), f"variants.{variant}.")

    def only(self, variant: str = "", fold: int = 0, seed: int = -1) -> SuiteConfig:
        """The suite cut down to one run; empty, 0 and -1 take the first variant, fold and seed.

        Raises:
            ConfigError: there is no such variant.
        """
        names = self.variants or {"base": {}}
        if variant and variant not in names:
            raise ConfigError(f"variant = {variant!r}: no such variant{_nearest(variant, names)}")
        name = variant or next(iter(names))
        return dataclasses.replace(
            self,
            variants={name: names[name]},
            folds=(fold or (self.folds or (1,))[0],),
            seeds=(seed if seed >= 0 else self.seeds[0],),
        )

    def runs(self, all_folds: typing.Sequence[int]) -> list[RunConfig]:
        """All runs, folds outermost so that every variant has a result early; `all_folds` are the split's."""
        return [
            self.run(variant, fold, seed)
            for fold in (self.folds or all_folds)
            for seed in self.seeds
            for variant in (self.variants or ("base",))
        ]


def check_variant(where: str, changes: Any) -> None:
    """Refuse a variant that would not be one: of another name, fold or seed, or on other data."""
    remedy = "give a table, for example model.attention = 'se'"
    check_setting(isinstance(changes, dict), where, changes, remedy)
    for key in ("name", "variant", "fold", "seed"):
        remedy = "a variant changes sections, for example model.name; names, folds and seeds are the suite's"
        check_setting(key not in changes, f"{where}.{key}", changes.get(key), remedy)
    remedy = "variants are compared on the same clips; make a suite for each"
    check_setting("data" not in changes, f"{where}.data", changes.get("data"), remedy)
    path = changes["split"].get("path") if isinstance(changes.get("split"), dict) else None
    check_setting(path is None, f"{where}.split.path", path, remedy)


Section = typing.TypeVar("Section")


def merge(config: Section, changes: dict[str, Any], where: str = "") -> Section:
    """A copy of a config dataclass with nested `changes`; refuses unknown keys and wrong types by name."""
    hints = typing.get_type_hints(type(config))
    updates = {}
    for key, value in changes.items():
        if key not in hints:
            raise ConfigError(f"{where}{key} = {value!r}: no such setting{_nearest(key, hints)}")
        old = getattr(config, key)
        if dataclasses.is_dataclass(old):
            check_setting(isinstance(value, dict), where + key, value, f"give a table [{where}{key}]")
            updates[key] = merge(old, value, f"{where}{key}.")
        else:
            updates[key] = _coerce(hints[key], value, where + key)
    try:
        return dataclasses.replace(config, **updates)
    except ConfigError as error:
        raise ConfigError(f"{where if where.startswith('variants.') else ''}{error}") from None


def _nearest(key: str, names: typing.Iterable[str]) -> str:
    names = list(names)
    close = difflib.get_close_matches(key, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(names))}"


def _coerce(hint: Any, value: Any, name: str) -> Any:
    """The value as the annotated type, where TOML or JSON can express it."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ConfigError(f"{name} = {value!r}: no such choice{_nearest(str(value), choices)}")
        return value
    if origin is tuple:
        check_setting(isinstance(value, list | tuple), name, value, "give a list [...]")
        item = typing.get_args(hint)[0]
        return tuple(_coerce(item, v, f"{name}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        check_setting(isinstance(value, dict), name, value, f"give a table [{name}]")
        return value
    assert not isinstance(hint, types.UnionType), f"{name}: settings have one type"
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    good = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    check_setting(good, name, value, f"give a value of type {hint.__name__}")
    return value


def read_suite(path: str | Path) -> SuiteConfig:
    """Read a suite from a TOML file.

    Raises:
        ConfigError: the file is missing or no TOML, or a key or value in it cannot be used.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"config {path}: cannot be read ({error.strerror}); give a .toml file, see configs/"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path}: no valid TOML ({error})") from None
    try:
        return merge(SuiteConfig(), content)
    except ConfigError as error:
        raise ConfigError(f"config {path}: {error}") from None


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain dicts and lists, ready for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def run_from_dict(content: dict[str, Any]) -> RunConfig:
    """The inverse of `to_dict` for a run."""
    return merge(RunConfig(), content)


def run_id(config: RunConfig, data_fingerprint: str) -> str:
    """Ten hex digits that name a run: a hash of what decides its result.

    Settings that only say where things lie or how fast they go (`runtime` fields) do not count, and neither do
    names. `data_fingerprint` stands for the clips, their parts and their audio.
    """
    identity = _identity(config)
    for name in ("name", "variant"):
        del identity[name]
    text = json.dumps([identity, data_fingerprint], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _identity(config: Any) -> dict[str, Any]:
    result = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if f.metadata.get("identity", True):
            result[f.name] = _identity(value) if dataclasses.is_dataclass(value) else value
    return result


def unequal_budgets(runs: typing.Sequence[RunConfig]) -> list[str]:
    """Settings outside `model` and the learning rate that differ between runs of one comparison.

    Variants that train longer, on other data or with other augmentation do not compare networks.
    """
    free = {"lr", "weight_decay", "backbone_lr_ratio"}
    seen: dict[str, set[str]] = {}
    for run in runs:
        for section in ("data", "split", "augment", "train"):
            for key, value in _identity(getattr(run, section)).items():
                if key not in free:
                    seen.setdefault(f"{section}.{key}", set()).add(json.dumps(value, sort_keys=True))
    return sorted(name for name, values in seen.items() if len(values) > 1)
