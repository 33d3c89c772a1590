"""One config in, one run folder out.

`prepare` brings recordings to clips and a spectrogram store and `load` decodes it, once for all runs that share them;
`plan` makes the split; `execute` trains, scores the test part once and writes the folder. `result.json` is written
last: a run that has it is finished and is not repeated, one that has not goes on from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import nn

import earmark
from earmark.board import Board
from earmark.checkpoint import Header, create_from_header, load_checkpoint, restore, write_checkpoint
from earmark.config import ConfigError, DataConfig, FrontEndConfig, RunConfig, run_id, to_dict
from earmark.data import ImageSet, Part, load_images, select_part
from earmark.datasets import find_data
from earmark.engine import Epoch, create_optimizer, fit, infer, resolve_precision
from earmark.manifest import Clip, class_names, write_manifest
from earmark.metrics import score
from earmark.models import describe, pretrained_names
from earmark.splits import Split, make_split, write_split
from earmark.store import Store, generate, open_store, resolve_front_end

CHECKPOINT_SECONDS = 20.0
"""`last` is written at most this often, and after the last epoch: this much work can be lost."""

Log = Callable[[str], None]


class BusyError(ValueError):
    """Another process is at this run."""


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
class Job:
    """A run that is ready to start: its config, split, identity and place."""

    config: RunConfig
    split: Split
    fingerprint: str
    id: str
    folder: Path

    @property
    def selects(self) -> bool:
        """Whether a valid part that is not reported selects the epoch."""
        return bool(self.split.valid and self.split.test)

    @property
    def finished(self) -> bool:
        """Whether the result is there."""
        return (self.folder / "result.json").is_file()


def plan(config: RunConfig, recordings: Recordings, runs_dir: Path, allow_leakage: bool = False) -> Job:
    """Make and check the split and find the run's folder.

    Raises:
        LeakageError: a group crosses parts and `allow_leakage` is not set.
    """
    split = make_split(recordings.clips, config.split, config.fold, allow_leakage)
    used = {*split.train, *split.valid, *split.test}
    part_of = {i: part for part in ("train", "valid", "test") for i in getattr(split, part)}
    rows = sorted((c.clip_id, c.label, part_of[c.clip_id]) for c in recordings.clips if c.clip_id in used)
    images = recordings.store.fingerprint(sorted(used), ("orig", *config.augment.waveform))
    fingerprint = hashlib.sha256(json.dumps([rows, images]).encode()).hexdigest()[:16]
    identity = run_id(config, fingerprint)
    name = f"{config.variant}-fold{config.fold}-seed{config.seed}-{identity}"
    return Job(config, split, fingerprint, identity, runs_dir / config.name / name)


def execute(job: Job, recordings: Recordings, images: ImageSet, device: torch.device, log: Log = print) -> None:
    """Train and score one run; does nothing when it is finished, goes on when it was interrupted.

    Raises:
        ValueError: the settings do not fit the data, training diverged, or another process is at this run.
    """
    if job.finished:
        return
    job.folder.mkdir(parents=True, exist_ok=True)
    with _locked(job.folder):
        _write_description(job, recordings)
        parts = _select_parts(job, recordings, images)
        header = _train(job, _header(job, recordings, images, parts["train"]), parts, device, log)
        _score_test(job, header, parts["test"], device)


def follow(job: Job, recordings: Recordings, images: ImageSet, device: torch.device) -> None:
    """Train along with the process that executes the run, and write nothing (see `earmark.distributed`)."""
    if job.finished:
        return
    parts = _select_parts(job, recordings, images)
    model, optimizer, header = _start(job, _header(job, recordings, images, parts["train"]), device)
    for _ in _epochs(job, model, optimizer, header, parts):
        pass


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise BusyError(f"run {folder}: another process is training it; wait for it or stop it") from None
    try:
        yield
    finally:
        lock.release()


def _write_description(job: Job, recordings: Recordings) -> None:
    write_split(job.split, recordings.clips, job.folder)
    content = {
        "id": job.id,
        "run": to_dict(job.config),
        "class_names": recordings.class_names,
        "data_fingerprint": job.fingerprint,
        "earmark": earmark.__version__,
    }
    write_json(job.folder / "config.json", content)


def _select_parts(job: Job, recordings: Recordings, images: ImageSet) -> dict[str, Part]:
    """The parts that have clips. Without a test part the valid part is reported, and then it selects nothing."""
    split, waveform = job.split, job.config.augment.waveform
    members = {"train": split.train, "valid": split.valid, "test": split.test}
    if not split.test:
        members["test"] = split.valid
    by_id = {clip.clip_id: clip for clip in recordings.clips}
    return {
        part: select_part(images, [by_id[i] for i in ids], recordings.class_names, waveform if part == "train" else ())
        for part, ids in members.items()
        if ids
    }


def _header(job: Job, recordings: Recordings, images: ImageSet, train: Part) -> Header:
    return Header(
        model=job.config.model,
        class_names=recordings.class_names,
        n_mels=images.n_mels,
        window_frames=window_frames(job.config.train.window_seconds, train, recordings.store.front_end),
        front_end=recordings.store.front_end,
        run_id=job.id,
        epoch=0,
    )


def window_frames(window_seconds: float, train: Part, front_end: FrontEndConfig | None) -> int:
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


def _train(job: Job, header: Header, parts: dict[str, Part], device: torch.device, log: Log) -> Header:
    """Train to the last epoch, from the last checkpoint if there is one; leaves the selected weights on disk."""
    config, folder = job.config, job.folder
    model, optimizer, header = _start(job, header, device)
    if header.epoch:
        log(f"going on after epoch {header.epoch} of {config.train.epochs}")
    board = Board(folder, header.history)
    written = time.monotonic()
    for epoch in _epochs(job, model, optimizer, header, parts):
        best_so_far = best_epoch(header.history)
        history = (*header.history, dataclasses.asdict(epoch))
        header = dataclasses.replace(header, epoch=epoch.epoch, history=history)
        board.write_epoch(history[-1])
        log(_epoch_line(epoch, config.train.epochs))
        if job.selects and best_epoch(history) != best_so_far:
            write_checkpoint(folder / "best.safetensors", model, header)
        if epoch.epoch == config.train.epochs:
            write_checkpoint(folder / "last.safetensors", model, header)
        elif time.monotonic() - written > CHECKPOINT_SECONDS:
            write_checkpoint(folder / "last.safetensors", model, header, optimizer)
            written = time.monotonic()
        write_history(folder / "history.csv", history)
    board.close()
    return header


def _start(job: Job, header: Header, device: torch.device) -> tuple[nn.Module, torch.optim.Optimizer, Header]:
    """Model and optimizer, fresh or as the last checkpoint left them."""
    config, last = job.config, job.folder / "last.safetensors"
    torch.manual_seed(config.seed)
    model = create_from_header(header, weights=config.model.weights)
    model = model.to(device, memory_format=torch.channels_last)
    optimizer = create_optimizer(model, config.train, pretrained_names(model))
    return model, optimizer, restore(last, model, optimizer) if last.is_file() else header


def _epochs(
    job: Job, model: nn.Module, optimizer: torch.optim.Optimizer, header: Header, parts: dict[str, Part]
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


def _score_test(job: Job, header: Header, test: Part, device: torch.device) -> None:
    """Score the test part with the selected weights, once, and write what the run found."""
    start = time.perf_counter()
    model, selected = load_checkpoint(job.folder)
    logits = infer(model.to(device, memory_format=torch.channels_last), test, header.window_frames)
    probs = logits.double().softmax(dim=1).numpy()
    scores = score(probs, test.targets, header.class_names)
    score_seconds = time.perf_counter() - start

    write_predictions(job.folder / "predictions.csv", test.clips, probs, header.class_names)
    with contextlib.closing(Board(job.folder, header.history)) as board:
        board.write_result(scores, header.class_names, to_dict(job.config))
    train_seconds = sum(entry["seconds"] for entry in header.history)
    write_json(job.folder / "timing.json", _timing(job, train_seconds, score_seconds, device))
    write_json(job.folder / "result.json", _result(job, model, selected, header, scores, len(test)))


def _result(
    job: Job, model: nn.Module, selected: Header, header: Header, scores: dict[str, Any], n_clips: int
) -> dict[str, Any]:
    config, split = job.config, job.split
    n_parameters, multiply_adds = describe(model, header.n_mels, header.window_frames)
    return {
        "id": job.id,
        "name": config.name,
        "variant": config.variant,
        "fold": config.fold,
        "seed": config.seed,
        "reported_part": "test" if split.test else "valid",
        "n_clips": n_clips,
        "selected_on": "valid" if job.selects else "none",
        "kept_epoch": selected.epoch,
        "epochs": config.train.epochs,
        "split": {
            "kind": split.kind,
            "waiver": split.waiver,
            "waived_groups": list(split.waived_groups),
            "leaks": list(split.leaks),
        },
        **scores,
        "n_parameters": n_parameters,
        "multiply_adds": multiply_adds,
        "window_frames": header.window_frames,
    }


def _timing(job: Job, train_seconds: float, score_seconds: float, device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "train_seconds": round(train_seconds, 3),
        "score_seconds": round(score_seconds, 3),
        "device": f"{device} {name}".strip(),
        "precision": resolve_precision(job.config.train.precision, device),
        "threads": torch.get_num_threads(),
        "versions": {
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def write_predictions(path: Path, clips: tuple[Clip, ...], probs_NK: np.ndarray, names: tuple[str, ...]) -> None:
    """One row per clip: what it is, what the model says, and every probability."""
    rows = [
        [clip.clip_id, clip.group, clip.label, names[int(probs.argmax())], *(f"{p:.9g}" for p in probs)]
        for clip, probs in zip(clips, probs_NK, strict=True)
    ]
    header = ["clip_id", "group", "label", "prediction", *(f"prob:{name}" for name in names)]
    _write_csv(path, [header, *rows])


def write_history(path: Path, history: tuple[dict[str, Any], ...]) -> None:
    """One row per epoch; an absent valid part leaves its columns empty."""
    columns = [field.name for field in dataclasses.fields(Epoch)]
    cells = [["" if entry[c] is None else f"{entry[c]:.9g}" for c in columns] for entry in history]
    _write_csv(path, [columns, *cells])


def _write_csv(path: Path, rows: list[list[str]]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    temporary.replace(path)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)
