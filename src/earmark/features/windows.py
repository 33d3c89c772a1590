"""How long the windows of a network are, and which of them cover a longer clip."""

from __future__ import annotations

import numpy as np

from earmark.config.sections import ConfigError, FrontEndConfig


def window_frames(window_seconds: float, n_frames_N: np.ndarray, front_end: FrontEndConfig | None) -> int:
    """Length of a training window in frames: the given seconds, or the median length of the training clips.

    Args:
        window_seconds: 0 takes the median.
        n_frames_N: lengths of the training clips in frames.
        front_end: that of the images; None where it is not known.

    Raises:
        ConfigError: seconds are given for images of unknown hop length.
    """
    if window_seconds == 0:
        return int(np.median(n_frames_N))
    if front_end is None:
        raise ConfigError(
            f"train.window_seconds = {window_seconds}: the hop length of ready-made images is not known; give 0"
        )
    return max(round(window_seconds * front_end.sample_rate / front_end.hop_length), 1)


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
