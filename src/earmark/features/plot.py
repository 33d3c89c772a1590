"""A picture of a clip as the network gets it: waveform and log-mel image, with its augmentations beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from earmark.audio.augment import ORIGINAL, Definition, definition_of
from earmark.audio.io import audio_info
from earmark.config.sections import FrontEndConfig
from earmark.features.log_mel import ClipImage, bin_of, clip_images
from earmark.features.palette import palette
from earmark.runtime.errors import EarmarkError

MAX_SECONDS = 60.0
"""Only the beginning of a longer recording is decoded and shown."""
PANEL_WIDTH, WAVE_HEIGHT, IMAGE_HEIGHT = 640, 180, 512
"""Of the longest clip's panels, in pixels; shorter ones are narrower, so that a second is as wide everywhere."""
LEFT, TOP, GAP, RIGHT, BOTTOM = 110, 60, 30, 130, 70
"""Room around the panels for axes and titles, in pixels."""
INK, PAPER, BLUE = (40, 40, 40), (255, 255, 255), (40, 90, 160)
HERTZ_TICKS = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000)
STEPS_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)
MAX_TICKS = 6
"""On the time axis of the longest clip."""
LINE_HEIGHT = 24
"""Labels nearer than this, in pixels, would overlap."""


def show(
    path: str | Path,
    output: str | Path,
    config: FrontEndConfig = FrontEndConfig(),
    augmentations: Sequence[str] = (),
    definitions: Mapping[str, Definition] | None = None,
    max_seconds: float = MAX_SECONDS,
) -> Path:
    """Write a PNG with waveform and log-mel image of a recording, and of its augmentations beside it.

    Axes are in seconds and Hz, colors in dB below the reference. The image is what the network gets, to the byte,
    unless the recording is longer than `max_seconds`: then only its beginning is decoded and shown.

    Args:
        config: the front end; without a sampling rate, the file's own is taken.
        augmentations: their names, see `definition_of`.

    Raises:
        AudioError: the recording cannot be read.
        AugmentationError: an augmentation is unknown or wrongly defined.
        EarmarkError: the name of the output does not end in .png.
    """
    path, output = Path(path), Path(output)
    if output.suffix.lower() != ".png":
        raise EarmarkError(f"output = {str(output)!r}: a picture is written; give a name that ends in .png")
    chosen = {name: definition_of(name, definitions) for name in (ORIGINAL, *augmentations)}
    panels = dict(clip_images(path, config, chosen, path.stem, max_seconds))
    config = dataclasses.replace(config, sample_rate=panels[ORIGINAL].sample_rate)
    title, seconds = path.name, audio_info(path).duration
    if seconds > max_seconds:
        title += f" (first {max_seconds:g} of {seconds:.0f} s)"
    output.parent.mkdir(parents=True, exist_ok=True)
    draw_panels(panels, config, title).save(output, format="PNG")
    return output


def draw_panels(panels: Mapping[str, ClipImage], config: FrontEndConfig, title: str) -> Image.Image:
    """The picture: one column per panel, a second as wide in each, and a color bar in dB."""
    seconds = [len(panel.waveform) / panel.sample_rate for panel in panels.values()]
    longest = max(seconds)
    step = next((s for s in STEPS_SECONDS if s >= longest / MAX_TICKS), STEPS_SECONDS[-1])
    peak = max(float(np.abs(panel.waveform).max()) for panel in panels.values()) or 1.0
    widths = [max(1, round(PANEL_WIDTH * s / longest)) for s in seconds]
    width = LEFT + sum(widths) + GAP * (len(panels) - 1) + RIGHT
    canvas = Image.new("RGB", (width, TOP + WAVE_HEIGHT + GAP + IMAGE_HEIGHT + BOTTOM), PAPER)
    draw = ImageDraw.Draw(canvas)
    left, top = LEFT, TOP + WAVE_HEIGHT + GAP
    for (name, panel), panel_width, panel_seconds in zip(panels.items(), widths, seconds, strict=True):
        _text(draw, (left, 12), f"{title}  {name}" if left == LEFT else name)
        _draw_wave(draw, panel.waveform / peak, left, panel_width)
        canvas.paste(_colored(panel.image, panel_width), (left, top))
        _draw_seconds(draw, panel_seconds, step, left, panel_width)
        left += panel_width + GAP
    _draw_hertz(draw, config, top)
    _draw_amplitude(draw, peak)
    _draw_decibels(canvas, draw, config, left, top)
    return canvas


