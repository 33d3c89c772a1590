"""The one palette for log-mel pictures: black for the quietest, pale yellow for the loudest."""

from __future__ import annotations

import functools

import numpy as np

MAGMA = ("000004", "1c1044", "4f127b", "812581", "b5367a", "e55064", "fb8761", "fec287", "fcfdbf")
"""Evenly spaced colors of the magma map, dark to bright (S. van der Walt and N. Smith, 2015). Lightness rises all the
way, so that pictures read in gray and for the color-blind."""


@functools.cache
def palette() -> np.ndarray:
    """The color of each level of an 8-bit image, uint8 (256, 3); `palette()[image]` colors an image."""
    anchors = np.array([list(bytes.fromhex(color)) for color in MAGMA])
    positions = np.linspace(0, len(MAGMA) - 1, 256)
    channels = [np.interp(positions, range(len(MAGMA)), channel) for channel in anchors.T]
    return np.stack(channels, axis=1).round().astype(np.uint8)
