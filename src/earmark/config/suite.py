"""The settings of a run and of a suite: frozen dataclasses, read from TOML, checked, hashed.

A suite file names the data, the front end, the split, the model and the training once, then its variants::

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
import json
import tomllib
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from earmark.config.bounds import MAX_DEPTH, setting_problem
from earmark.config.learning_curve import curve_variants
from earmark.config.search import SearchConfig, TunedConfig, choice_of, tuned_folds
from earmark.config.sections import (
    ConfigError,
    DataConfig,
    FrontEndConfig,
    ModelConfig,
    ProbeConfig,
    SplitConfig,
    check_setting,
    check_values,
    shown,
)
from earmark.config.training import AugmentConfig, TrainConfig
from earmark.config.unused import unused_settings
from earmark.config.variants import check_distinct, check_name, check_variant
from earmark.runtime.console import printable
from earmark.runtime.errors import suggest
from earmark.runtime.files import digest
from earmark.runtime.schema import SchemaError, check_size, is_deep

if typing.TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_SUITE_BYTES = 2**24
"""Size of a suite file, 16 MiB."""
VERSION_1_SETTINGS = frozenset(
    """
    fold seed data.dataset
    front_end.sample_rate front_end.n_fft front_end.win_length front_end.hop_length front_end.n_mels front_end.f_min
    front_end.f_max front_end.mel_scale front_end.pre_emphasis front_end.log_offset front_end.reference
    front_end.reference_db front_end.range_db
    split.kind split.n_folds split.seed split.test_ratio split.val_ratio split.valid_fold split.waiver
    model.name model.attention model.placement model.weights model.train model.dropout
    augment.waveform augment.waveform_definitions augment.time_roll augment.freq_masks augment.freq_mask_bins
    augment.time_masks augment.time_mask_ratio augment.mixup_alpha
    train.epochs train.batch_size train.lr train.backbone_lr_ratio train.weight_decay train.schedule
    train.warmup_epochs train.label_smoothing train.clip_grad_norm train.window_seconds train.precision train.compile
    """.split()  # noqa: SIM905 (a list of 47 lines)
)
"""The settings of the first version, which are part of every run id. This list never changes, see `run_id`."""
CHOSEN = "chosen in each fold"
"""Stands for a setting that a nested search has chosen."""


@dataclass(frozen=True)
class RunConfig:
    """One training: one variant, one fold, one seed."""

    name: str = "run"
    """Name of the comparison that the run belongs to."""
    variant: str = "base"
    """Name of the setting under comparison."""
    fold: int = 1
    """Which fold is the test subset, from 1; with `leave_one_group_out` the group's place in sorted order."""
    seed: int = 42
    """Seed of weights, batches and augmentation."""
    data: DataConfig = field(default_factory=DataConfig)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    tuned: TunedConfig = field(default_factory=TunedConfig)

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class SuiteConfig:
    """A comparison: variants x folds x seeds over the same data."""

    name: str = "suite"
    """Name of the comparison; runs lie in `<runs>/<name>/` (`tune`: `<name>-nested`, `optimism`: `<name>-optimism`)."""
    seeds: tuple[int, ...] = (42,)
    """Seeds of training, each run once per variant and fold."""
    folds: tuple[int, ...] = ()
    """Folds to run, from 1; empty runs all of the split."""
    train_fractions: tuple[float, ...] = ()
    """For a learning curve: train every variant on these fractions of the training groups as well, 0.125 0.25 0.5; each
    seed is another draw."""
    metric: Literal["accuracy", "uar"] = "accuracy"
    """Metric that the variants will be compared by; part of the plan, not of a run."""
    baseline: str = ""
    """Variant that all others will be compared with; empty compares all pairs. Part of the plan, not of a run."""
    data: DataConfig = field(default_factory=DataConfig)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each variant changes: name = { model.attention = "se", ... }; empty trains one variant, `base`."""

    def __post_init__(self) -> None:
        check_values(self)
        check_setting(len(self.seeds) > 0, "seeds", list(self.seeds), "give at least one")
        check_setting(len(set(self.seeds)) == len(self.seeds), "seeds", list(self.seeds), "give each seed once")
        check_setting(len(set(self.folds)) == len(self.folds), "folds", list(self.folds), "give each fold once")
        check_name(self.name, "name")
        for name in self.variants:
            check_name(name, "name of a variant")
        for key in ("seeds", "folds"):
            for value in getattr(self, key):
                remedy = setting_problem(key[:-1], value)
                check_setting(not remedy, key, value, remedy)
        names = self.variant_names
        check_setting(self.baseline in ("", *names), "baseline", self.baseline, f"give a variant: {', '.join(names)}")
        for name, changes in self.variants.items():
            check_variant(f"variants.{name}", changes)
            self._check_runs(name, changes)
        self._check_train_fractions()
        by_hand = [name for name, changes in self.variants.items() if "tuned" not in changes]
        runs = {name: self.run(name, 1, seed=self.seeds[0]) for name in by_hand}
        unused = {name: unused_settings(run) for name, run in runs.items()}
        check_distinct({name: deciding_settings(run) for name, run in runs.items()}, unused)

    def _check_runs(self, name: str, changes: dict[str, Any]) -> None:
        """A bad variant is reported when the file is read."""
        for fold in tuned_folds(changes) or (1,):
            self.run(name, fold, seed=self.seeds[0])

    def _check_train_fractions(self) -> None:
        fractions = self.train_fractions
        good = all(0 < f < 1 for f in fractions) and len(set(fractions)) == len(fractions)
        check_setting(good, "train_fractions", list(fractions), "give each number once, above 0 and below 1")
        for name, changes in curve_variants(self.variants or {"base": {}}, fractions).items():
            check_name(name, "name of a variant")
            self._check_runs(name, changes)

    @property
    def variant_names(self) -> tuple[str, ...]:
        """The variants without points of learning curves; `base` where the config has none."""
        return tuple(self.variants) or ("base",)

    @property
    def all_variants(self) -> dict[str, dict[str, Any]]:
        """The variants, and after them those on fractions of the training groups, named `<variant>-train<fraction>`."""
        variants = self.variants or {"base": {}}
        return variants | curve_variants(variants, self.train_fractions)

    def run(self, variant: str, fold: int, seed: int) -> RunConfig:
        """The run of one variant, fold and seed; a `ConfigError` if it was tuned in other folds only."""
        shared = {f.name: getattr(self, f.name) for f in dataclasses.fields(RunConfig) if hasattr(self, f.name)}
        base = RunConfig(**shared, variant=variant, fold=fold, seed=seed)
        changes = self.variants[variant] if variant in self.variants else self.all_variants.get(variant, {})
        config = merge(base, changes, f"variants.{variant}.")
        where = f"variants.{variant}.tuned.choices"
        choice = choice_of(config.tuned, fold, where)
        check_variant(f"{where}.{fold}", choice)
        tuned = dataclasses.replace(config.tuned, choices={})
        return merge(dataclasses.replace(config, tuned=tuned), choice, f"{where}.{fold}.")

    def only(self, variant: str = "", fold: int = 0, seed: int = -1) -> SuiteConfig:
        """The suite reduced to one run; empty, 0 and -1 take the first variant, fold and seed.

        Raises:
            ConfigError: there is no such variant.
        """
        names = self.all_variants
        if variant and variant not in names:
            raise ConfigError(f"variant = {variant!r}: no such variant{suggest(variant, names)}")
        name = variant or next(iter(names))
        return dataclasses.replace(
            self,
            variants={name: names[name]},
            train_fractions=(),
            baseline="",
            folds=(fold or (self.folds or (1,))[0],),
            seeds=(seed if seed >= 0 else self.seeds[0],),
        )

    def runs(self, all_folds: Sequence[int]) -> list[RunConfig]:
        """All runs, folds outermost so that every variant has a result early; `all_folds` are the split's."""
        return [
            self.run(variant, fold, seed)
            for fold in (self.folds or all_folds)
            for seed in self.seeds
            for variant in self.all_variants
        ]


