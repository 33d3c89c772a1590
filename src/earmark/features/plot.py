"""A picture of a clip as the network gets it: waveform and log-mel image, with its waveform variants beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from earmark.audio.augment import ORIGINAL, Definition, apply_augmentation, definition_of
from earmark.audio.io import load_audio
from earmark.config.sections import FrontEndConfig
from earmark.features.log_mel import bin_of, log_mel_image

PANEL_WIDTH, WAVE_HEIGHT, IMAGE_HEIGHT = 640, 180, 512
"""Of the longest clip's panels, in pixels; shorter ones are narrower, so that a second is as wide everywhere."""
LEFT, TOP, GAP, RIGHT, BOTTOM = 110, 60, 30, 130, 70
"""Room around the panels for axes and titles, in pixels."""
INK, PAPER, BLUE = (40, 40, 40), (255, 255, 255), (40, 90, 160)
MAGMA = ("000004", "1c1044", "4f127b", "812581", "b5367a", "e55064", "fb8761", "fec287", "fcfdbf")
"""Evenly spaced colours of the magma map, dark to bright (S. van der Walt and N. Smith, 2015)."""
HERTZ_TICKS = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000)
STEPS_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)
MOST_TICKS = 6
"""On the time axis of the longest clip."""
LINE_HEIGHT = 24
"""Labels nearer than this, in pixels, would overlap."""


@dataclass(frozen=True)
class Panel:
    """What is shown in one column."""

    title: str
    waveform: np.ndarray
    """float32 (N,)"""
    image: np.ndarray
    """uint8 (F, T)"""
    seconds: float


def show(
    path: str | Path,
    output: str | Path,
    config: FrontEndConfig = FrontEndConfig(),
    variants: Sequence[str] = (),
    definitions: Mapping[str, Definition] | None = None,
) -> Path:
    """Write a PNG with waveform and log-mel image of a recording, and of its waveform variants beside it.

    Axes are in seconds and Hz, colours in dB below the reference. The image is what the network gets, to the byte.

    Args:
        config: the front end; without a sampling rate, the file's own is taken.
        variants: names of waveform variants, see `augment_waveform.definition_of`.

    Raises:
        AudioError: the recording cannot be read.
        VariantError: a waveform variant is unknown or wrongly defined.
    """
    path, output = Path(path), Path(output)
    chosen = {name: definition_of(name, definitions) for name in (ORIGINAL, *variants)}
    waveform, sample_rate = load_audio(path, config.sample_rate)
    config = dataclasses.replace(config, sample_rate=sample_rate)
    varied = {name: apply_augmentation(waveform, sample_rate, path.stem, name, chosen[name]) for name in chosen}
    panels = [Panel(n, w, log_mel_image(w, config), len(w) / sample_rate) for n, w in varied.items()]
    output.parent.mkdir(parents=True, exist_ok=True)
    draw_panels(panels, config, path.name).save(output, format="PNG")
    return output


def draw_panels(panels: Sequence[Panel], config: FrontEndConfig, title: str) -> Image.Image:
    """The picture: one column per panel, a second as wide in each, and a colour bar in dB."""
    longest = max(panel.seconds for panel in panels)
    step = next((s for s in STEPS_SECONDS if s >= longest / MOST_TICKS), STEPS_SECONDS[-1])
    peak = max(float(np.abs(panel.waveform).max()) for panel in panels) or 1.0
    widths = [max(1, round(PANEL_WIDTH * panel.seconds / longest)) for panel in panels]
    width = LEFT + sum(widths) + GAP * (len(panels) - 1) + RIGHT
    canvas = Image.new("RGB", (width, TOP + WAVE_HEIGHT + GAP + IMAGE_HEIGHT + BOTTOM), PAPER)
    draw = ImageDraw.Draw(canvas)
    left, top = LEFT, TOP + WAVE_HEIGHT + GAP
    for panel, panel_width in zip(panels, widths, strict=True):
        _text(draw, (left, 12), f"{title}  {panel.title}" if left == LEFT else panel.title)
        _draw_wave(draw, panel.waveform / peak, left, panel_width)
        canvas.paste(_colored(panel.image, panel_width), (left, top))
        _draw_seconds(draw, panel.seconds, step, left, panel_width)
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
    anchors = np.array([list(bytes.fromhex(color)) for color in MAGMA])
    values = np.linspace(0, len(MAGMA) - 1, 256)
    table = np.stack([np.interp(values, range(len(MAGMA)), channel) for channel in anchors.T], axis=1)
    colored = Image.fromarray(table.round().astype(np.uint8)[image])
    return colored.resize((width, IMAGE_HEIGHT), Image.Resampling.BILINEAR)


def _draw_seconds(draw: ImageDraw.ImageDraw, seconds: float, step: float, left: int, width: int) -> None:
    bottom = TOP + WAVE_HEIGHT + GAP + IMAGE_HEIGHT
    for tick in np.arange(0, seconds, step):
        x = left + tick / seconds * width
        draw.line([(x, bottom), (x, bottom + 6)], INK)
        _text(draw, (x, bottom + 10), f"{tick:g}" if tick else "0 s", "ma")


def _draw_hertz(draw: ImageDraw.ImageDraw, config: FrontEndConfig, top: int) -> None:
    """The frequency axis, from the top down as far as its labels do not overlap."""
    last = -LINE_HEIGHT
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
    """The colour bar."""
    bar = np.repeat(np.arange(255, -1, -1, dtype=np.uint8)[:, None], 20, axis=1)
    canvas.paste(_colored(bar, 20), (left, top))
    highest = config.reference_db if config.reference == "fixed" else 0.0
    for part in (0, 0.25, 0.5, 0.75, 1):
        y = top + part * IMAGE_HEIGHT
        draw.line([(left + 20, y), (left + 26, y)], INK)
        _text(draw, (left + 30, y), f"{highest - part * config.range_db:g} dB", "lm")


def _text(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, anchor: str = "la") -> None:
    draw.text(at, text, INK, ImageFont.load_default(20), anchor)
