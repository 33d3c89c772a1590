"""What TensorBoard shows of a run: scalars per epoch, the confusion matrix, the settings beside the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch.utils.tensorboard import SummaryWriter

CELL = 16
"""Side of a cell of the confusion matrix in pixels."""


class Board:
    """The event file of a run, written anew from its history when the run goes on."""

    def __init__(self, folder: Path, history: Iterable[Mapping[str, Any]] = ()) -> None:
        for old in folder.glob("events.out.*"):
            old.unlink()
        self._writer = SummaryWriter(str(folder))
        for entry in history:
            self.write_epoch(entry)

    def write_epoch(self, entry: Mapping[str, Any]) -> None:
        """Scalars of one epoch; what it has no value for is left out."""
        for name, value in entry.items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(name.replace("_", "/", 1), value, entry["epoch"])

    def write_result(self, scores: Mapping[str, Any], class_names: Sequence[str], settings: Mapping[str, Any]) -> None:
        """The confusion matrix as a picture, and the settings with the metrics of the test part (hparams)."""
        image = confusion_image(np.array(scores["confusion"]), class_names)
        self._writer.add_image("test/confusion", np.asarray(image), dataformats="HWC")
        metrics = {f"test/{name}": value for name, value in scores["metrics"].items() if value is not None}
        self._writer.add_hparams(flatten(settings), metrics, run_name=".")

    def close(self) -> None:
        """Flush the events to disk."""
        self._writer.close()


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `section.key`, with lists and tables as text."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, int | float | str | bool) else str(value)
    return flat


def confusion_image(confusion_KK: np.ndarray, class_names: Sequence[str]) -> Image.Image:
    """The confusion matrix, each row as shares of its class: true label down, predicted label across."""
    shares = confusion_KK / np.maximum(confusion_KK.sum(axis=1, keepdims=True), 1)
    dark = np.rint(255 * (1 - shares)).astype(np.uint8)
    matrix = Image.fromarray(np.stack([dark, dark, np.full_like(dark, 255)], axis=2))
    matrix = matrix.resize((CELL * len(class_names),) * 2, Image.Resampling.NEAREST)
    margin = 8 + round(max(ImageDraw.Draw(matrix).textlength(name) for name in class_names))
    side = matrix.width + margin
    image = Image.new("RGB", (side, side), "white")
    for k, name in enumerate(class_names):
        strip = Image.new("RGB", (margin, CELL), "white")
        ImageDraw.Draw(strip).text((margin - 4, CELL // 2), name, fill="black", anchor="rm")
        image.paste(strip, (0, margin + k * CELL))
        image.paste(strip.rotate(-90, expand=True), (margin + k * CELL, 0))
    image.paste(matrix, (margin, margin))
    return image