Section = typing.TypeVar("Section", bound="DataclassInstance")


def merge(config: Section, changes: dict[str, Any], where: str = "") -> Section:
    """A copy of a config dataclass with nested `changes`; refuses unknown keys and wrong types by name."""
    if not isinstance(changes, dict):
        raise ConfigError(f"{where or 'config'} = {shown(changes)}: give a table")
    if is_deep(changes, MAX_DEPTH):
        raise ConfigError(f"{where or 'config'}: tables or lists are nested more than {MAX_DEPTH} times; make it flat")
    hints = typing.get_type_hints(type(config))
    updates = {}
    for key, value in changes.items():
        if key not in hints:
            section, dot, rest = str(key).partition(".")
            table = f"; write {section} = {{ {rest} = ... }}"
            remedy = f"no such setting{table if dot and section in hints else suggest(str(key), hints)}"
            name = printable(where + str(key))
            raise ConfigError(f"{f'[{name}]' if isinstance(value, dict) else f'{name} = {shown(value)}'}: {remedy}")
        old = getattr(config, key)
        if dataclasses.is_dataclass(old) and not isinstance(old, type):
            check_setting(isinstance(value, dict), where + key, value, f"give a table [{where}{key}]")
            updates[key] = merge(old, value, f"{where}{key}.")
        else:
            updates[key] = value
    try:
        return dataclasses.replace(config, **updates)
    except ConfigError as error:
        section = where.rpartition(".")[0].rpartition(".")[2]
        outside = where.removesuffix(f"{section}.") if str(error).startswith(f"{section}.") else where
        raise ConfigError(f"{outside if where.startswith('variants.') else ''}{error}") from None


