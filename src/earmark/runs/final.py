"""Train the recipe of a suite once more, for use: on all of its clips, or without a class.

Nothing is held out but what selects the epoch, so nothing is reported: what to expect of such a network is what the
suite measured for its recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from earmark.analysis.records import RunRecord
from earmark.audio.augment import AUGMENTATIONS
from earmark.config.sections import ConfigError, Options
from earmark.config.suite import RunConfig
from earmark.datasets.read import read_dataset
from earmark.runs.plan import RunData, data_fingerprint, data_folder, known_copies, plan_data, plan_run
from earmark.runs.prepare import load_data, prepare_data
from earmark.runs.train import Log, train_only
from earmark.splits.copies import unite_copies
from earmark.splits.make import make_split
from earmark.splits.split import NOT_REPORTED, Copies, Split
from earmark.training.batches import ImageSet
from earmark.training.devices import select_device


@dataclass(frozen=True)
class SuiteData:
    """The clips of a suite, their images, and the split of each of its folds."""

    data: RunData
    images: ImageSet
    splits: dict[int, Split]
    """By fold."""
    copies: Copies = ()
    """Clips that share audio, by a saved audit."""


def load_suite_data(records: Sequence[RunRecord], options: Options, root: str = "") -> SuiteData:
    """The clips and images that the runs of one variant were trained on; images that are missing are made.

    Args:
        root: where the recordings are now; empty takes the place that the runs name.

    Raises:
        EarmarkError: the recordings cannot be read, or are not those of the runs.
    """
    config = _with_all_images([record.config for record in records])
    config = replace(config, data=replace(config.data, root=root)) if root else config
    remedy = "" if root else "give --root PATH, where the recordings of these runs are now"
    clips = tuple(read_dataset(config.data, remedy))
    copies = known_copies(config.data, clips, options.work)
    augmentations = tuple(records[0].config.augment.waveform_definitions)
    data = plan_data(config, clips, data_folder(config.data, options.work))
    splits = {}
    for record in {record.config.fold: record for record in records}.values():
        leaky = bool(record.result["split"]["leaks"])
        split = make_split(clips, config.split, record.config.fold, leaky, copies, augmentations)
        if data_fingerprint(replace(record.config, data=config.data), data, split) != record.data_fingerprint:
            raise ConfigError(
                f"data.root = {config.data.root!r}: holds other recordings than those of {record.folder}; give theirs"
            )
        splits[record.config.fold] = split
    prepare_data(config, data)
    return SuiteData(data, load_data(config, data, torch.device("cpu")), splits, copies)


def _with_all_images(configs: Sequence[RunConfig]) -> RunConfig:
    """The first config with the augmentations of all: those of the folds may differ, where they were searched.

    Raises:
        ConfigError: two of them define a name differently.
    """
    found: dict[str, Any] = {}
    for augment in (config.augment for config in configs):
        for name in augment.waveform:
            definition = augment.waveform_definitions.get(name, AUGMENTATIONS.get(name))
            if found.setdefault(name, definition) != definition:
                raise ConfigError(
                    f"augment.waveform_definitions: the folds define {name!r} differently; search names in "
                    "augment.waveform, each with a definition of its own"
                )
    definitions = {name: dict(definition) for name, definition in found.items() if definition}
    augment = replace(configs[0].augment, waveform=tuple(found), waveform_definitions=definitions)
    return replace(configs[0], augment=augment)


def check_recipe(suite: SuiteData, record: RunRecord) -> None:
    """Refuse a recipe that cannot be repeated here: the files that it starts from are others, or missing.

    Raises:
        ConfigError: the pretrained weights differ from those of the suite.
    """
    split = suite.splits[record.config.fold]
    planned = plan_run(record.config, suite.data, split, Path(), record.data_fingerprint)
    if planned.id != record.id:
        raise ConfigError(
            f"model.weights = {record.config.model.weights!r}: other weights than those that {record.folder} started "
            "from, or none there; put the same file back"
        )


def split_for_use(suite: SuiteData, record: RunRecord) -> Split:
    """All clips train; where the recipe selects an epoch, whole groups are held out for that, as many as in the suite.

    Clips that share audio are on the same side, as are clips and their augmentations.

    Args:
        record: a run of the recipe.
    """
    clips, split = suite.data.clips, suite.splits[record.config.fold]
    if record.result["selected_on"] == "none":
        ids = tuple(sorted(clip.clip_id for clip in clips))
        return Split(ids, (), (), NOT_REPORTED, record.config.fold)
    fraction = len(split.valid) / (len(split.train) + len(split.valid))
    config = replace(
        record.config.split, kind="holdout", repeats=1, test_ratio=0.0, val_ratio=fraction, valid_fold=False
    )
    united, names = unite_copies(clips, suite.copies), tuple(record.config.augment.waveform_definitions)
    made = make_split(united, config, 1, augmentations=names)
    return replace(made, kind=NOT_REPORTED, fold=record.config.fold)


def split_without(suite: SuiteData, record: RunRecord, label: str) -> Split:
    """The training clips of a fold without those of a class; nothing is reported."""
    split = suite.splits[record.config.fold]
    label_of = {clip.clip_id: clip.label for clip in suite.data.clips}
    train, valid = (tuple(i for i in ids if label_of[i] != label) for ids in (split.train, split.valid))
    valid = valid if record.result["selected_on"] != "none" else ()
    return Split(train, valid, (), NOT_REPORTED, record.config.fold)


def train_for_use(
    config: RunConfig, suite: SuiteData, split: Split, folder: Path, options: Options, log: Log = print
) -> Path:
    """Train one network on a split of `split_for_use` or `split_without`; resumes an interrupted one.

    Args:
        folder: where the run's folder is made.

    Returns:
        Its checkpoint.

    Raises:
        EarmarkError: the settings do not fit the data, the device is not available, or training diverged.
    """
    used = {*split.train, *split.valid}
    names = {clip.label for clip in suite.data.clips if clip.clip_id in used}
    data = replace(suite.data, class_names=tuple(name for name in suite.data.class_names if name in names))
    run = plan_run(config, data, split, folder)
    run = replace(run, folder=folder / f"seed{config.seed}-{run.id}")
    torch.set_num_threads(options.threads or torch.get_num_threads())
    return train_only(run, data, suite.images, select_device(options.device), log)
