"""Choose the settings of a suite by inner folds: `earmark tune`.

Trials are trained and scored by the function that trains the runs of a suite (`earmark.runs.suite.run_suites`), so that
they run in parallel, resume and fail as those do. What a strategy asks for depends on finished trials alone, so that
the same command resumes an interrupted search.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from earmark.analysis.selection import best_of
from earmark.analysis.tuning import (
    CONFIG,
    FOLDER,
    ONCE,
    Choice,
    DamagedTuningError,
    TrialRow,
    Tuning,
    read_trials,
    write_tuning,
)
from earmark.config.search import tuned_name
from earmark.config.search_space import nest
from earmark.config.suite import SuiteConfig
from earmark.config.write import suite_toml
from earmark.datasets.manifest import class_names
from earmark.runs.failures import RESUME, Failure
from earmark.runs.inner import InnerPlanner, Place, TrialResult, read_result, remove_weights
from earmark.runs.plan import PlannedRun
from earmark.runs.preflight import check_networks
from earmark.runs.search_plan import SearchPlan, known_search
from earmark.runs.search_strategies import (
    DEFAULT_TRIAL,
    FAILED,
    Trial,
    next_trials,
)
from earmark.runs.suite import run_suites
from earmark.runs.train import locked
from earmark.runtime.console import pluralize
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import write_text

Log = Callable[[str], None]


@dataclass
class _Progress:
    """The trials of one variant in one place, so far."""

    trials: list[Trial] = field(default_factory=list)
    results: dict[tuple[int, int], TrialResult] = field(default_factory=dict)
    failures: dict[tuple[int, int], str] = field(default_factory=dict)

    @property
    def outcomes(self) -> dict[tuple[int, int], Any]:
        return {key: result.outcome for key, result in self.results.items()} | dict.fromkeys(self.failures, FAILED)


Found = dict[tuple[str, int], _Progress]
"""By variant and fold."""
Asked = dict[int, dict[str, list[Trial]]]
"""By fold and variant: trials of a round."""


def tune(plan: SearchPlan, log: Log) -> Tuning:
    """Search, keep every trial on disk, and write what was chosen.

    Returns:
        What was chosen; the config that trains it is `tuned.toml` in the folder of the suite.

    Raises:
        EarmarkError: trials cannot be trained, or all trials of a fold failed.
    """
    with locked(plan.folder / FOLDER):
        found: Found = {(v, place.fold): _Progress() for v in plan.variants for place in plan.places}
        start = time.monotonic()
        planners = {p.fold: InnerPlanner(plan.suite, p, plan.manifest, plan.folder, plan.options) for p in plan.places}
        n_before = _count_limited_trials(plan)
        if known_search(plan) is None:  # `read_runs` leaves out the folder with this file
            _write(plan, found, finished=False)
        for n_round in itertools.count(1):
            asked = _ask(plan, found)
            if asked:
                n_asked = sum(len(trials) for several in asked.values() for trials in several.values())
                where = "" if ONCE in asked else f" in {pluralize(len(asked), 'fold')}"
                log(f"round {n_round}: {pluralize(n_asked, 'trial')}{where}")
                _run_round(plan, planners, asked, found)
                if not n_before:
                    _write(plan, found, finished=False)
            n_trials = sum(len(progress.trials) for progress in found.values())
            if not asked or (n_trials >= n_before if n_before else _out_of_time(plan, found, start)):
                break
        tuning = _write(plan, found, finished=True)
        _tell_of_limit(plan, found, log)
    suite = tuned_suite(plan, tuning)
    comment = f"Settings chosen by `earmark tune`, mode {tuning.mode}, search {tuning.search}."
    write_text(plan.folder / CONFIG, suite_toml(suite, comment))
    return tuning


def _count_limited_trials(plan: SearchPlan) -> int:
    """Trials that this search had when its limit of time ended it; 0 if it has none or is not finished.

    With as many it ends again, however fast it is now: its choices may have been scored.
    """
    known = known_search(plan)
    if not (plan.suite.search.minutes and known and known.finished and known.search == plan.digest):
        return 0
    try:
        return len(read_trials(plan.folder))
    except DamagedTuningError:
        return 0


def _out_of_time(plan: SearchPlan, found: Found, start: float) -> bool:
    """Whether a limit of minutes is reached, counting the trials of earlier calls."""
    seconds = sum(result.seconds for progress in found.values() for result in progress.results.values())
    spent = max(time.monotonic() - start, seconds / plan.options.n_workers)
    return bool(plan.suite.search.minutes) and spent >= 60 * plan.suite.search.minutes


def _tell_of_limit(plan: SearchPlan, found: Found, log: Log) -> None:
    """Say where a limit of minutes ended the search before all of its trials."""
    variant, fold = next(iter(found))  # a round has as many trials in each fold
    n, n_planned = len(found[variant, fold].trials), plan.n_trials(variant)
    if plan.suite.search.minutes and n < n_planned:
        each = "" if fold == ONCE else " of each fold"
        log(
            f"the limit of {plan.suite.search.minutes:g} minutes ended the search after {n} of {n_planned} trials{each}"
        )


def _ask(plan: SearchPlan, found: Found) -> Asked:
    """The trials of the next round, without places that are finished."""
    asked: Asked = {}
    for (variant, fold), so_far in found.items():
        trials = next_trials(plan.suite.search, plan.space, plan.base(variant), so_far.trials, so_far.outcomes)
        if trials:
            asked.setdefault(fold, {})[variant] = trials
    return asked


def _run_round(plan: SearchPlan, planners: Mapping[int, InnerPlanner], asked: Asked, found: Found) -> None:
    """Train and score the inner runs of some trials in all places, and note what came out."""
    planned = {fold: planners[fold].plan(trials) for fold, trials in asked.items()}
    missing = [inner for inner, _ in planned.values() if inner.missing]
    failures: dict[str, Failure] = {}
    if missing:
        check_networks(missing, plan.options)
        failures = run_suites(missing, plan.options)
    for inner in missing:
        remove_weights(inner.runs)
    lost = {name: failure.reason for name, failure in failures.items() if failure.of_settings}
    _check_trained([run.folder for inner in missing for run in inner.missing if run.folder.name not in lost], failures)
    names = class_names(plan.manifest)
    for place in plan.places:
        for variant, several in asked.get(place.fold, {}).items():
            for trial in several:
                runs = [one.run for one in planned[place.fold][1] if (one.variant, one.trial) == (variant, trial)]
                _note(found[variant, place.fold], trial, runs, lost, place, names, plan.suite.metric)


def _check_trained(left: Sequence[Path], failures: Mapping[str, Failure]) -> None:
    """Stop the search where runs have no result and their settings are not the reason: no trial may lose by that."""
    folders = {folder.name: folder for folder in left}
    for name in (*(name for name in failures if name in folders), *folders):
        reason = failures[name].reason.removesuffix(RESUME) if name in failures else "another process is training it"
        raise EarmarkError(f"trial {folders[name]}: was not trained ({reason}); run the command again")


def _note(
    progress: _Progress,
    trial: Trial,
    runs: Sequence[PlannedRun],
    lost: Mapping[str, str],
    place: Place,
    names: Sequence[str],
    metric: str,
) -> None:
    progress.trials.append(trial)
    reasons = [lost[run.folder.name] for run in runs if run.folder.name in lost]
    key = trial.number, trial.epochs
    if reasons:
        progress.failures[key] = reasons[0]
    else:
        progress.results[key] = read_result(runs, place, names, metric)


def _write(plan: SearchPlan, found: Found, finished: bool) -> Tuning:
    """Write tuning.json and trials.csv."""
    search, suite = plan.suite.search, plan.suite
    places = {place.fold: place for place in plan.places}
    choices = []
    for (variant, fold), progress in found.items():
        if progress.trials:
            choice = _choose(plan, variant, places[fold], progress)
            choices += [choice] if choice else []
            if finished and not choice:
                reason = next(iter(progress.failures.values()))
                raise EarmarkError(f"{variant}, {places[fold].name}: all trials failed ({reason})")
    tuning = Tuning(
        suite=plan.name,
        mode=search.mode,
        strategy=search.strategy,
        metric=suite.metric,
        inner_folds=search.inner_folds,
        trials=max(plan.n_trials(variant) for variant in plan.variants),
        minutes=search.minutes,
        seed=search.seed,
        search=plan.digest,
        space={dimension.name: dimension.text() for dimension in plan.space},
        finished=finished,
        choices=tuple(choices),
    )
    rows = [row for (variant, fold), progress in found.items() for row in _rows(variant, fold, progress)]
    write_tuning(plan.folder / FOLDER, tuning, rows)
    return tuning


def _rows(variant: str, fold: int, progress: _Progress) -> list[TrialRow]:
    rows = []
    for trial in progress.trials:
        key = trial.number, trial.epochs
        result, failure = progress.results.get(key), progress.failures.get(key, "")
        score, nll = (result.outcome.score, result.outcome.nll) if result else (None, None)
        seconds = result.seconds if result else 0.0
        rows.append(TrialRow(variant, fold, trial.number, trial.epochs, score, nll, seconds, failure, trial.settings))
    return rows


def _choose(plan: SearchPlan, variant: str, place: Place, progress: _Progress) -> Choice | None:
    """The best trial with all epochs, of equal ones that with the lower log-loss, then the first; None without any."""
    full = [t for t in progress.trials if t.epochs == t.settings.get("train.epochs", plan.base(variant).train.epochs)]
    full = [t for t in full if (t.number, t.epochs) in progress.results]
    if not full:
        return None
    results = [progress.results[t.number, t.epochs] for t in full]
    best = max(range(len(full)), key=lambda i: (*results[i].outcome.rank, -full[i].number))
    scores = {t.number: r.outcome.score for t, r in zip(full, results, strict=True)}
    return Choice(
        variant=variant,
        fold=place.fold,
        n_clips=len(place.clips),
        n_groups=place.n_groups,
        n_trials=len(full),
        trial=full[best].number,
        epochs=full[best].epochs,
        settings=full[best].settings,
        score=results[best].outcome.score,
        default=scores.get(DEFAULT_TRIAL),
        median=median(scores.values()),
        corrected=_correct(results, place, plan.suite.metric),
    )


def _correct(results: Sequence[TrialResult], place: Place, metric: str) -> float | None:
    """The winner's score on groups that did not choose it."""
    labels = np.array([clip.label for clip in place.clips]) if metric == "uar" else None
    groups = np.array([clip.group for clip in place.clips])
    right = np.stack([result.right for result in results])
    return best_of(right, np.arange(right.shape[1]), groups, labels).corrected


def tuned_suite(plan: SearchPlan, tuning: Tuning) -> SuiteConfig:
    """The suite that scores what was chosen: each variant with its choices, under a name that ends in the mode."""
    suite, mode = plan.suite, tuning.mode
    about = {"mode": mode, "search": tuning.search, "settings": list(tuning.space), "tested": plan.tested}
    variants: dict[str, dict[str, Any]] = {}
    for variant in plan.variants:
        chosen = {choice.fold: nest(choice.settings) for choice in tuning.choices if choice.variant == variant}
        changes = suite.variants.get(variant, {})
        if mode == "once":
            variants[tuned_name(variant, mode)] = {**_merged(changes, chosen[ONCE]), "tuned": about}
        else:
            choices = {str(fold): settings for fold, settings in chosen.items()}
            variants[tuned_name(variant, mode)] = {**changes, "tuned": {**about, "choices": choices}}
    baseline = tuned_name(suite.baseline, mode) if suite.baseline else ""
    return dataclasses.replace(suite, name=plan.name, variants=variants, baseline=baseline)


def _merged(changes: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    sections = {*changes, *settings}
    return {section: {**changes.get(section, {}), **settings.get(section, {})} for section in sorted(sections)}
