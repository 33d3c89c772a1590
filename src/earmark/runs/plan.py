"""Plan runs: their clips, splits, ids and folders. Planning reads recordings and writes nothing.

The id of a run contains the content of its audio files. It is computed from the files themselves, so that a plan knows
which runs are finished before any image has been made (`earmark.runs.prepare` makes them).

Splits and settings are checked before the files are read, and before torch is imported, which takes seconds: imports
inside of functions are those that need it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.audio.augment import AUGMENTATIONS, ORIGINAL
from earmark.config.budget import unequal_budgets
from earmark.config.learning_curve import is_curve_point
from earmark.config.sections import ConfigError, DataConfig, FrontEndConfig, Options, SplitConfig, check_setting
from earmark.config.suite import RunConfig, SuiteConfig, run_id, to_dict
from earmark.config.training import AugmentConfig, TrainConfig
from earmark.config.variants import check_name
from earmark.datasets.manifest import Clip, class_names
from earmark.datasets.read import read_dataset
from earmark.datasets.recordings import find_data
from earmark.features.store import Store, open_store, plan_store, resolve_front_end
from earmark.runs.initial_weights import check_front_end, check_model_settings, check_weights
from earmark.runs.ray_cluster import check_ray_installed
from earmark.runtime.console import pluralize
from earmark.runtime.files import digest
from earmark.runtime.names import run_name
from earmark.splits.copies import find_copies
from earmark.splits.make import fold_numbers, groups_per_label, make_split
from earmark.splits.split import INNER, NOT_REPORTED, Copies, Split

LOG = logging.getLogger("earmark")
SplitKey = tuple[SplitConfig, int, int]
"""See `split_key`."""


@dataclass(frozen=True)
class RunData:
    """What all runs on the same images share: the clips, their classes and the store of their images."""

    clips: tuple[Clip, ...]
    class_names: tuple[str, ...]
    store: Store
    manifest: tuple[Clip, ...] = ()
    """All clips of the data set, where `clips` are the part of them that a search may read."""

    def audio_of(self, clip_ids: Iterable[str]) -> tuple[str, ...]:
        """Digests of the files of these clips, in their order; empty where one is not known."""
        entries = [self.store.index.get((clip_id, ORIGINAL)) for clip_id in clip_ids]
        return tuple(entry.content for entry in entries if entry) if all(entries) else ()


@dataclass(frozen=True)
class PlannedRun:
    """One run: its config, split, identity and folder."""

    config: RunConfig
    split: Split
    fingerprint: str
    """Stands for the clips, their labels, groups, subsets and images."""
    id: str
    folder: Path

    @property
    def train(self) -> TrainConfig:
        """How it is trained, with the epochs that its part of the training groups needs."""
        n_kept = len(self.split.train)
        return self.config.train.for_part(n_kept, n_kept + len(self.split.left_out))

    @property
    def selected_on(self) -> str:
        """The subset that selects the epoch, or `none`; it is `test` in a leak study only."""
        return selected_on(self.config, self.split)

    @property
    def inner(self) -> bool:
        """Whether it scores a trial of a search, on clips of a training subset: no look at test clips."""
        return self.split.kind == INNER

    @property
    def finished(self) -> bool:
        """Whether the run has its result."""
        return (self.folder / "result.json").is_file()


def selected_on(config: RunConfig, split: Split) -> str:
    """See `PlannedRun.selected_on`."""
    reports = split.test or split.kind == NOT_REPORTED
    if not (split.valid and reports) or config.probe.kind != "none":
        return "none"
    return "test" if set(split.valid) & set(split.test) else "valid"


@dataclass(frozen=True)
class SuitePlan:
    """All runs of a suite, with the data that they share."""

    runs: tuple[PlannedRun, ...]
    data: dict[str, RunData]
    """By `data_key`."""

    @property
    def missing(self) -> list[PlannedRun]:
        """The runs that are not finished."""
        return [run for run in self.runs if not run.finished]

    def data_of(self, run: PlannedRun) -> RunData:
        """The data of one of the runs."""
        return self.data[data_key(run.config)]


def plan_suite(suite: SuiteConfig, options: Options) -> SuitePlan:
    """Plan all runs of a suite; writes nothing, makes no image and trains nothing.

    Raises:
        EarmarkError: the data, a setting or a split cannot be used, or the budgets of the variants differ.
    """
    if options.executor == "ray":
        check_ray_installed()
    clips = read_clips(suite.data)
    copies = known_copies(suite.data, clips, options.work)
    augmentations = tuple(suite.augment.waveform_definitions)
    configs = suite.runs(fold_numbers(clips, suite.split, augmentations))
    check_budgets(configs, options.allow_unequal_budget)
    data: dict[str, RunData] = {}
    splits: dict[SplitKey, Split] = {}
    fingerprints: dict[tuple[str, SplitKey], str] = {}
    runs = []
    for config in configs:
        split_config, fold, draw = which = split_key(config)
        if which not in splits:
            splits[which] = make_split(clips, split_config, fold, options.allow_leakage, copies, augmentations, draw)
        check_patience(config, splits[which])
    check_shots(configs, splits, clips)
    from earmark.runs.plan_warnings import warn_of_plan
    from earmark.runs.preflight import check_plan

    for config in configs:
        check_model_settings(config)
    for config in configs:
        key, which = data_key(config), split_key(config)
        if key not in data:
            data[key] = plan_data(config, clips, data_folder(config.data, options.work))
        if (key, which) not in fingerprints:
            fingerprints[key, which] = data_fingerprint(config, data[key], splits[which])
        fingerprint = fingerprints[key, which]
        runs.append(plan_run(config, data[key], splits[which], options.runs, fingerprint, options.allow_leakage))
    plan = SuitePlan(tuple(runs), data)
    check_plan(plan, options)
    warn_of_plan(plan, copies, manifest_path(suite.data, options.work))
    return plan


def read_clips(data: DataConfig) -> tuple[Clip, ...]:
    """The clips of a data set that networks can be compared on.

    Raises:
        ConfigError: they are all of one class.
        EarmarkError: the data set cannot be read.
    """
    clips = tuple(read_dataset(data))
    names = class_names(clips)
    check_setting(len(names) > 1, "data.root", data.root, f"all clips are of the class {names[0]!r}; give two or more")
    return clips


def split_key(config: RunConfig) -> SplitKey:
    """Equal for runs on the same split: its settings, the fold, and the seed of a fraction of the training groups."""
    return config.split, config.fold, config.seed if config.split.train_fraction < 1 else 0


def known_copies(data: DataConfig, clips: Sequence[Clip], work: Path) -> Copies:
    """The clips that share audio, by the audit beside the manifest.

    Raises:
        SplitError: the file is not an audit.
    """
    return find_copies(manifest_path(data, work), clips)


def manifest_path(data: DataConfig, work: Path) -> Path:
    """The user's manifest, or the one that `prepare_data` writes."""
    return find_data(data.root) if data.dataset == "manifest" else data_folder(data, work) / "clips.csv"