def read_suite(path: str | Path) -> SuiteConfig:
    """Read a suite from a TOML file.

    Raises:
        ConfigError: the file is missing or no TOML, or a key or value in it cannot be used.
    """
    path = Path(path)
    try:
        check_size(path, MAX_SUITE_BYTES)
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        from earmark.config.starters import starter_remedy

        raise ConfigError(f"config {path}: cannot be read ({error.strerror}); {starter_remedy(path)}") from None
    except SchemaError as error:
        raise ConfigError(f"config {path}: cannot be read ({error}); give a .toml file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"config {path}: not text in UTF-8; save it as UTF-8") from None
    except ValueError as error:  # no TOML, or an integer of more than 4300 digits
        raise ConfigError(f"config {path}: not valid TOML ({error})") from None
    except RecursionError:
        raise ConfigError(f"config {path}: tables or lists are nested too deeply; make it flat") from None
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


def run_id(config: RunConfig, data_fingerprint: str, as_default: Sequence[str] = ()) -> str:
    """Ten hex digits that name a run: a hash of all settings that affect its result.

    Names and `runtime` settings (where files are, how fast) are left out. A setting that is not in
    `VERSION_1_SETTINGS` is hashed only where it differs from its default. So a later version can add a setting
    without changing the ids of finished runs, provided that the default keeps the old behavior and never changes.

    Args:
        data_fingerprint: stands for the clips, their subsets and their audio.
        as_default: settings that count as if they had their default, whether it fits the others or not.
    """
    identity: dict[str, Any] = {}
    for name, given, default in _settings(config):
        value = default if name in as_default else given
        if name in VERSION_1_SETTINGS or value != default:
            section, _, key = name.rpartition(".")
            (identity.setdefault(section, {}) if section else identity)[key] = value
    return digest(json.dumps([identity, data_fingerprint], sort_keys=True), length=10)


def deciding_settings(config: RunConfig) -> dict[str, Any]:
    """The settings that affect a run's result, as `section.key`.

    What a nested search has chosen for the fold of the run is `CHOSEN`: the search is what its folds have in common.
    """
    chosen = config.tuned.settings if config.tuned.mode == "nested" else ()
    return {name: CHOSEN if name in chosen else value for name, value, _ in _settings(config)}


def _settings(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Name, value and default of each setting that affects the result."""
    default = type(config)()
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            yield from _settings(value, f"{prefix}{f.name}.")
        elif f.metadata.get("identity", True) and prefix + f.name not in ("name", "variant"):
            yield prefix + f.name, value, getattr(default, f.name)
