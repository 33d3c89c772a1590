"""TensorBoard events of a run: scalars per epoch, the confusion matrix, and hyperparameters with test metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch.utils.tensorboard import SummaryWriter

CELL_PIXELS = 30
"""Side of a cell of the confusion matrix."""
CELL_COLOR = (20, 80, 140)
"""Color of a cell that contains its whole row."""
TITLE_COLOR = (110, 110, 110)
"""Color of the axis titles."""


class TensorBoardLogger:
    """Writes the event file of a run; when the run resumes, the file is written again from its history."""

    def __init__(self, folder: Path, history: Iterable[Mapping[str, Any]] = ()) -> None:
        for old in folder.glob("events.out.*"):
            old.unlink()
        self._writer = SummaryWriter(str(folder))
        for entry in history:
            self.write_epoch(entry)

    def write_epoch(self, entry: Mapping[str, Any]) -> None:
        """Write the scalars of one epoch, except for those that are None."""
        for name, value in entry.items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(name.replace("_", "/", 1), value, entry["epoch"])

    def write_result(self, scores: Mapping[str, Any], class_names: Sequence[str], settings: Mapping[str, Any]) -> None:
        """Write the confusion matrix as an image, and the settings with the test metrics as hparams."""
        image = confusion_image(np.array(scores["confusion"]), class_names)
        self._writer.add_image("test/confusion", np.asarray(image), dataformats="HWC")
        metrics = {f"test/{name}": value for name, value in scores["metrics"].items() if value is not None}
        self._writer.add_hparams(flatten(settings), metrics, run_name=".")

    def close(self) -> None:
        """Flush the events to disk."""
        self._writer.close()


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `section.key`; lists and tables become text."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, int | float | str | bool) else str(value)
    return flat


def confusion_image(confusion_KK: np.ndarray, class_names: Sequence[str]) -> Image.Image:
    """An image of the confusion matrix with counts, shaded by row: rows are true labels, columns predicted ones."""
    fractions = confusion_KK / np.maximum(confusion_KK.sum(axis=1, keepdims=True), 1)
    font = ImageFont.load_default(13)
    margin = 40 + round(max(font.getlength(name) for name in class_names))
    side = margin + CELL_PIXELS * len(class_names) + 8
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image)
    draw.text((margin, 6), "predicted label", fill=TITLE_COLOR, font=font)
    for k, name in enumerate(class_names):
        at = margin + k * CELL_PIXELS
        draw.text((margin - 8, at + CELL_PIXELS // 2), name, fill="black", font=font, anchor="rm")
        across = Image.new("RGB", (margin - 30, CELL_PIXELS), "white")
        ImageDraw.Draw(across).text((0, CELL_PIXELS // 2), name, fill="black", font=font, anchor="lm")
        image.paste(across.rotate(90, expand=True), (at, 24))
        for j, count in enumerate(confusion_KK[k]):
            _draw_cell(draw, (margin + j * CELL_PIXELS, at), int(count), float(fractions[k, j]), font)
    down = Image.new("RGB", (90, 18), "white")
    ImageDraw.Draw(down).text((0, 9), "true label", fill=TITLE_COLOR, font=font, anchor="lm")
    image.paste(down.rotate(90, expand=True), (4, margin))
    return image


def _draw_cell(draw: ImageDraw.ImageDraw, at: tuple[int, int], count: int, fraction: float, font: Any) -> None:
    shade = tuple(round(255 + (channel - 255) * fraction) for channel in CELL_COLOR)
    draw.rectangle((*at, at[0] + CELL_PIXELS - 2, at[1] + CELL_PIXELS - 2), fill=shade)
    if count:
        middle = (at[0] + CELL_PIXELS // 2 - 1, at[1] + CELL_PIXELS // 2 - 1)
        draw.text(middle, str(count), fill="white" if fraction > 0.5 else "black", font=font, anchor="mm")