def check_budgets(configs: Sequence[RunConfig], allow: bool) -> None:
    """Raise `ConfigError` when the variants do not have the same budget, unless `allow`."""
    unequal = unequal_budgets(configs)
    if unequal and not allow:
        raise ConfigError(
            f"variants differ in {', '.join(unequal)}, so they would not compare networks; "
            "make them equal or give --allow-unequal-budget"
        )


def plan_data(config: RunConfig, clips: Sequence[Clip], folder: Path) -> RunData:
    """The clips with the store of their images: ready-made ones, or those that `prepare_data` will make.

    Args:
        config: its sections `data`, `front_end` and `augment` say which images.
        clips: the manifest.
        folder: the store is a folder below it.

    Raises:
        EarmarkError: a recording, the images or a setting cannot be used.
    """
    if config.data.images:
        store = open_store(find_data(config.data.images, "data.images"))
    else:
        front_end = resolve_front_end(clips, config.front_end)
        definitions = config.augment.waveform_definitions
        name = store_name(front_end, config.augment)
        store = plan_store(clips, front_end, folder / name, waveforms(config), definitions)
    return RunData(tuple(clips), class_names(clips), store)


def plan_run(
    config: RunConfig,
    data: RunData,
    split: Split,
    runs_dir: Path,
    fingerprint: str = "",
    allow_leakage: bool = False,
) -> PlannedRun:
    """One run on a split: its id and its folder, `<runs_dir>/<name>/<variant>-fold<fold>-seed<seed>-<id>`.

    Args:
        config: all settings of the run.
        data: from `plan_data`.
        split: from `make_split`.
        runs_dir: folder of all comparisons.
        fingerprint: that of `data_fingerprint`, if it is known.
        allow_leakage: flag the split where its weights know held-out clips, instead of refusing it.

    Raises:
        ConfigError: the weights to start from need another front end, a name cannot name a folder, or training is to
            stop early without a valid subset.
        LeakageError: the weights to start from were trained on clips that the split holds out.
    """
    check_name(config.name, "name")
    check_name(config.variant, "variant")
    check_patience(config, split)
    check_model_settings(config)
    check_front_end(config, data.store.front_end)
    split = check_weights(config, data.store, split, allow_leakage)
    from earmark.models.backbone import backbone_digest
    from earmark.models.custom import source_digest
    from earmark.models.weights import weights_digest

    fingerprint = fingerprint or data_fingerprint(config, data, split)
    files = weights_digest(config.model.weights) + backbone_digest(config.model.name)
    identity = run_id(config, fingerprint + files + source_digest(config.model.name))
    name = run_name(config.variant, config.fold, config.seed, identity)
    return PlannedRun(config, split, fingerprint, identity, runs_dir / config.name / name)


