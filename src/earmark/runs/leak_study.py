"""How much leakage inflates results: one variant trained under honest splits and under the leaky splits in common use.

Every leaky split carries its leaks (`Split.leaks`), so that a run on it is permanently flagged. Each leaky condition is
compared with its honest one on the same clips.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from earmark.analysis.leaks import format_leaks, leak_notes, measure_leaks
from earmark.analysis.records import RunRecord, read_runs
from earmark.config.sections import Options, SplitConfig, check_setting
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
LEFT_OUT = {
    "random_clips": "the split has one test subset, and one of random clips would share few clips with it; "
    "--split.kind group_kfold tests all clips under both",
    "epoch_on_test": "a probe has no epochs",
}
"""Why a study lacks a condition."""


def plan_leak_study(suite: SuiteConfig, options: Options) -> SuitePlan:
    """Write the augmented copies, and plan all runs: conditions x folds x seeds of the suite's first variant.

    Raises:
        EarmarkError: the data or a setting cannot be used, or the folder holds finished runs of other settings.
    """
    remedy = "leave it out; `earmark optimism` trains on all groups"
    check_setting(not suite.train_fractions, "train_fractions", list(suite.train_fractions), remedy)
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
        if base.probe.kind != "none":
            del splits["epoch_on_test"]
        for condition, split in splits.items():
            train = with_equal_steps(base.train, splits["honest"], split)
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
    """The split of every condition for one fold; a split without other folds has no `random_clips`.

    Args:
        clips: the manifest.
        copies: augmented copies of the clips, from `write_augmented`.
        config: the honest split.
        fold: the fold that it tests.
        audited: clips that share audio, as an audit found them; the honest split refuses them in two subsets.
        augmentations: names of augmentations that the config defines.
    """
    honest = make_split(clips, config, fold, copies=audited, augmentations=augmentations)
    divided = len(fold_numbers(clips, config, augmentations)) > 1
    return {
        "honest": honest,
        **({"random_clips": random_clips(clips, config, fold)} if divided else {}),
        "epoch_on_test": epoch_on_test(honest, clips),
        "honest_with_copies": add_copies(honest, copies),
        "copies_across_subsets": copies_across_subsets(honest, clips, copies),
    }


def with_equal_steps(train: TrainConfig, honest: Split, split: Split) -> TrainConfig:
    """As many steps, of warm-up, too, as on the honest split: copies must not mean longer training."""
    ratio = train.steps_ratio(len(split.train), len(honest.train))
    return train.with_epochs(max(1, round(train.epochs * ratio)), ratio)


def random_clips(clips: Sequence[Clip], config: SplitConfig, fold: int) -> Split:
    """One fold of a stratified k-fold that ignores groups, with as many folds as the honest split has.

    Takes and excerpts of one recording, or utterances of one speaker, end up in both train and test. All other settings
    are those of the honest split: it trains on as many clips, and selects the epoch in the same way.
    """
    alone = [replace(clip, group=clip.clip_id) for clip in clips]
    folds = fold_numbers(clips, config)
    ungrouped = replace(config, kind="group_kfold", n_folds=len(folds) // config.repeats, waiver="")
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


def clips_with_mates(plan: SuitePlan) -> dict[str, set[str]]:
    """By run id, the test clips that have a clip of their group, or a copy, in training."""
    found = {}
    for run in plan.runs:
        group_of = {clip.clip_id: clip.group for clip in plan.data_of(run).clips}
        trained = {group_of[i] for i in run.split.train}
        found[run.id] = {i for i in run.split.reported if group_of[i] in trained}
    return found


def describe_inflation(plan: SuitePlan) -> str:
    """What the finished runs of a study say, as Markdown: a table, and what to know before believing it."""
    effects = measure_leaks(read_finished(plan), clips_with_mates(plan))
    planned = {run.config.variant for run in plan.runs}
    left_out = [f"{name}: left out, because {why}." for name, why in LEFT_OUT.items() if name not in planned]
    return "\n\n".join([format_leaks(effects), *leak_notes(effects), *left_out])
