"""What a run needs before it starts: clips and their spectrogram store, the split, the run's identity and its folder.

`prepare` makes or opens the store and `load` decodes it, once for all runs that share them; `plan` makes a run's split.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from earmark.config.sections import DataConfig, FrontEndConfig, check_setting
from earmark.config.suite import RunConfig, run_id, to_dict
from earmark.datasets.manifest import Clip, class_names, write_manifest
from earmark.datasets.recordings import find_data
from earmark.features.store import Store, generate, open_store, resolve_front_end
from earmark.models.registry import architecture_of
from earmark.splits.make import make_split
from earmark.splits.split import Split
from earmark.training.batches import ImageSet, load_images


@dataclass(frozen=True)
class Recordings:
    """The clips of a data set and the store of their spectrograms."""

    clips: tuple[Clip, ...]
    class_names: tuple[str, ...]
    store: Store


def prepare(config: RunConfig, clips: Sequence[Clip], work_dir: Path, jobs: int = 0) -> Recordings:
    """Clips to spectrogram store.

    Args:
        clips: what `read_dataset(config.data)` gave.
        work_dir: where manifests and stores are kept, one folder per data set.
        jobs: processes that make spectrograms; 0 takes all cores.

    Raises:
        ValueError: the recordings, the images or the settings cannot be used.
    """
    clips = tuple(clips)
    if config.data.images:
        store = open_store(find_data(config.data.images, "data.images"))
    else:
        store = make_store(clips, config, work_dir, jobs)
    return Recordings(clips, class_names(clips), store)


def load(config: RunConfig, recordings: Recordings, device: torch.device | str = "cpu") -> ImageSet:
    """Decode the images that a run reads, on the device it trains on."""
    waveforms = ("orig", *config.augment.waveform)
    keys = [(clip.clip_id, waveform) for clip in recordings.clips for waveform in waveforms]
    return load_images(recordings.store, keys, config.data.memory_gib, device)


def data_key(config: RunConfig) -> str:
    """Equal for runs that can share what `prepare` and `load` make."""
    waveform = (config.augment.waveform, config.augment.waveform_definitions)
    return json.dumps([to_dict(config.data), to_dict(config.front_end), waveform])


def make_store(clips: tuple[Clip, ...], config: RunConfig, work_dir: Path, jobs: int) -> Store:
    """The spectrogram store of the clips, made or brought up to date, with the manifest beside it."""
    front_end = resolve_front_end(clips, config.front_end)
    folder = data_folder(config.data, work_dir)
    write_manifest(clips, folder / "clips.csv")
    waveforms = ("orig", *config.augment.waveform)
    definitions = config.augment.waveform_definitions
    return generate(clips, front_end, folder / front_end_key(front_end), waveforms, definitions, jobs=jobs)


def data_folder(config: DataConfig, work_dir: Path) -> Path:
    """Where the manifest and the stores of a data set lie."""
    where = str(find_data(config.root).resolve())
    return work_dir / f"{config.dataset}-{hashlib.sha256(where.encode()).hexdigest()[:6]}"


def front_end_key(config: FrontEndConfig) -> str:
    """A folder name that differs between front ends."""
    digest = hashlib.sha256(json.dumps(to_dict(config), sort_keys=True).encode()).hexdigest()
    return f"{config.sample_rate}hz-{config.n_mels}mel-{digest[:6]}"


@dataclass(frozen=True)
class PlannedRun:
    """A run that is ready to start: its config, split, identity and place."""

    config: RunConfig
    split: Split
    fingerprint: str
    id: str
    folder: Path

    @property
    def selected_on(self) -> str:
        """The part that selects the epoch, or `none`; a part that is reported selects in `earmark optimism` alone."""
        if not (self.split.valid and self.split.test):
            return "none"
        return "test" if set(self.split.valid) & set(self.split.test) else "valid"

    @property
    def finished(self) -> bool:
        """Whether the result is there."""
        return (self.folder / "result.json").is_file()


@dataclass(frozen=True)
class SuitePlan:
    """All runs of a suite, with the data they share."""

    jobs: tuple[PlannedRun, ...]
    recordings: dict[str, Recordings]
    """By `data_key`."""

    @property
    def missing(self) -> list[PlannedRun]:
        """The runs that are not finished."""
        return [job for job in self.jobs if not job.finished]


def plan(
    config: RunConfig,
    recordings: Recordings,
    runs_dir: Path,
    allow_leakage: bool = False,
    split: Split | None = None,
) -> PlannedRun:
    """Make and check the split, unless one is given, and find the run's folder.

    Raises:
        ConfigError: the weights to start from need another front end.
        LeakageError: a group crosses parts and `allow_leakage` is not set.
    """
    check_front_end(config, recordings.store.front_end)
    split = split or make_split(recordings.clips, config.split, config.fold, allow_leakage)
    label_of = {clip.clip_id: clip.label for clip in recordings.clips}
    rows = sorted((i, label_of[i], part) for part, ids in split.subsets().items() for i in ids)
    used = sorted({clip_id for clip_id, *_ in rows})
    images = recordings.store.fingerprint(used, ("orig", *config.augment.waveform))
    fingerprint = hashlib.sha256(json.dumps([rows, images]).encode()).hexdigest()[:16]
    identity = run_id(config, fingerprint + weights_digest(config.model.weights))
    name = f"{config.variant}-fold{config.fold}-seed{config.seed}-{identity}"
    return PlannedRun(config, split, fingerprint, identity, runs_dir / config.name / name)


def weights_digest(weights: str) -> str:
    """Stands for the content of a file of weights; empty for `none` and named weights."""
    path = Path(weights)
    return _digest(path, path.stat().st_mtime_ns) if path.is_file() else ""


@functools.cache
def _digest(path: Path, _mtime_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def check_front_end(config: RunConfig, front_end: FrontEndConfig | None) -> None:
    """Refuse published weights on images that are made in another way than those they were trained with.

    Raises:
        ConfigError: a setting differs; it is named.
    """
    needed = architecture_of(config.model.name).front_end
    if config.model.weights == "none" or front_end is None:
        return
    for name, value in needed.items():
        given = getattr(front_end, name)
        check_setting(given == value, f"front_end.{name}", given, f"{config.model.name} was trained with {value!r}")