def data_fingerprint(config: RunConfig, data: RunData, split: Split) -> str:
    """Sixteen hex digits that stand for the clips of a split, their labels, groups, subsets and images."""
    of_clip = {clip.clip_id: (clip.label, clip.group) for clip in data.clips}
    rows = sorted((i, *of_clip[i], subset) for subset, ids in split.subsets().items() for i in ids)
    used = sorted({clip_id for clip_id, *_ in rows})
    return digest(json.dumps([rows, data.store.fingerprint(used, waveforms(config))]))


def waveforms(config: RunConfig) -> tuple[str, ...]:
    """The images that a run may read of each clip: the original and its augmentations."""
    return (ORIGINAL, *config.augment.waveform)


def data_key(config: RunConfig) -> str:
    """Equal for runs that read the same images."""
    waveform = (config.augment.waveform, config.augment.waveform_definitions)
    return json.dumps([to_dict(config.data), to_dict(config.front_end), waveform])


def data_folder(config: DataConfig, work_dir: Path) -> Path:
    """Where the manifest and the stores of a data set are kept."""
    return work_dir / f"{config.dataset}-{digest(str(find_data(config.root).resolve()), length=6)}"


def store_name(front_end: FrontEndConfig, augment: AugmentConfig) -> str:
    """A folder name that differs between front ends, and between definitions of the augmentations that are used.

    Two definitions of one name would otherwise write to the same files.
    """
    key = digest(json.dumps(to_dict(front_end), sort_keys=True), length=6)
    name = f"{front_end.sample_rate}hz-{front_end.n_mels}mel-{key}"
    definitions = augment.waveform_definitions.items()
    own = {known: d for known, d in definitions if known in augment.waveform and d != AUGMENTATIONS.get(known)}
    return f"{name}-{digest(json.dumps(own, sort_keys=True), length=6)}" if own else name


def check_patience(config: RunConfig, split: Split) -> None:
    """Refuse early stopping where no valid subset says which epoch is better.

    Raises:
        ConfigError: there is none.
    """
    patience = config.train.patience
    selects = selected_on(config, split) != "none" or config.probe.kind != "none"
    remedy = "there is no valid subset to stop on; set split.val_ratio or split.valid_fold, or give 0"
    check_setting(selects or not patience, "train.patience", patience, remedy)


def check_shots(configs: Iterable[RunConfig], splits: Mapping[SplitKey, Split], clips: Sequence[Clip]) -> None:
    """Refuse points of a few-shot curve for which a class has too few groups in a training subset.

    Raises:
        ConfigError: the class that has the fewest is named.
    """
    probes = [config for config in configs if scores_few_shots(config)]
    fewest: dict[SplitKey, tuple[int, str]] = {}
    for key in dict.fromkeys(map(split_key, probes)):
        train = set(splits[key].train)
        n_groups = groups_per_label(clip for clip in clips if clip.clip_id in train)
        fewest[key] = min((n, label) for label, n in n_groups.items())
    for config in sorted(probes, key=lambda config: fewest[split_key(config)]):
        (n, label), most = fewest[split_key(config)], max(config.probe.shots)
        remedy = f"fold {config.fold} trains on {pluralize(n, 'group')} of {label!r}; give at most {n}"
        check_setting(most <= n, "probe.shots", most, remedy)


def scores_few_shots(config: RunConfig) -> bool:
    """Whether a run is also scored with few groups per class: a probe, unless it is a point of a learning curve."""
    return config.probe.kind != "none" and bool(config.probe.shots) and not is_curve_point(config)