def _draw_wave(draw: ImageDraw.ImageDraw, waveform: np.ndarray, left: int, width: int) -> None:
    """Lowest to highest sample of each pixel; `waveform` in [-1, 1]."""
    firsts = np.linspace(0, len(waveform), width, endpoint=False).astype(int)
    lowest, highest = np.minimum.reduceat(waveform, firsts), np.maximum.reduceat(waveform, firsts)
    middle, scale = TOP + WAVE_HEIGHT / 2, WAVE_HEIGHT / 2
    for x, (low, high) in enumerate(zip(lowest, highest, strict=True), left):
        draw.line([(x, middle - scale * high), (x, middle - scale * low)], BLUE)
    draw.rectangle([left - 1, TOP - 1, left + width, TOP + WAVE_HEIGHT], outline=INK)


def _colored(image: np.ndarray, width: int) -> Image.Image:
    colored = Image.fromarray(palette()[image])
    return colored.resize((width, IMAGE_HEIGHT), Image.Resampling.BILINEAR)


def _draw_seconds(draw: ImageDraw.ImageDraw, seconds: float, step: float, left: int, width: int) -> None:
    bottom = TOP + WAVE_HEIGHT + GAP + IMAGE_HEIGHT
    for tick in np.arange(0, seconds, step):
        x = left + tick / seconds * width
        draw.line([(x, bottom), (x, bottom + 6)], INK)
        _text(draw, (x, bottom + 10), f"{tick:g}" if tick else "0 s", "ma")


def _draw_hertz(draw: ImageDraw.ImageDraw, config: FrontEndConfig, top: int) -> None:
    """The frequency axis, from the top down as far as its labels do not overlap."""
    last: float = -LINE_HEIGHT
    for hertz in reversed(HERTZ_TICKS):
        y = IMAGE_HEIGHT * (1 - (float(bin_of(hertz, config)) + 0.5) / config.n_mels)
        if 0 <= y <= IMAGE_HEIGHT and y - last >= LINE_HEIGHT:
            draw.line([(LEFT - 6, top + y), (LEFT, top + y)], INK)
            _text(draw, (LEFT - 10, top + y), f"{hertz} Hz", "rm")
            last = y


def _draw_amplitude(draw: ImageDraw.ImageDraw, peak: float) -> None:
    for value, y in ((peak, TOP), (0.0, TOP + WAVE_HEIGHT / 2), (-peak, TOP + WAVE_HEIGHT)):
        draw.line([(LEFT - 6, y), (LEFT, y)], INK)
        _text(draw, (LEFT - 10, y), f"{value:.2g}", "rm")


def _draw_decibels(canvas: Image.Image, draw: ImageDraw.ImageDraw, config: FrontEndConfig, left: int, top: int) -> None:
    """The color bar."""
    bar = np.repeat(np.arange(255, -1, -1, dtype=np.uint8)[:, None], 20, axis=1)
    canvas.paste(_colored(bar, 20), (left, top))
    highest = config.reference_db if config.reference == "fixed" else 0.0
    for fraction in (0, 0.25, 0.5, 0.75, 1):
        y = top + fraction * IMAGE_HEIGHT
        draw.line([(left + 20, y), (left + 26, y)], INK)
        _text(draw, (left + 30, y), f"{highest - fraction * config.range_db:g} dB", "lm")


def _text(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, anchor: str = "la") -> None:
    draw.text(at, text, INK, ImageFont.load_default(20), anchor)
