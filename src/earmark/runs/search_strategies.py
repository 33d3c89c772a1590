"""Which trials of a search come next: random search, successive halving, TPE.

A strategy is a function of what has been scored so far, so that an interrupted search can be resumed.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from earmark.config.search import SearchConfig
from earmark.config.search_space import Dimension, Settings, draw_trials, fits, settings_of
from earmark.config.sections import ConfigError
from earmark.config.suite import RunConfig
from earmark.runtime.errors import missing_extra

ROUND = 4
"""Trials of one round of `tpe`, and of a search with a limit of time. It does not depend on `jobs`, so that the trials
do not either."""
DEFAULT_TRIAL = 0
"""The settings of the config as they are."""


class Trial(NamedTuple):
    """Settings and for how many epochs they are trained."""

    number: int
    """From 0, which is the config as it is."""
    settings: Settings
    epochs: int


class Outcome(NamedTuple):
    """What a trial has scored over all inner folds."""

    score: float
    """The metric; -1 for a trial that failed."""
    nll: float
    """Log-loss, which decides between equal scores."""

    @property
    def rank(self) -> tuple[float, float]:
        """Larger is better."""
        return self.score, -self.nll


FAILED = Outcome(-1.0, 0.0)

Outcomes = Mapping[tuple[int, int], Outcome]
"""By number and epochs of a trial."""


def next_trials(
    search: SearchConfig, space: Sequence[Dimension], base: RunConfig, done: Sequence[Trial], out: Outcomes
) -> list[Trial]:
    """The trials of the next round; none where the search is finished.

    Args:
        search: strategy, budget and seed.
        space: what may be chosen.
        base: a run of the config as it is, trial 0; its epochs are those of a full training.
        done: the trials so far, in order.
        out: what each of them has scored.
    """
    if search.strategy == "halving":
        return _halve(search, space, base, out)
    if search.strategy == "tpe":
        return _ask_tpe(search, space, base, done, out)
    scored = {number for number, _ in out}
    left = [trial for trial in _draw(search, space, base) if trial.number not in scored]
    return left[:ROUND] if search.minutes else left


def count_trials(search: SearchConfig, space: Sequence[Dimension], base: RunConfig) -> int:
    """Trials of a search without a limit of time: fewer than asked for where the space has no more."""
    return search.trials if search.strategy == "tpe" else len(draw_trials(space, base, search.trials, search.seed))


def planned_epochs(search: SearchConfig, space: Sequence[Dimension], base: RunConfig) -> list[int]:
    """Epochs of each training of a search on one inner fold, at most.

    With `tpe`, those of the config for every one; with `halving`, trial 0 is in every round besides the best.
    """
    if search.strategy == "halving":
        n_trials = count_trials(search, space, base)
        rounds = rungs(n_trials, base.train.epochs, search.min_epochs, search.reduction)
        return [length for n, length in rounds for _ in range(min(n + 1, n_trials))]
    if search.strategy == "tpe":
        return [base.train.epochs] * search.trials
    return [trial.epochs for trial in _draw(search, space, base)]


def _draw(search: SearchConfig, space: Sequence[Dimension], base: RunConfig) -> list[Trial]:
    settings = draw_trials(space, base, search.trials, search.seed)
    return [_with_own_epochs(Trial(number, drawn, base.train.epochs)) for number, drawn in enumerate(settings)]


def _with_own_epochs(trial: Trial) -> Trial:
    return trial._replace(epochs=trial.settings.get("train.epochs", trial.epochs))


def rungs(trials: int, epochs: int, min_epochs: int, reduction: int) -> list[tuple[int, int]]:
    """Trials and epochs of each round of successive halving: a bracket of Hyperband (Li et al. 2018).

    Jamieson and Talwalkar (2016): each round keeps one in `reduction` trials and gives them that many times the
    epochs; the last one has all epochs.
    """
    n_rounds = 1
    while epochs / reduction**n_rounds >= min_epochs and trials // reduction**n_rounds >= 1:
        n_rounds += 1
    sizes = [max(1, trials // reduction**i) for i in range(n_rounds)]
    return [(n, max(1, round(epochs / reduction ** (n_rounds - 1 - i)))) for i, n in enumerate(sizes)]


def _halve(search: SearchConfig, space: Sequence[Dimension], base: RunConfig, out: Outcomes) -> list[Trial]:
    """The trials of the first round that is not complete; trial 0 is in every round, for comparison."""
    settings = draw_trials(space, base, search.trials, search.seed)
    members = list(range(len(settings)))
    for size, length in rungs(len(settings), base.train.epochs, search.min_epochs, search.reduction):
        members = sorted({DEFAULT_TRIAL, *members[:size]})
        missing = [Trial(i, settings[i], length) for i in members if (i, length) not in out]
        if missing:
            return missing
        members.sort(key=lambda i: out[i, length].rank, reverse=True)
    return []


def check_optuna_installed() -> None:
    """Raise `ConfigError` unless the package optuna is installed."""
    if importlib.util.find_spec("optuna") is None:
        missing = missing_extra("optuna", "tune")
        raise ConfigError(f"search.strategy = 'tpe': {missing}, or give 'random' or 'halving'")


def _ask_tpe(
    search: SearchConfig, space: Sequence[Dimension], base: RunConfig, done: Sequence[Trial], out: Outcomes
) -> list[Trial]:
    """The next round of the tree-structured Parzen estimator (Bergstra et al. 2011), as implemented by Optuna.

    A combination that the config refuses is replaced by the config as it is.
    """
    n_new = min(ROUND, search.trials - len(done))
    if n_new <= 0:
        return []
    default = settings_of(base, [d.name for d in space])
    settings = [s if fits(base, s) else default for s in _suggest(search, space, done, out, n_new)]
    if not done:
        settings = [default, *settings[1:]]
    trials = [Trial(len(done) + i, s, base.train.epochs) for i, s in enumerate(settings)]
    return [_with_own_epochs(trial) for trial in trials]


def _suggest(
    search: SearchConfig, space: Sequence[Dimension], done: Sequence[Trial], out: Outcomes, n: int
) -> list[Settings]:
    """Draw settings from a study that has seen the trials so far; deterministic."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = {d.name: _distribution(d) for d in space}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant_liar is experimental
        startup = max(ROUND, search.trials // 3)
        sampler = optuna.samplers.TPESampler(
            seed=(search.seed + len(done)) % 2**32, n_startup_trials=startup, constant_liar=True
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for trial in done:
            outcome = out[trial.number, trial.epochs]
            if outcome == FAILED or not _in_space(trial.settings, space):
                continue
            params = {d.name: _encode(d, trial.settings[d.name]) for d in space}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=outcome.score))
        asked = [study.ask(distributions) for _ in range(n)]
    return [{d.name: _decode(d, trial.params[d.name]) for d in space} for trial in asked]


def _distribution(dimension: Dimension) -> Any:
    """A dimension in Optuna's terms; choices by their place, because they may be lists."""
    from optuna import distributions

    if dimension.choices:
        return distributions.CategoricalDistribution(list(range(len(dimension.choices))))
    if dimension.whole:
        return distributions.IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _in_space(settings: Settings, space: Sequence[Dimension]) -> bool:
    """Whether the space has these settings; those of the config may lie outside."""
    return all(settings[d.name] in d.choices if d.choices else d.low <= settings[d.name] <= d.high for d in space)


def _encode(dimension: Dimension, value: Any) -> Any:
    return dimension.choices.index(value) if dimension.choices else value


def _decode(dimension: Dimension, value: Any) -> Any:
    if dimension.choices:
        return dimension.choices[value]
    return value if dimension.whole else min(max(float(f"{value:.3g}"), dimension.low), dimension.high)
