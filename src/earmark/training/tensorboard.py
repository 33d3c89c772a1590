"""TensorBoard events of a run: scalars per epoch, the confusion matrix, and hyperparameters with test metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch.utils.tensorboard import SummaryWriter

from earmark.training.trackers import TrackedRun

CELL_PIXELS = 30
"""Side of a cell of the confusion matrix."""
MAX_CLASSES = 200
"""With more, the confusion matrix is left out: the memory of its image grows with the square of their number."""
CELL_COLOR = (20, 80, 140)
"""Color of a cell that contains its whole row."""
TITLE_COLOR = (110, 110, 110)
"""Color of the axis titles."""


class TensorBoardTracker:
    """Writes the event file of a run; when the run resumes, the file is written again from its history."""

    def start(self, run: TrackedRun) -> None:
        """Replace the event file of an earlier attempt."""
        for old in run.folder.glob("events.out.*"):
            old.unlink()
        self._run, self._writer = run, SummaryWriter(str(run.folder))

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Write the scalars of one epoch."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """Write the confusion matrix as an image, and the settings with the test metrics as hparams."""
        if result is not None:
            if len(self._run.class_names) <= MAX_CLASSES:
                image = confusion_image(np.array(result["confusion"]), self._run.class_names)
                self._writer.add_image("test/confusion", np.asarray(image), dataformats="HWC")
            metrics = {f"test/{name}": value for name, value in result["metrics"].items() if value is not None}
            self._writer.add_hparams(dict(self._run.settings), metrics, run_name=".")
        self._writer.close()


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
