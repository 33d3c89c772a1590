"""The life of one run: lock, resume or start, epochs, checkpoints, evaluation.

`result.json` is written last: a run that has it is finished and is not repeated, one that does not have it is resumed
from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

import earmark
from earmark.analysis.records import FORMAT_VERSION
from earmark.config.suite import to_dict
from earmark.config.training import TrainConfig
from earmark.datasets.manifest import manifest_digest
from earmark.features.windows import window_frames
from earmark.models.custom import source_digest
from earmark.runs.declare import record_run
from earmark.runs.evaluate import check_own, evaluate_run, saved_seconds
from earmark.runs.failures import ERROR_FILE
from earmark.runs.initial_weights import recordings_behind
from earmark.runs.plan import PlannedRun, RunData
from earmark.runs.probe_run import evaluate_probe
from earmark.runtime.console import format_duration
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import mark_holder, remove_temporary, write_csv, write_json
from earmark.splits.io import write_split
from earmark.training.average import create_average
from earmark.training.batches import ImageSet, Subset, select_subset
from earmark.training.checkpoint import CheckpointMetadata, create_from_metadata, restore, write_checkpoint
from earmark.training.checkpoint_files import checkpoint_of
from earmark.training.distributed import broadcast_decision
from earmark.training.loop import Epoch, TrainingSetup, create_optimizer, fit
from earmark.training.trackers import TrackedRun, Trackers, flatten, tracking

CHECKPOINT_SECONDS = 20.0
"""`last` is written at most this often, and after the last epoch: a killed run loses at most this much work."""
LOCK_SECONDS = 0.3
"""`earmark status` holds the lock of a run folder for a moment, to see whether somebody else does."""

Log = Callable[[str], None]


class BusyError(EarmarkError):
    """Another process is training this run."""


def train_and_evaluate(
    run: PlannedRun,
    data: RunData,
    images: ImageSet,
    device: torch.device,
    log: Log = print,
    track: Sequence[str] = ("tensorboard",),
) -> bool:
    """Train and evaluate one run; resumes an interrupted one and does nothing for a finished one.

    Under torchrun the first process calls this, and the others `train_as_worker`. `track` names trackers.

    Returns:
        Whether there was something to do.

    Raises:
        BusyError: another process is training this run.
        EarmarkError: the settings do not fit the data, or training diverged.
    """
    with contextlib.ExitStack() as stack:
        if not _claim(run, stack, device):
            return False
        write_description(run, data)
        subsets = select_subsets(run, data, images)
        if run.config.probe.kind != "none":
            frames = window_frames(run.config.train.window_seconds, subsets["train"].n_frames, data.store.front_end)
            record_run(run, data)
            evaluate_probe(run, data, images, subsets, frames, device, log)
            return True
        setup, metadata = _start_or_resume(run, data, images, subsets, device)
        if setup.first_epoch > 1 and not is_last(metadata.history, setup.config):
            log(f"resuming at epoch {setup.first_epoch}/{setup.config.epochs}")
        trackers = stack.enter_context(tracking(track, _tracked(run, data), metadata.history))
        metadata = _train(run, setup, metadata, log, trackers)
        record_run(run, data)
        evaluate_run(run, data, metadata, subsets["test"], device, trackers)
        return True


def _tracked(run: PlannedRun, data: RunData) -> TrackedRun:
    return TrackedRun(run.folder, run.config.name, flatten(to_dict(run.config)), data.class_names)


def train_only(run: PlannedRun, data: RunData, images: ImageSet, device: torch.device, log: Log) -> Path:
    """Train one run whose split is `NOT_REPORTED`; resumes an interrupted one and does nothing for a finished one.

    Returns:
        The selected checkpoint.

    Raises:
        BusyError: another process is training this run.
        EarmarkError: the settings do not fit the data, or training diverged.
    """
    with locked(run.folder):
        setup, metadata = _start_or_resume(run, data, images, select_subsets(run, data, images), device)
        with tracking((), _tracked(run, data), ()) as trackers:
            _train(run, setup, metadata, log, trackers)
    return checkpoint_of(run.folder)


def train_as_worker(run: PlannedRun, data: RunData, images: ImageSet, device: torch.device) -> None:
    """Train along with the first process of torchrun if that trains the run; writes nothing."""
    if broadcast_decision(False, device) and run.config.probe.kind == "none":
        subsets = select_subsets(run, data, images)
        setup, metadata = _start_or_resume(run, data, images, subsets, device)
        for _ in train_epochs(setup, metadata.history):
            pass


def _claim(run: PlannedRun, stack: contextlib.ExitStack, device: torch.device) -> bool:
    """Lock the run until the stack is closed, unless it is finished; the workers of torchrun hear whether it trains."""
    todo = False
    try:
        if not run.finished:
            stack.enter_context(locked(run.folder))
            todo = not run.finished  # another process may have finished it in the meantime
    finally:
        broadcast_decision(todo, device)
    return todo


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process, and clear the failure of an earlier attempt.

    Raises:
        BusyError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=LOCK_SECONDS)
    try:
        lock.acquire(poll_interval=0.02)
    except Timeout:
        raise BusyError(f"{folder}: another process is training there; wait for it or stop it") from None
    try:
        (folder / ERROR_FILE).unlink(missing_ok=True)
        for place in (folder, folder / "gallery"):
            remove_temporary(place)
        mark_holder(folder)
        yield
    finally:
        lock.release()


def write_description(run: PlannedRun, data: RunData) -> None:
    """Write the settings of the run, config.json, and its clips, split.csv and split.json."""
    write_split(run.split, data.clips, run.folder)
    content = {
        "format_version": FORMAT_VERSION,
        "id": run.id,
        "run": to_dict(run.config),
        "class_names": data.class_names,
        "data_fingerprint": run.fingerprint,
        "manifest_digest": manifest_digest(data.clips),
        "earmark": earmark.__version__,
    }
    if run.config.train.keep_steps:
        content["epochs"] = run.train.epochs
    source = source_digest(run.config.model.name)
    if source:
        content["model_source"] = source
    write_json(run.folder / "config.json", content)


def select_subsets(run: PlannedRun, data: RunData, images: ImageSet) -> dict[str, Subset]:
    """The subsets that have clips. Without a test subset, valid is reported, and then it does not select an epoch."""
    split, augmentations = run.split, run.config.augment.waveform
    members = {"train": split.train, "valid": split.valid, "test": split.reported}
    by_id = {clip.clip_id: clip for clip in data.clips}
    return {
        name: select_subset(images, [by_id[i] for i in ids], data.class_names, augmentations if name == "train" else ())
        for name, ids in members.items()
        if ids
    }


def _start_or_resume(
    run: PlannedRun, data: RunData, images: ImageSet, subsets: dict[str, Subset], device: torch.device
) -> tuple[TrainingSetup, CheckpointMetadata]:
    """Network and optimizer, initialized or from the last checkpoint, with the data and settings to train them."""
    config, front_end, last = run.config, data.store.front_end, run.folder / "last.safetensors"
    frames = window_frames(config.train.window_seconds, subsets["train"].n_frames, front_end)
    metadata = CheckpointMetadata(
        config.model,
        data.class_names,
        images.n_mels,
        frames,
        front_end,
        run.id,
        0,
        n_shifts=config.train.n_shifts,
        source=source_digest(config.model.name),
        recordings=recordings_of(run, data),
    )
    torch.manual_seed(config.seed)
    model = create_from_metadata(metadata, weights=config.model.weights)
    model = model.to(device).to(memory_format=torch.channels_last)
    optimizer = create_optimizer(model, config.train, model.pretrained)
    average = create_average(model) if config.train.ema_decay else None
    if last.is_file():
        metadata = restore(last, model, optimizer, average)
        check_own(last, metadata, run)
    setup = TrainingSetup(
        model,
        optimizer,
        train=subsets["train"],
        valid=subsets.get("valid"),
        config=run.train,
        augment=config.augment,
        class_names=metadata.class_names,
        window_frames=metadata.window_frames,
        seed=config.seed,
        first_epoch=metadata.epoch + 1,
        average=average,
    )
    return setup, metadata


def recordings_of(run: PlannedRun, data: RunData) -> tuple[str, ...]:
    """Digests of the files that train a run, trained its initial weights or select its epoch, sorted.

    Empty where they are not known: for ready-made images, and where a checkpoint to start from does not say them.
    """
    base = recordings_behind(run.config.model)
    used = (*run.split.train, *(run.split.valid if run.selected_on != "none" else ()))
    own = data.audio_of(used)
    return tuple(sorted({*base, *own})) if base is not None and own else ()


def _train(
    run: PlannedRun, setup: TrainingSetup, metadata: CheckpointMetadata, log: Log, trackers: Trackers
) -> CheckpointMetadata:
    """Train to the last epoch, with checkpoints on the way; returns the metadata with the whole history."""
    folder, n_epochs, trained = run.folder, setup.config.epochs, setup.model if setup.average else None
    written = time.monotonic()
    if run.selected_on != "none" and best_epoch(metadata.history) == metadata.epoch > 0:  # killed before it was written
        write_checkpoint(folder / "best.safetensors", setup.scored, metadata)
    for epoch, history, last in train_epochs(setup, metadata.history):
        best_so_far = best_epoch(metadata.history)
        metadata = dataclasses.replace(metadata, epoch=epoch.epoch, history=history)
        trackers.log(history[-1])
        write_history(folder / "history.csv", history)
        better = run.selected_on != "none" and best_epoch(history) != best_so_far
        if last:
            write_checkpoint(folder / "last.safetensors", setup.scored, metadata)
        elif better or time.monotonic() - written > CHECKPOINT_SECONDS:
            write_checkpoint(folder / "last.safetensors", setup.scored, metadata, setup.optimizer, trained)
            written = time.monotonic()
        if better:  # after `last`: a resumed run must not have a `best` of a later epoch
            write_checkpoint(folder / "best.safetensors", setup.scored, metadata)
        log(_epoch_line(epoch, n_epochs))  # a Ray worker sends the files with it
        if last and epoch.epoch < n_epochs:
            saved = format_duration(saved_seconds(history, n_epochs))
            log(f"stopped after epoch {epoch.epoch}/{n_epochs}, which saved {saved}")
    return metadata


def write_history(path: Path, history: tuple[dict[str, Any], ...]) -> None:
    """One row per epoch; without a valid subset its columns are empty."""
    columns = [field.name for field in dataclasses.fields(Epoch)]
    cells = [["" if entry[c] is None else f"{entry[c]:.9g}" for c in columns] for entry in history]
    write_csv(path, [columns, *cells])


def train_epochs(
    setup: TrainingSetup, history: tuple[dict[str, Any], ...]
) -> Iterator[tuple[Epoch, tuple[dict[str, Any], ...], bool]]:
    """Train, giving each epoch, the history with it, and whether it is the last; the first process decides that."""
    if is_last(history, setup.config):
        return
    device = next(setup.model.parameters()).device
    for epoch in fit(setup):
        history = (*history, dataclasses.asdict(epoch))
        last = broadcast_decision(is_last(history, setup.config), device)
        yield epoch, history, last
        if last:
            return


def is_last(history: Sequence[dict[str, Any]], config: TrainConfig) -> bool:
    """Whether training ends after these epochs: all are done, or `patience` of them were not better on valid."""
    waited = len(history) - best_epoch(history)
    return len(history) >= config.epochs or 0 < config.patience <= waited


def best_epoch(history: Sequence[dict[str, Any]]) -> int:
    """The epoch with the highest UAR on valid; of equal ones the one with the lowest loss. 0 without epochs."""
    if not history or history[0]["valid_uar"] is None:
        return 0
    return max(history, key=lambda entry: (entry["valid_uar"], -entry["valid_loss"]))["epoch"]


def _epoch_line(epoch: Epoch, n_epochs: int) -> str:
    valid = "" if epoch.valid_uar is None else f"  valid UAR {epoch.valid_uar:.3f}"
    return f"epoch {epoch.epoch}/{n_epochs}  loss {epoch.train_loss:.3f}{valid}  {epoch.seconds:.1f} s"
