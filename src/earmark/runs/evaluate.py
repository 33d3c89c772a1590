"""Evaluate a trained run: score its test subset once with the selected weights, and write the result."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from earmark.analysis.metrics import score
from earmark.analysis.predictions import write_predictions
from earmark.analysis.records import FORMAT_VERSION
from earmark.features.palette import palette
from earmark.models.complexity import count_parameters_and_macs
from earmark.models.grad_cam import grad_cam, write_overlay
from earmark.models.weights import weights_digest
from earmark.runs.environment import environment
from earmark.runs.initial_weights import is_start_known
from earmark.runs.plan import PlannedRun, RunData
from earmark.runtime.files import digest, file_digest, write_json
from earmark.training.batches import Subset
from earmark.training.checkpoint import CheckpointMetadata, digest_weights, load_checkpoint
from earmark.training.checkpoint_files import CheckpointError
from earmark.training.devices import resolve_precision
from earmark.training.loop import infer
from earmark.training.trackers import Trackers

N_OVERLAYS = 12
"""A Grad-CAM overlay is written for this many mistakes of a run."""


def evaluate_run(
    run: PlannedRun,
    data: RunData,
    metadata: CheckpointMetadata,
    test: Subset,
    device: torch.device,
    trackers: Trackers,
) -> None:
    """Score the test subset with the selected weights, once, and write predictions and result.

    Args:
        run: its folder holds the checkpoints.
        data: of the run.
        metadata: that of the last epoch, with the whole history.
        test: the reported clips.
        device: where to compute.
        trackers: those of the run; they get the scores.
    """
    start = time.perf_counter()
    model, selected = load_checkpoint(run.folder, allow_unfinished=True)
    check_own(run.folder, selected, run)
    model = model.to(device).to(memory_format=torch.channels_last)
    logits = infer(model, test, metadata.window_frames, n_shifts=metadata.n_shifts)
    probs = logits.double().softmax(dim=1).numpy()
    scores = score(probs, test.targets, metadata.class_names)
    score_seconds = time.perf_counter() - start

    write_predictions(run.folder / "predictions.csv", test.clips, metadata.class_names, probs.argmax(axis=1), probs)
    if not run.inner:
        write_gallery(run.folder / "gallery", model, test, probs, metadata.window_frames)
    trackers.finish(scores)
    train_seconds = sum(entry["seconds"] for entry in metadata.history)
    timing = describe_timing(run, train_seconds, score_seconds, device)
    epochs = describe_epochs(run, metadata, selected)
    if "stopped_epoch" in epochs:
        timing["saved_seconds"] = round(saved_seconds(metadata.history, run.train.epochs), 3)
    write_json(run.folder / "timing.json", timing)
    n_parameters, macs = count_parameters_and_macs(model, metadata.n_mels, metadata.window_frames)
    digests = describe_digests(run, data) | {"weights": digest_weights(model)}
    network = {"n_parameters": n_parameters, "macs": macs, "window_frames": metadata.window_frames}
    extra = epochs | scores | network | {"digests": digests}
    write_json(run.folder / "result.json", describe_result(run, len(test)) | extra)


def write_gallery(folder: Path, model: nn.Module, test: Subset, probs_NK: np.ndarray, window_frames: int) -> None:
    """Spectrograms of the most confident mistakes with their Grad-CAM, for the report; short ones are padded."""
    wrong = np.flatnonzero(probs_NK.argmax(axis=1) != test.targets)
    for i in wrong[np.argsort(-probs_NK[wrong].max(axis=1), kind="stable")][:N_OVERLAYS]:
        start = np.zeros(1, dtype=np.int64)
        n_frames = int(test.n_frames[i])
        image = test.images.windows(test.choices[i, :1], start, max(n_frames, window_frames))[0, 0].cpu().numpy()
        cam = grad_cam(model, image, int(probs_NK[i].argmax()))[:, :n_frames]
        write_overlay(folder / f"{test.clips[i].clip_id}.png", cam, palette()[image[:, :n_frames]])


def check_own(path: Path, metadata: CheckpointMetadata, run: PlannedRun) -> None:
    """Raise `CheckpointError` for a checkpoint of another run, which may have been trained on these test clips."""
    if metadata.run_id != run.id:
        raise CheckpointError(
            f"checkpoint {path}: is of run {metadata.run_id}, not of {run.id}; remove it to train again"
        )


def describe_digests(run: PlannedRun, data: RunData) -> dict[str, str]:
    """Digests of what a run was made from, of the recordings that it reports, and of its predictions.csv."""
    audio = data.audio_of(run.split.reported)
    return {
        "data": run.fingerprint,
        "test_audio": digest(json.dumps(audio)) if audio else "",
        "start_weights": weights_digest(run.config.model.weights),
        "predictions": file_digest(run.folder / "predictions.csv"),
    }


def describe_result(run: PlannedRun, n_clips: int) -> dict[str, Any]:
    """What result.json says of the run besides epochs, scores and network."""
    config, split = run.config, run.split
    return {
        "format_version": FORMAT_VERSION,
        "id": run.id,
        "name": config.name,
        "variant": config.variant,
        "fold": config.fold,
        "seed": config.seed,
        "reported_subset": split.reported_subset,
        "n_clips": n_clips,
        "selected_on": run.selected_on,
        "split": split.description(),
        **({} if is_start_known(config.model) else {"unknown_start": True}),
    }


def describe_epochs(run: PlannedRun, last: CheckpointMetadata, selected: CheckpointMetadata) -> dict[str, int]:
    """What result.json says of the epochs: which is kept, of how many, and where training stopped early."""
    epochs = {"kept_epoch": selected.epoch, "epochs": run.train.epochs}
    return epochs | ({"stopped_epoch": last.epoch} if last.epoch < run.train.epochs else {})


def saved_seconds(history: Sequence[dict[str, Any]], n_epochs: int) -> float:
    """What the epochs that early stopping left out would have taken, by the mean of the others."""
    return (n_epochs - len(history)) * sum(entry["seconds"] for entry in history) / len(history)


def describe_timing(
    run: PlannedRun, train_seconds: float, score_seconds: float, device: torch.device
) -> dict[str, Any]:
    """What timing.json says of the run: seconds, precision and what it was computed with."""
    return {
        "train_seconds": round(train_seconds, 3),
        "score_seconds": round(score_seconds, 3),
        "precision": resolve_precision(run.config.train.precision, device),
        **environment(device),
    }
