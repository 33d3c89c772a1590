"""Which windows cover a clip that is longer than what a network was trained on."""

from __future__ import annotations

import numpy as np


def window_starts(n_frames: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the clip and first frame of each window, for clips of the given lengths.

    A clip of at most `width` frames is one window; a longer one has windows that overlap by at least half.
    """
    room = np.maximum(n_frames - width, 0)
    counts = 1 + np.minimum(np.ceil(2 * room / width), room).astype(np.int64)
    starts = [np.linspace(0, last, count) for last, count in zip(room, counts, strict=True)]
    return np.repeat(np.arange(len(counts)), counts), np.concatenate(starts).round().astype(np.int64)


def cut_windows(image_FT: np.ndarray, width: int) -> np.ndarray:
    """The windows (W, F, width) that cover an image (F, T), with 0 (silence) after the end of a shorter one."""
    _, starts = window_starts(np.array([image_FT.shape[1]]), width)
    missing = max(width - image_FT.shape[1], 0)
    padded = np.pad(image_FT, ((0, 0), (0, missing))) if missing else image_FT
    return np.stack([padded[:, start : start + width] for start in starts])
