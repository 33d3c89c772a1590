"""One run: train, keep the selected weights, score once.

`result.json` is written last: a run that has it is finished and is not repeated, one that has not goes on from its last
checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import nn

import earmark
from earmark.config.sections import ConfigError, FrontEndConfig
from earmark.config.suite import to_dict
from earmark.models.create import pretrained_names
from earmark.runs.evaluate import score_test, write_history
from earmark.runs.plan import PlannedRun, Recordings
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import write_json
from earmark.splits.io import write_split
from earmark.training.batches import ImageSet, Subset, select_subset
from earmark.training.checkpoint import CheckpointMetadata, create_from_metadata, restore, write_checkpoint
from earmark.training.loop import Epoch, create_optimizer, fit
from earmark.training.tensorboard import TensorBoardLogger

CHECKPOINT_SECONDS = 20.0
"""`last` is written at most this often, and after the last epoch: this much work can be lost."""

Log = Callable[[str], None]


class BusyError(EarmarkError):
    """Another process is at this run."""


def execute(job: PlannedRun, recordings: Recordings, images: ImageSet, device: torch.device, log: Log = print) -> None:
    """Train and score one run; does nothing when it is finished, goes on when it was interrupted.

    Raises:
        ValueError: the settings do not fit the data, training diverged, or another process is at this run.
    """
    if job.finished:
        return
    job.folder.mkdir(parents=True, exist_ok=True)
    with locked(job.folder):
        if job.finished:  # by another process in the meantime
            return
        (job.folder / "error.txt").unlink(missing_ok=True)
        write_description(job, recordings)
        parts = _select_subsets(job, recordings, images)
        header = _train(job, _header(job, recordings, images, parts["train"]), parts, device, log)
        score_test(job, header, parts["test"], device)


def follow(job: PlannedRun, recordings: Recordings, images: ImageSet, device: torch.device) -> None:
    """Train along with the process that executes the run, and write nothing (see `earmark.training.distributed`)."""
    if job.finished:
        return
    parts = _select_subsets(job, recordings, images)
    model, optimizer, header = _start(job, _header(job, recordings, images, parts["train"]), device)
    for _ in _epochs(job, model, optimizer, header, parts):
        pass


def record_failure(folder: Path, error: BaseException) -> str:
    """Keep the traceback in the run folder; returns the reason in one line."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "error.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process.

    Raises:
        BusyError: another process holds it.
    """
    lock = FileLock(folder / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise BusyError(f"run {folder}: another process is training it; wait for it or stop it") from None
    try:
        yield
    finally:
        lock.release()


def write_description(job: PlannedRun, recordings: Recordings) -> None:
    """Write what the run is, config.json, and on which clips, split.csv and split.json."""
    write_split(job.split, recordings.clips, job.folder)
    content = {
        "id": job.id,
        "run": to_dict(job.config),
        "class_names": recordings.class_names,
        "data_fingerprint": job.fingerprint,
        "earmark": earmark.__version__,
    }
    write_json(job.folder / "config.json", content)


def _select_subsets(job: PlannedRun, recordings: Recordings, images: ImageSet) -> dict[str, Subset]:
    """The parts that have clips. Without a test part the valid part is reported, and then it selects nothing."""
    split, waveform = job.split, job.config.augment.waveform
    members = {"train": split.train, "valid": split.valid, "test": split.test}
    if not split.test:
        members["test"] = split.valid
    by_id = {clip.clip_id: clip for clip in recordings.clips}
    return {
        part: select_subset(
            images, [by_id[i] for i in ids], recordings.class_names, waveform if part == "train" else ()
        )
        for part, ids in members.items()
        if ids
    }


def _header(job: PlannedRun, recordings: Recordings, images: ImageSet, train: Subset) -> CheckpointMetadata:
    return CheckpointMetadata(
        model=job.config.model,
        class_names=recordings.class_names,
        n_mels=images.n_mels,
        window_frames=window_frames(job.config.train.window_seconds, train, recordings.store.front_end),
        front_end=recordings.store.front_end,
        run_id=job.id,
        epoch=0,
    )


def window_frames(window_seconds: float, train: Subset, front_end: FrontEndConfig | None) -> int:
    """Length of a training window in frames: as given in seconds, else the median length of the training clips.

    Raises:
        ConfigError: seconds are given for images of which the hop is not known.
    """
    if window_seconds == 0:
        return int(np.median(train.n_frames))
    if front_end is None:
        raise ConfigError(
            f"train.window_seconds = {window_seconds}: the images do not say how many frames are a second; give 0"
        )
    return max(round(window_seconds * front_end.sample_rate / front_end.hop_length), 1)


def _train(
    job: PlannedRun, header: CheckpointMetadata, parts: dict[str, Subset], device: torch.device, log: Log
) -> CheckpointMetadata:
    """Train to the last epoch, from the last checkpoint if there is one; leaves the selected weights on disk."""
    config, folder = job.config, job.folder
    model, optimizer, header = _start(job, header, device)
    if header.epoch:
        log(f"going on after epoch {header.epoch} of {config.train.epochs}")
    board = TensorBoardLogger(folder, header.history)
    written = time.monotonic()
    for epoch in _epochs(job, model, optimizer, header, parts):
        best_so_far = best_epoch(header.history)
        history = (*header.history, dataclasses.asdict(epoch))
        header = dataclasses.replace(header, epoch=epoch.epoch, history=history)
        board.write_epoch(history[-1])
        log(_epoch_line(epoch, config.train.epochs))
        write_history(folder / "history.csv", history)
        better = job.selected_on != "none" and best_epoch(history) != best_so_far
        if better:  # and `last` with it: a run that goes on never finds the best of an epoch yet to come
            write_checkpoint(folder / "best.safetensors", model, header)
        if epoch.epoch == config.train.epochs:
            write_checkpoint(folder / "last.safetensors", model, header)
        elif better or time.monotonic() - written > CHECKPOINT_SECONDS:
            write_checkpoint(folder / "last.safetensors", model, header, optimizer)
            written = time.monotonic()
    board.close()
    return header


def _start(
    job: PlannedRun, header: CheckpointMetadata, device: torch.device
) -> tuple[nn.Module, torch.optim.Optimizer, CheckpointMetadata]:
    """Model and optimizer, fresh or as the last checkpoint left them."""
    config, last = job.config, job.folder / "last.safetensors"
    torch.manual_seed(config.seed)
    model = create_from_metadata(header, weights=config.model.weights)
    model = model.to(device, memory_format=torch.channels_last)
    optimizer = create_optimizer(model, config.train, pretrained_names(model))
    return model, optimizer, restore(last, model, optimizer) if last.is_file() else header


def _epochs(
    job: PlannedRun,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    header: CheckpointMetadata,
    parts: dict[str, Subset],
) -> Iterator[Epoch]:
    return fit(
        model,
        optimizer,
        parts["train"],
        parts.get("valid"),
        job.config.train,
        job.config.augment,
        class_names=header.class_names,
        window_frames=header.window_frames,
        seed=job.config.seed,
        first_epoch=header.epoch + 1,
    )


def best_epoch(history: tuple[dict[str, Any], ...]) -> int:
    """The epoch with the highest UAR on valid; of equal ones the one with the lowest loss. 0 without epochs."""
    if not history or history[0]["valid_uar"] is None:
        return 0
    return max(history, key=lambda entry: (entry["valid_uar"], -entry["valid_loss"]))["epoch"]


def _epoch_line(epoch: Epoch, n_epochs: int) -> str:
    valid = "" if epoch.valid_uar is None else f"  valid UAR {epoch.valid_uar:.3f}"
    return f"epoch {epoch.epoch}/{n_epochs}  loss {epoch.train_loss:.3f}{valid}  {epoch.seconds:.1f} s"
