"""What a run found: its test part scored once with the selected weights, and the files that say so."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from earmark.analysis.metrics import score
from earmark.config.suite import to_dict
from earmark.datasets.manifest import Clip
from earmark.models.complexity import count_parameters_and_macs
from earmark.models.grad_cam import grad_cam, write_overlay
from earmark.runs.plan import PlannedRun
from earmark.runtime.files import write_csv, write_json
from earmark.training.batches import Subset
from earmark.training.checkpoint import CheckpointMetadata, load_checkpoint
from earmark.training.loop import Epoch, infer, resolve_precision
from earmark.training.tensorboard import TensorBoardLogger

N_OVERLAYS = 12
"""Mistakes of a run for which a Grad-CAM overlay is written."""


def score_test(job: PlannedRun, header: CheckpointMetadata, test: Subset, device: torch.device) -> None:
    """Score the test part with the selected weights, once, and write what the run found."""
    start = time.perf_counter()
    model, selected = load_checkpoint(job.folder, allow_unfinished=True)
    logits = infer(model.to(device, memory_format=torch.channels_last), test, header.window_frames)
    probs = logits.double().softmax(dim=1).numpy()
    scores = score(probs, test.targets, header.class_names)
    score_seconds = time.perf_counter() - start

    write_predictions(job.folder / "predictions.csv", test.clips, probs, header.class_names)
    _write_gallery(job.folder / "gallery", model, test, probs)
    with contextlib.closing(TensorBoardLogger(job.folder, header.history)) as board:
        board.write_result(scores, header.class_names, to_dict(job.config))
    train_seconds = sum(entry["seconds"] for entry in header.history)
    write_json(job.folder / "timing.json", _timing(job, train_seconds, score_seconds, device))
    write_json(job.folder / "result.json", _result(job, model, selected, header, scores, len(test)))


def _write_gallery(folder: Path, model: nn.Module, test: Subset, probs_NK: np.ndarray) -> None:
    """Grad-CAM overlays of the most confident mistakes, for the report."""
    wrong = np.flatnonzero(probs_NK.argmax(axis=1) != test.targets)
    for i in wrong[np.argsort(-probs_NK[wrong].max(axis=1), kind="stable")][:N_OVERLAYS]:
        start = np.zeros(1, dtype=np.int64)
        image = test.images.windows(test.choices[i, :1], start, int(test.n_frames[i]))[0, 0].cpu().numpy()
        write_overlay(folder / f"{test.clips[i].clip_id}.png", grad_cam(model, image, int(probs_NK[i].argmax())))


def _result(
    job: PlannedRun,
    model: nn.Module,
    selected: CheckpointMetadata,
    header: CheckpointMetadata,
    scores: dict[str, Any],
    n_clips: int,
) -> dict[str, Any]:
    config, split = job.config, job.split
    n_parameters, macs = count_parameters_and_macs(model, header.n_mels, header.window_frames)
    return {
        "id": job.id,
        "name": config.name,
        "variant": config.variant,
        "fold": config.fold,
        "seed": config.seed,
        "reported_part": "test" if split.test else "valid",
        "n_clips": n_clips,
        "selected_on": job.selected_on,
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
        "multiply_adds": macs,
        "window_frames": header.window_frames,
    }


def _timing(job: PlannedRun, train_seconds: float, score_seconds: float, device: torch.device) -> dict[str, Any]:
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
    write_csv(path, [header, *rows])


def write_history(path: Path, history: tuple[dict[str, Any], ...]) -> None:
    """One row per epoch; an absent valid part leaves its columns empty."""
    columns = [field.name for field in dataclasses.fields(Epoch)]
    cells = [["" if entry[c] is None else f"{entry[c]:.9g}" for c in columns] for entry in history]
    write_csv(path, [columns, *cells])
