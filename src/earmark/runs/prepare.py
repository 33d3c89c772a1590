"""Make the images that planned runs need, and load them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import torch

from earmark.config.suite import RunConfig
from earmark.datasets.manifest import write_manifest
from earmark.features.store import StoreError, generate
from earmark.runs.plan import RunData, SuitePlan, data_key, waveforms
from earmark.runtime.files import ABANDONED_SECONDS
from earmark.training.batches import ImageSet, load_images

SharedFiles = Mapping[str, Path]
"""By `data_key`: files in which worker processes share decoded images."""
NO_FILES: SharedFiles = MappingProxyType({})


def prepare_suite(plan: SuitePlan) -> None:
    """Make the images of all runs that are not finished; images that are there already are kept.

    Raises:
        EarmarkError: recordings cannot be used, or have changed since the plan was made.
    """
    for key, config in {data_key(run.config): run.config for run in plan.missing}.items():
        prepare_data(config, plan.data[key])


def prepare_data(config: RunConfig, data: RunData, jobs: int = 0) -> None:
    """Write the manifest, clips.csv, and make the images below it; nothing is done for ready-made images.

    Args:
        config: the config that `plan_data` was called with.
        data: what it returned.
        jobs: threads; 0 takes one per core.

    Raises:
        EarmarkError: recordings cannot be used, or have changed since the plan was made.
    """
    if config.data.images:
        return
    folder, front_end = data.store.folder, data.store.front_end
    assert front_end is not None, "plan_data resolves it"
    write_manifest(data.manifest or data.clips, folder.parent / "clips.csv")
    names, definitions = waveforms(config), config.augment.waveform_definitions
    made = generate(data.clips, front_end, folder, names, definitions, jobs=jobs)
    ids = [clip.clip_id for clip in data.clips]
    if made.fingerprint(ids, names) != data.store.fingerprint(ids, names):
        raise StoreError(f"data.root = {config.data.root!r}: recordings have changed just now; run the command again")


def load_data(
    config: RunConfig, data: RunData, device: torch.device | str = "cpu", shared_file: Path | None = None
) -> ImageSet:
    """The images that a run reads, decoded to the device it trains on or, above `memory_gib`, streamed from the store.

    Args:
        config: names the images.
        data: holds their store.
        device: where they are kept.
        shared_file: of `name_shared_files`: worker processes share one copy in it; without room, each has its own.
    """
    # sorted, as the name of a shared file stands for its images in any order of the manifest
    keys = sorted((clip.clip_id, waveform) for clip in data.clips for waveform in waveforms(config))
    try:
        return load_images(data.store, keys, config.data.memory_gib, device, shared_file)
    except OSError:
        if shared_file is None:
            raise
        return load_images(data.store, keys, config.data.memory_gib, device)


def name_shared_files(plan: SuitePlan, work_dir: Path) -> SharedFiles:
    """A file for each data set of the unfinished runs in which worker processes share decoded images.

    A file is named after its content, so that one that a killed suite has left is used by the next. Those of other
    content are deleted after `ABANDONED_SECONDS`.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    files = {}
    for key, config in {data_key(run.config): run.config for run in plan.missing}.items():
        ids = [clip.clip_id for clip in plan.data[key].clips]
        files[key] = work_dir / f"shared-{plan.data[key].store.fingerprint(ids, waveforms(config))}.bin"
    for path in set(work_dir.glob("shared-*.bin")) - set(files.values()):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                delete_shared_files([path])
    return files


def delete_shared_files(files: Iterable[Path]) -> None:
    """Delete them, once no run reads them."""
    for file in files:
        for path in (file, file.with_name(f"{file.name}.lock")):
            with contextlib.suppress(OSError):  # another suite may have it open, on Windows
                path.unlink(missing_ok=True)
