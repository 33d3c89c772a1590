"""What a search will do: its space, its inner folds and its budget, checked before any trial is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from earmark.analysis.tuning import DamagedTuningError, Tuning, read_tuning
from earmark.config.search_space import Dimension, search_digest, search_space
from earmark.config.sections import ConfigError, Options, check_setting
from earmark.config.suite import RunConfig, SuiteConfig
from earmark.datasets.manifest import Clip
from earmark.runs.inner import InnerPlanner, Place, outer_splits, plan_places
from earmark.runs.plan import known_copies, read_clips
from earmark.runs.preflight import check_networks
from earmark.runs.ray_cluster import check_ray_installed
from earmark.runs.search_strategies import Trial, check_optuna_installed, count_trials, planned_epochs
from earmark.runtime.console import pluralize
from earmark.runtime.names import MAX_SUITE_NAME, shorten


@dataclass(frozen=True)
class SearchPlan:
    """A search that can be done."""

    suite: SuiteConfig
    """As it was given."""
    options: Options
    space: tuple[Dimension, ...]
    places: tuple[Place, ...]
    manifest: tuple[Clip, ...]
    name: str
    """Of the suite that trains the choices."""
    digest: str
    tested: dict[str, str]
    """Digest of the clips that each outer fold reports, by its number."""

    @property
    def folder(self) -> Path:
        """That of the suite that trains the choices."""
        return self.options.runs / self.name

    @property
    def variants(self) -> list[str]:
        return list(self.suite.variant_names)

    def base(self, variant: str) -> RunConfig:
        """A run of a variant as it is in the config."""
        return self.suite.run(variant, fold=1, seed=self.suite.seeds[0])

    def n_trials(self, variant: str) -> int:
        """Trials of a variant in each fold without a limit of time."""
        return count_trials(self.suite.search, self.space, self.base(variant))


def plan_search(suite: SuiteConfig, options: Options) -> SearchPlan:
    """Check a search and divide its clips; writes nothing and reads no sound.

    Raises:
        EarmarkError: the space, the data, a split or a setting cannot be used, or another search has been scored
            under this name.
    """
    search = suite.search
    if search.strategy == "tpe":
        check_optuna_installed()
    if options.executor == "ray":
        check_ray_installed()
    space = search_space(suite)
    if any("tuned" in changes for changes in suite.variants.values()):
        raise ConfigError("variants: are tuned already; tune the config that they were made from")
    for variant in suite.variants:
        split = suite.run(variant, fold=1, seed=suite.seeds[0]).split
        remedy = "leave it out and set [split]: a search divides the clips once, for all variants"
        check_setting(split == suite.split, f"variants.{variant}.split", suite.variants[variant].get("split"), remedy)
    clips = read_clips(suite.data)
    copies = known_copies(suite.data, clips, options.work)
    outer = outer_splits(suite, clips, copies)
    places = tuple(plan_places(suite, clips, copies, outer))
    name = shorten(f"{suite.name}-{search.mode}", MAX_SUITE_NAME)
    tested = {str(fold): split.reported_digest() for fold, split in outer.items()}
    plan = SearchPlan(suite, options, tuple(space), places, clips, name, search_digest(suite), tested)
    _refuse_other_search(plan)
    _check_choices(plan)
    return plan


def _check_choices(plan: SearchPlan) -> None:
    """Refuse a choice that no run can be trained with, before the search and not when a trial first draws it."""
    trials = {variant: _extreme_trials(plan, plan.base(variant).train.epochs) for variant in plan.variants}
    planner = InnerPlanner(plan.suite, plan.places[0], plan.manifest, plan.folder, plan.options)
    check_networks([planner.plan(trials)[0]], plan.options)


def _extreme_trials(plan: SearchPlan, epochs: int) -> list[Trial]:
    """Each choice and both ends of each range, the other settings as they are in the config."""
    pairs = [(dimension.name, value) for dimension in plan.space for value in dimension.extremes]
    return [Trial(0, {name: value}, value if name == "train.epochs" else epochs) for name, value in pairs]


def _refuse_other_search(plan: SearchPlan) -> None:
    known = known_search(plan)
    if known and known.search != plan.digest and any(plan.folder.glob("*/result.json")):
        raise ConfigError(
            f"name = {plan.suite.name!r}: the choices of another search have been scored in {plan.folder}; give --name "
            "NEW (choosing again after a look at the test clips is another look)"
        )


def describe_search(plan: SearchPlan) -> list[str]:
    """What is searched where, and how much training it is, in lines."""
    search, n_places = plan.suite.search, len(plan.places)
    lines = [f"{d.name}: {d.text()}" for d in plan.space]
    where = "the tuning clips" if search.mode == "once" else f"the training subsets of {pluralize(n_places, 'fold')}"
    n_clips = sorted({len(place.clips) for place in plan.places})
    sizes = " to ".join(map(str, dict.fromkeys((n_clips[0], n_clips[-1]))))
    lines.append(f"{search.strategy}, scored by {search.inner_folds} inner folds in {where} ({sizes} clips)")
    lines.append(("at most " if search.minutes or search.strategy == "halving" else "") + _budget(plan))
    return lines + [
        f"{variant}: the space has no more than {pluralize(n, 'different trial')}; {search.trials} were asked for"
        for variant in plan.variants
        if (n := plan.n_trials(variant)) < search.trials
    ]


def _budget(plan: SearchPlan) -> str:
    """How many inner trainings and epochs a search has."""
    search, once = plan.suite.search, []
    for variant in plan.variants:
        once += planned_epochs(search, plan.space, plan.base(variant))
    times = search.inner_folds * len(plan.places)
    return f"{pluralize(times * len(once), 'inner training')} of {pluralize(times * sum(once), 'epoch')} in all"


def known_search(plan: SearchPlan) -> Tuning | None:
    """The search that has begun in the folder; None without one, and where its record is damaged: trials make it."""
    try:
        return read_tuning(plan.folder)
    except DamagedTuningError:
        return None
