"""Export to 8 bits with the accuracy before and after, so that nobody ships a loss without knowing it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from earmark.audio.io import audio_files
from earmark.deploy.export import Exported, build_graphs, checked
from earmark.deploy.info import DeployError, ExpectedScore
from earmark.deploy.torch_engine import load_networks
from earmark.deploy.verify import check_agreement
from earmark.features.log_mel import load_image
from earmark.features.windows import cut_windows

RANGE_CLIPS = 100
"""The most clips on which value ranges are measured, spread evenly over the folder."""
LARGEST_LOSS = 0.01
"""Of accuracy, without `force`."""


def export_int8(model: Path, clips: Path) -> tuple[Exported, ExpectedScore, ExpectedScore]:
    """The 8-bit graphs, and the accuracy of float32 and int8 on all clips.

    Args:
        clips: a folder with one subfolder of recordings per class; a small part of it sets the value ranges.

    Raises:
        DeployError: no clip lies in a folder named like a class.
    """
    loaded = load_networks(model)
    info = loaded.info
    files = [file for file in audio_files(clips) if file.parent.name in info.class_names]
    if not files:
        raise DeployError(
            f"clips {clips}: no recording in a subfolder named like a class, {', '.join(info.class_names)}"
        )
    images = [cut_windows(load_image(file, info.front_end), info.window_frames) for file in files]
    chosen = images[:: -(-len(images) // RANGE_CLIPS)]
    plain = build_graphs(loaded)
    check_agreement(plain, loaded)
    quantized = build_graphs(loaded, "int8", np.concatenate(chosen))
    targets = [info.class_names.index(file.parent.name) for file in files]
    scores = [_accuracy(graphs, images, targets) for graphs in (plain, quantized)]
    before, after = (
        ExpectedScore("accuracy", value, len(files), source=f"the clips of {clips.name}, {form}")
        for value, form in zip(scores, ("float32", "int8"), strict=True)
    )
    return replace(quantized, int8_score=after), before, after


def refuse_loss(before: ExpectedScore, after: ExpectedScore, force: bool) -> None:
    """Raise `DeployError` if more than a point of accuracy is lost, unless forced."""
    loss = before.value - after.value
    if loss > LARGEST_LOSS + 1e-9 and not force:  # one clip in a hundred is exactly a point
        raise DeployError(f"precision = 'int8': loses {100 * loss:.1f} points of accuracy; give float16, or --force")


def _accuracy(exported: Exported, images: list[np.ndarray], targets: list[int]) -> float:
    from earmark.deploy.onnx_engine import import_onnxruntime

    content = checked(exported.network_alone())
    session = import_onnxruntime().InferenceSession(content, providers=["CPUExecutionProvider"])
    right = 0
    for windows, target in zip(images, targets, strict=True):
        (logits,) = session.run(["logits"], {"image": windows})
        right += int(exported.info.probabilities(logits.mean(axis=0, keepdims=True)).argmax()) == target
    return right / len(targets)
