"""What `earmark tune` searches, as settings, and what it has chosen, as part of a variant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from earmark.config.sections import ConfigError, check_setting, check_values
from earmark.runtime.names import MAX_SUITE_NAME, shorten


@dataclass(frozen=True)
class SearchConfig:
    """What `earmark tune` searches; `earmark suite` and `earmark train` ignore it."""

    mode: Literal["nested", "once"] = "nested"
    """Choose in the training subset of each fold separately, or once on the clips of `split.tuning_ratio`."""
    strategy: Literal["random", "halving", "tpe"] = "random"
    """Random search, successive halving by epochs, or Optuna's TPE (the extra `tune`)."""
    trials: int = 16
    """Settings that are tried for each variant and fold; trial 0 is the config as it is."""
    minutes: float = 0.0
    """Begin no further round of trials after this time, the same number for each fold; 0: no limit."""
    inner_folds: int = 3
    """Folds of the training subset, by group, that score a trial."""
    seed: int = 0
    """Seed of the drawn settings and of the inner folds."""
    min_epochs: int = 5
    """With `halving`: the fewest epochs of the first round."""
    reduction: int = 3
    """With `halving`: one in this many trials reaches the next round, with this many times the epochs."""
    space: dict[str, Any] = field(default_factory=dict)
    """Choices or a range of each setting: "train.lr" = { low = 1e-4, high = 1e-2, log = true }."""

    def __post_init__(self) -> None:
        check_values(self, "search.")
        limited = self.strategy != "halving" or self.minutes == 0
        remedy = "give 0: the rounds of 'halving' are fixed by search.trials; or another strategy"
        check_setting(limited, "search.minutes", self.minutes, remedy)


@dataclass(frozen=True)
class TunedConfig:
    """How the settings of a variant were chosen; written by `earmark tune`."""

    mode: Literal["none", "nested", "once"] = "none"
    """By hand, in each fold separately, or once on clips that no fold tests."""
    search: str = ""
    """Digest of the search."""
    settings: tuple[str, ...] = ()
    """Names of the settings that were searched."""
    choices: dict[str, dict[str, Any]] = field(default_factory=dict, metadata={"identity": False})
    """With `nested`: the settings of each fold, by its number."""
    tested: dict[str, str] = field(default_factory=dict, metadata={"identity": False})
    """Digest of the clips that each fold tests, by its number: none of them chose its settings."""

    def __post_init__(self) -> None:
        check_values(self, "tuned.")


def choice_of(tuned: TunedConfig, fold: int, where: str) -> dict[str, Any]:
    """What a nested search has chosen for a fold; empty for other modes.

    Raises:
        ConfigError: the fold was not tuned.
    """
    if tuned.mode != "nested":
        return {}
    if str(fold) not in tuned.choices:
        raise ConfigError(f"{where}: fold {fold} was not tuned; leave it out with `folds`, or tune it")
    return tuned.choices[str(fold)]


def tuned_folds(changes: dict[str, Any]) -> list[int]:
    """The folds that the changes of a variant have choices for."""
    tuned = changes.get("tuned", {})
    choices = tuned.get("choices", {}) if isinstance(tuned, dict) else {}
    return [int(fold) for fold in choices if str(fold).isdecimal()] if isinstance(choices, dict) else []


def tuned_name(variant: str, mode: str) -> str:
    """What a variant is called in tables after it was tuned."""
    return shorten(f"{variant}-{mode}", MAX_SUITE_NAME)
