"""Trials of a search as runs on inner folds: clips of one training subset, divided once more by group.

No clip that a fold tests is among the clips that these runs can read, and none of them is a look in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earmark.analysis.metrics import score
from earmark.analysis.predictions import Predictions, read_predictions
from earmark.analysis.tuning import FOLDER, ONCE
from earmark.config.search_space import apply
from earmark.config.sections import ConfigError, Options, SplitConfig, check_setting
from earmark.config.suite import RunConfig, SuiteConfig
from earmark.datasets.manifest import Clip, class_names
from earmark.runs.plan import (
    PlannedRun,
    RunData,
    SuitePlan,
    data_fingerprint,
    data_folder,
    data_key,
    plan_data,
    plan_run,
)
from earmark.runs.search_strategies import Outcome, Trial
from earmark.runtime.errors import EarmarkError
from earmark.runtime.names import MAX_SUITE_NAME, shorten
from earmark.runtime.schema import read_json
from earmark.splits.copies import unite_copies
from earmark.splits.make import fold_numbers, make_split, tuning_clips
from earmark.splits.split import INNER, Copies, Split, SplitError

CHECKPOINTS = ("*.safetensors", "events.out.*")
RESULT = {"id": str, "split": {"kind": str}}
TIMING = {"train_seconds": float}


@dataclass(frozen=True)
class Place:
    """Where settings are chosen: the training subset of a fold, or the tuning clips of all folds."""

    fold: int
    """From 1; 0 for the tuning clips."""
    clips: tuple[Clip, ...]
    split_config: SplitConfig
    splits: tuple[Split, ...]
    """The inner folds; the subset `test` of each is the part of `clips` that it scores."""

    @property
    def name(self) -> str:
        return "tuning clips" if self.fold == ONCE else f"fold {self.fold}"

    @property
    def n_groups(self) -> int:
        return len({clip.group for clip in self.clips})


def outer_splits(suite: SuiteConfig, clips: Sequence[Clip], copies: Copies) -> dict[int, Split]:
    """The split of each fold, those that the suite leaves out too.

    With `split.train_fraction` the training groups are those of the first seed, which the trials have as well.

    Raises:
        SplitError: a split cannot be made.
    """
    names, draw = tuple(suite.augment.waveform_definitions), suite.seeds[0]
    folds = dict.fromkeys((*suite.folds, *fold_numbers(clips, suite.split, names)))
    return {fold: make_split(clips, suite.split, fold, False, copies, names, draw) for fold in folds}


def plan_places(suite: SuiteConfig, clips: Sequence[Clip], copies: Copies, outer: Mapping[int, Split]) -> list[Place]:
    """The places of a search; the clips that a fold reports are in none of its inner folds.

    Args:
        outer: from `outer_splits`.

    Raises:
        EarmarkError: an inner split cannot be made, or mode `once` has no clips to choose on.
    """
    if suite.search.mode == "once":
        split = suite.split
        pool = tuning_clips(clips, split, tuple(suite.augment.waveform_definitions))
        remedy = "give a part of the clips, for example 0.2, that no fold tests; or search.mode = 'nested'"
        check_setting(bool(pool), "split.tuning_ratio", split.tuning_ratio, remedy)
        assert not pool & {i for one in outer.values() for i in (*one.test, *one.valid)}, "make_split keeps them"
        return [_place(ONCE, pool, suite, clips, copies, next(iter(outer.values())))]
    pools = {fold: {*outer[fold].train, *outer[fold].valid} - {*outer[fold].reported} for fold in suite.folds or outer}
    return [_place(fold, pool, suite, clips, copies, outer[fold]) for fold, pool in pools.items()]


def _place(fold: int, pool: set[str], suite: SuiteConfig, clips: Sequence[Clip], copies: Copies, outer: Split) -> Place:
    members = tuple(clip for clip in clips if clip.clip_id in pool)
    config, names = _inner_split_config(suite, outer), tuple(suite.augment.waveform_definitions)
    inside = [kept for sets in copies if len(kept := tuple(i for i in sets if i in pool)) > 1]
    united, n_folds = unite_copies(members, inside), suite.search.inner_folds
    where, n_groups = "tuning clips" if fold == ONCE else f"fold {fold}", len({clip.group for clip in united})
    there = f"there are {n_groups} groups" if n_groups > 1 else "there is only one group"
    fewer = f"give at most {n_groups}" if n_groups > 1 else "add recordings of other groups"
    remedy = f"{there} of clips to choose on ({where}); {fewer}"
    check_setting(n_folds <= n_groups, "search.inner_folds", n_folds, remedy)
    try:
        splits = [make_split(united, config, n, copies=inside, augmentations=names) for n in _inner_folds(suite)]
    except SplitError as error:
        raise ConfigError(f"search.inner_folds = {n_folds}, {where}: {error}") from None
    return Place(fold, members, config, tuple(replace(split, kind=INNER) for split in splits))


def _inner_folds(suite: SuiteConfig) -> range:
    return range(1, suite.search.inner_folds + 1)


def _inner_split_config(suite: SuiteConfig, outer: Split) -> SplitConfig:
    """Group k-fold inside a training subset; an epoch is selected where the outer split selects one."""
    config = SplitConfig(kind="group_kfold", n_folds=suite.search.inner_folds, seed=suite.search.seed)
    if outer.reported_subset == "valid":
        return config
    return replace(config, val_ratio=suite.split.val_ratio, valid_fold=suite.split.valid_fold)


@dataclass(frozen=True)
class InnerRun:
    """A run that scores one trial of a variant on one inner fold."""

    variant: str
    trial: Trial
    run: PlannedRun


class InnerPlanner:
    """Plans the runs of one place; the clips that it passes on are those of the place alone."""

    def __init__(self, suite: SuiteConfig, place: Place, manifest: Sequence[Clip], folder: Path, options: Options):
        self._suite, self._place, self._manifest = suite, place, tuple(manifest)
        self._folder, self._options = folder, options
        self._data: dict[str, RunData] = {}
        self._fingerprints: dict[tuple[str, int], str] = {}

    def plan(self, trials: Mapping[str, Sequence[Trial]]) -> tuple[SuitePlan, list[InnerRun]]:
        """All inner runs of the trials of each variant.

        Raises:
            ConfigError: the settings of a trial do not fit each other.
        """
        runs = [
            InnerRun(variant, trial, self._run(variant, trial, fold))
            for variant, several in trials.items()
            for trial in several
            for fold in _inner_folds(self._suite)
        ]
        return SuitePlan(tuple(inner.run for inner in runs), dict(self._data)), runs

    def _run(self, variant: str, trial: Trial, fold: int) -> PlannedRun:
        config = self._config(variant, trial, fold)
        key, split = data_key(config), self._place.splits[fold - 1]
        if key not in self._data:
            data = plan_data(config, self._place.clips, data_folder(config.data, self._options.work))
            self._data[key] = replace(data, class_names=class_names(self._manifest), manifest=self._manifest)
        data = self._data[key]
        if (key, fold) not in self._fingerprints:
            self._fingerprints[key, fold] = data_fingerprint(config, data, split)
        return plan_run(config, data, split, self._folder, self._fingerprints[key, fold])

    def _config(self, variant: str, trial: Trial, fold: int) -> RunConfig:
        suite, label = self._suite, "once" if self._place.fold == ONCE else f"in{self._place.fold}"
        base = suite.run(variant, fold, suite.seeds[0])
        name = shorten(f"{variant}-{label}", MAX_SUITE_NAME)
        base = replace(base, name=FOLDER, variant=name, split=self._place.split_config)
        return apply(base, {**trial.settings, "train.epochs": trial.epochs})


@dataclass(frozen=True)
class TrialResult:
    """A trial over all inner folds."""

    outcome: Outcome
    seconds: float
    right: np.ndarray
    """(R, N) 1 and 0 per inner fold and clip of the place; NaN where the fold does not score the clip."""


def read_result(runs: Sequence[PlannedRun], place: Place, names: Sequence[str], metric: str) -> TrialResult:
    """What the finished inner runs of a trial have scored.

    Raises:
        EarmarkError: a file of a run cannot be used.
    """
    parts = [_read_predictions(run, names) for run in runs]
    row_of = {clip.clip_id: i for i, clip in enumerate(place.clips)}
    right = np.full((len(runs), len(row_of)), np.nan)
    for row, part in zip(right, parts, strict=True):
        row[[row_of[clip_id] for clip_id in part.clip_ids]] = part.predictions == part.targets
    probs, targets = np.concatenate([p.probs for p in parts]), np.concatenate([p.targets for p in parts])
    metrics = score(probs, targets, names)["metrics"]
    seconds = sum(read_json(run.folder / "timing.json", TIMING)["train_seconds"] for run in runs)
    return TrialResult(Outcome(metrics[metric], metrics["nll"]), seconds, right)


def _read_predictions(run: PlannedRun, names: Sequence[str]) -> Predictions:
    try:
        result = read_json(run.folder / "result.json", RESULT)
        found = read_predictions(run.folder / "predictions.csv", names)
        if result["id"] != run.id or set(found.clip_ids) != set(run.split.test):
            raise EarmarkError("its files are those of another run")
    except (EarmarkError, OSError) as error:
        raise EarmarkError(f"trial {run.folder}: {error}; remove the folder and run the command again") from None
    return found


def remove_weights(runs: Iterable[PlannedRun]) -> None:
    """Remove the weights and TensorBoard logs of finished trials; settings, predictions and history stay."""
    for run in runs:
        if run.finished:
            for pattern in CHECKPOINTS:
                for path in run.folder.glob(pattern):
                    path.unlink()
