"""How much leakage inflates results: one variant trained under honest splits and under the leaky splits in common use.

Every leaky split carries its leaks (`Split.leaks`), so that a run on it is permanently flagged. Each leaky condition is
compared with its honest one on the same clips.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from earmark.analysis.bootstrap import Resampling, evaluate
from earmark.analysis.records import RunRecord, read_runs
from earmark.analysis.statistics import Interval, percentile_interval, resample_groups
from earmark.config.sections import Options, SplitConfig
from earmark.config.suite import SuiteConfig
from earmark.config.training import TrainConfig
from earmark.datasets.manifest import Clip
from earmark.datasets.write_augmented import write_augmented
from earmark.runs.plan import (
    RunData,
    SuitePlan,
    data_fingerprint,
    data_folder,
    data_key,
    known_copies,
    plan_data,
    plan_run,
    read_clips,
)
from earmark.runs.ray_cluster import check_ray_installed
from earmark.splits.make import fold_numbers, make_split
from earmark.splits.split import Copies, Split, find_leaks

COPIES = ("noisy", "pitchUp2")
"""Augmentations that are written as files, as people do before they split."""
COMPARED = {
    "random_clips": "honest",
    "epoch_on_test": "honest",
    "copies_across_subsets": "honest_with_copies",
}
"""Each leaky condition and the honest one that it is compared with."""
N_RESAMPLES = 10_000
RANDOM_SEED = 0


def plan_leak_study(suite: SuiteConfig, options: Options) -> SuitePlan:
    """Write the augmented copies, and plan all runs: conditions x folds x seeds of the suite's first variant.

    Raises:
        EarmarkError: the data or a setting cannot be used, or the folder holds finished runs of other settings.
    """
    if options.executor == "ray":
        check_ray_installed()
    suite = replace(suite.only(), name=f"{suite.name}-optimism", folds=suite.folds, seeds=suite.seeds)
    (variant,) = suite.variants
    clips = read_clips(suite.data)
    folder, names = data_folder(suite.data, options.work), tuple(suite.augment.waveform_definitions)
    audited = known_copies(suite.data, clips, options.work)
    copies = write_augmented(clips, COPIES, {}, folder / "copies", force=True)
    data: dict[str, RunData] = {}
    runs = []
    for fold in suite.folds or fold_numbers(clips, suite.split, names):
        base = suite.run(variant, fold, suite.seeds[0])
        if (key := data_key(base)) not in data:
            data[key] = plan_data(base, [*clips, *copies], folder / "with-copies")
        splits = make_conditions(clips, copies, base.split, fold, audited, names)
        for condition, split in splits.items():
            train = replace(base.train, epochs=equal_epochs(base.train, splits["honest"], split))
            fingerprint = data_fingerprint(base, data[key], split)
            for seed in suite.seeds:
                config = replace(base, variant=condition, seed=seed, train=train)
                runs.append(plan_run(config, data[key], split, options.runs, fingerprint))
    plan = SuitePlan(tuple(runs), data)
    check_study(plan, options)
    return plan


def check_study(plan: SuitePlan, options: Options) -> None:
    """The checks of a suite, on the honest runs: the others have the same settings, but for the epochs, on purpose."""
    from earmark.runs.preflight import check_plan  # imports torch, which takes seconds

    honest = tuple(run for run in plan.runs if run.config.variant == "honest")
    check_plan(SuitePlan(honest, plan.data), replace(options, allow_unequal_budget=True))


def make_conditions(
    clips: Sequence[Clip],
    copies: Sequence[Clip],
    config: SplitConfig,
    fold: int,
    audited: Copies = (),
    augmentations: Sequence[str] = (),
) -> dict[str, Split]:
    """The split of every condition for one fold.

    Args:
        clips: the manifest.
        copies: augmented copies of the clips, from `write_augmented`.
        config: the honest split.
        fold: the fold that it tests.
        audited: clips that share audio, as an audit found them; the honest split refuses them in two subsets.
        augmentations: names of augmentations that the config defines.
    """
    honest = make_split(clips, config, fold, copies=audited, augmentations=augmentations)
    return {
        "honest": honest,
        "random_clips": random_clips(clips, config, fold),
        "epoch_on_test": epoch_on_test(honest, clips),
        "honest_with_copies": add_copies(honest, copies),
        "copies_across_subsets": copies_across_subsets(honest, clips, copies),
    }


def equal_epochs(train: TrainConfig, honest: Split, split: Split) -> int:
    """The epochs that give as many steps as those on the honest split: copies must not mean longer training."""
    ours, theirs = (max(1, len(s.train) // train.batch_size) for s in (split, honest))  # an epoch has full batches only
    return max(1, round(train.epochs * theirs / ours))


def random_clips(clips: Sequence[Clip], config: SplitConfig, fold: int) -> Split:
    """One fold of a stratified k-fold that ignores groups, with as many folds as the honest split has (or a hold-out).

    Takes and excerpts of one recording, or utterances of one speaker, end up in both train and test. All other settings
    are those of the honest split: it trains on as many clips, and selects the epoch in the same way.
    """
    alone = [replace(clip, group=clip.clip_id) for clip in clips]
    folds = fold_numbers(clips, config)
    ungrouped = replace(config, kind="holdout", waiver="")
    if len(folds) > 1:
        ungrouped = replace(ungrouped, kind="group_kfold", n_folds=len(folds) // config.repeats)
    split = make_split(alone, ungrouped, folds.index(fold) + 1)
    return flag_leaks(replace(split, kind="random_clips", fold=fold), clips)


def epoch_on_test(split: Split, clips: Sequence[Clip]) -> Split:
    """The same split, with the epoch selected on the test subset."""
    return flag_leaks(replace(split, kind="epoch_on_test", valid=split.test), clips)


def add_copies(split: Split, copies: Sequence[Clip]) -> Split:
    """The same split, trained on the augmented copies (``x_noisy``) of its training clips as well."""
    train = set(split.train)
    return replace(split, train=tuple(sorted(train | {c.clip_id for c in copies if _original(c) in train})))


def copies_across_subsets(split: Split, clips: Sequence[Clip], copies: Sequence[Clip]) -> Split:
    """The same split, trained on augmented copies of its test clips too, as when augmentation comes before the split.

    It has as many training clips as `add_copies` gives: copies of test clips replace copies of training clips.

    Args:
        split: the honest split of `clips`, without copies.
        clips: the manifest.
        copies: augmented copies of the clips, from `write_augmented`.
    """
    trained, tested = set(split.train), set(split.test)
    own = [c.clip_id for c in copies if _original(c) in trained]
    foreign = [c.clip_id for c in copies if _original(c) in tested]
    kept = random.Random(0).sample(sorted(own), max(0, len(own) - len(foreign)))
    train = tuple(sorted({*split.train, *kept, *foreign}))
    return flag_leaks(replace(split, kind="copies_across_subsets", train=train), [*clips, *copies])


def _original(copy: Clip) -> str:
    """The id of the clip that `write_augmented` made a copy of; that id may itself end like an augmentation."""
    return next(copy.clip_id.removesuffix(f"_{name}") for name in COPIES if copy.clip_id.endswith(f"_{name}"))


def flag_leaks(split: Split, clips: Sequence[Clip]) -> Split:
    """The same split, permanently flagged with all its leaks."""
    return replace(split, leaks=tuple(str(leak) for leak in find_leaks(split, clips)))


def read_finished(plan: SuitePlan) -> list[RunRecord]:
    """The finished runs of the study, without others that lie in its folder."""
    planned = {run.id for run in plan.runs}
    return [record for record in read_runs(plan.runs[0].folder.parent) if record.id in planned]


@dataclass(frozen=True)
class LeakEffect:
    """By how much one leak raises one metric."""

    condition: str
    metric: str
    honest: float
    leaky: float
    interval: Interval | None
    """95 % bootstrap interval of the difference, over groups; None with too few groups."""
    n_clips: int
    """Clips that were reported under both conditions."""
    n_runs: int
    """Runs of each of the two conditions."""


def measure_leaks(records: Sequence[RunRecord]) -> list[LeakEffect]:
    """Compare each leaky condition with its honest one on the clips that both have reported.

    Seeds count that have finished the same folds under both conditions. A condition without such seeds, or without
    clips in common, is left out.
    """
    effects = []
    for condition, honest in COMPARED.items():
        leaky_runs, honest_runs = _on_common_clips(
            [r for r in records if r.variant == condition], [r for r in records if r.variant == honest]
        )
        if leaky_runs:
            effects += _compare(condition, leaky_runs, honest_runs)
    return effects


def _on_common_clips(first: list[RunRecord], second: list[RunRecord]) -> tuple[list[RunRecord], list[RunRecord]]:
    """The runs of two conditions cut to the folds, seeds and clips that both have."""
    shared = {r.fold_seed for r in first} & {r.fold_seed for r in second}
    folds = {fold for fold, _ in shared}
    seeds = {seed for _, seed in shared if all((fold, seed) in shared for fold in folds)}
    first, second = ([r for r in runs if r.fold_seed in shared and r.config.seed in seeds] for runs in (first, second))
    common = {i for r in first for i in r.clip_ids} & {i for r in second for i in r.clip_ids}
    return _restrict(first, common), _restrict(second, common)


def _restrict(records: Sequence[RunRecord], clip_ids: set[str]) -> list[RunRecord]:
    """The records with these clips alone, without those that have none of them."""
    restricted = []
    for record in records:
        kept = [i for i, clip_id in enumerate(record.clip_ids) if clip_id in clip_ids]
        if kept:
            restricted.append(
                replace(
                    record,
                    clip_ids=tuple(record.clip_ids[i] for i in kept),
                    groups=tuple(record.groups[i] for i in kept),
                    targets=record.targets[kept],
                    predictions=record.predictions[kept],
                    probs=record.probs[kept],
                )
            )
    return restricted


def _compare(condition: str, leaky: Sequence[RunRecord], honest: Sequence[RunRecord]) -> list[LeakEffect]:
    """The effect of one leak on each metric."""
    groups = sorted({group for record in leaky for group in record.groups})
    weights = resample_groups(len(groups), N_RESAMPLES, np.random.default_rng(RANDOM_SEED))
    resampling = Resampling({group: row for row, group in enumerate(groups)}, weights)
    with_leak, without = evaluate(leaky, resampling), evaluate(honest, resampling)
    return [
        LeakEffect(
            condition,
            metric,
            without.metrics[metric],
            with_leak.metrics[metric],
            percentile_interval(with_leak.resampled[metric] - without.resampled[metric], len(groups)),
            n_clips=len({clip_id for record in honest for clip_id in record.clip_ids}),
            n_runs=len(leaky),
        )
        for metric in ("accuracy", "uar")
    ]


def format_leaks(effects: Sequence[LeakEffect]) -> str:
    """A Markdown table in percent and points, or one sentence where nothing can be compared yet."""
    if not effects:
        return "No leak can be measured yet: no fold and seed has finished under a leaky and its honest condition."
    columns = ("leak", "metric", "honest", "leaky", "inflation, points", "95 % interval", "clips", "runs")
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for e in effects:
        interval = "-" if e.interval is None else f"{100 * e.interval.low:+.1f} to {100 * e.interval.high:+.1f}"
        scores = f"{100 * e.honest:.1f} | {100 * e.leaky:.1f} | {100 * (e.leaky - e.honest):+.1f} | {interval}"
        lines.append(f"| {e.condition} | {e.metric} | {scores} | {e.n_clips} | {e.n_runs} |")
    return "\n".join(lines)
