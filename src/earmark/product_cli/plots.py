"""The plots of a finished training: curves.png and confusion_matrix.png, drawn with Pillow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from earmark.analysis.history import read_history
from earmark.report.axes import Axis, linear_axis

PANEL = (460, 320)
"""Width and height in pixels."""
MARGINS = (64, 36, 20, 48)
"""Left, top, right and bottom of a panel."""
SUPERSAMPLING = 3
"""Everything is drawn larger by this factor and scaled down, which smooths the lines."""
COLORS = ("#1f5fa8", "#c8541b", "#3c7d3c")
GRAY, GRID = "#555555", "#dddddd"

Curves = Mapping[str, np.ndarray]
"""Values over epochs by the name of the curve."""


def write_plots(folder: Path, class_names: Sequence[str]) -> None:
    """Plot the learning curves and the confusion matrix of a finished run in its folder.

    Raises:
        RunError: its history cannot be read.
    """
    from earmark.training.tensorboard import confusion_image

    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    confusion_image(np.array(result["confusion"]), class_names).save(folder / "confusion_matrix.png")
    history = read_history(folder)
    losses = {"training": history["train_loss"], "validation": history["valid_loss"]}
    rates = {"accuracy": 100 * history["valid_accuracy"], "UAR": 100 * history["valid_uar"]}
    curves_image({"Loss in nats": losses, "Validation scores in %": rates}).save(folder / "curves.png")


def curves_image(panels: Mapping[str, Curves]) -> Image.Image:
    """Panels next to each other, each with a title, curves over epochs and their names."""
    width, height = PANEL
    image = Image.new("RGB", (SUPERSAMPLING * width * len(panels), SUPERSAMPLING * height), "white")
    draw = ImageDraw.Draw(image)
    for k, (title, curves) in enumerate(panels.items()):
        _draw_panel(draw, k * width, title, curves)
    return image.resize((width * len(panels), height), Image.Resampling.LANCZOS)


def _draw_panel(draw: ImageDraw.ImageDraw, left: float, title: str, curves: Curves) -> None:
    width, height = PANEL
    first, top, right, bottom = MARGINS
    n_epochs = max(len(values) for values in curves.values())
    x = linear_axis("epoch", (1, max(n_epochs, 2)), left + first, left + width - right, lambda v: f"{v:g}", whole=True)
    y = linear_axis(title, np.concatenate([(0, 1), *curves.values()]), height - bottom, top, lambda v: f"{v:.4g}")
    _draw_frame(draw, x, y)
    name_end = x.end
    for k, (name, values) in enumerate(curves.items()):
        points = [(x(epoch), y(value)) for epoch, value in enumerate(values, start=1)]
        draw.line(
            [(SUPERSAMPLING * a, SUPERSAMPLING * b) for a, b in points],
            COLORS[k],
            width=2 * SUPERSAMPLING,
            joint="curve",
        )
        last_x, last_y = (SUPERSAMPLING * at for at in points[-1])
        draw.ellipse((last_x - 9, last_y - 9, last_x + 9, last_y + 9), COLORS[k])
        _text(draw, (name_end, top - 26), name, "ra", COLORS[k])
        name_end -= ImageFont.load_default(13).getlength(name) + 18


def _draw_frame(draw: ImageDraw.ImageDraw, x: Axis, y: Axis) -> None:
    for value in y.ticks:
        draw.line(
            [(SUPERSAMPLING * x.start, SUPERSAMPLING * y(value)), (SUPERSAMPLING * x.end, SUPERSAMPLING * y(value))],
            GRID,
            width=SUPERSAMPLING,
        )
        _text(draw, (x.start - 8, y(value)), y.text(value), "rm")
    for value in x.ticks:
        _text(draw, (x(value), y.start + 8), x.text(value), "ma")
    _text(draw, ((x.start + x.end) / 2, y.start + 26), x.title, "ma")
    _text(draw, (x.start, y.end - 26), y.title, "la", "black")


def _text(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, anchor: str, color: str = GRAY) -> None:
    place = (SUPERSAMPLING * at[0], SUPERSAMPLING * at[1])
    draw.text(place, text, fill=color, font=ImageFont.load_default(13 * SUPERSAMPLING), anchor=anchor)
