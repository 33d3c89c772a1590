"""A stream of raw samples as events: `ffmpeg ... -f f32le - | earmark listen MODEL --sample-rate 16000`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np

from earmark.audio.io import AudioError, to_mono
from earmark.deploy.model import Model, WindowAnswer
from earmark.deploy.segments import cut_segments, hop_samples, resample_blocks, warn_of_gaps

SAMPLE_FORMATS = {"f32le": ("<f4", 1.0), "s16le": ("<i2", 2.0**-15)}
"""ffmpeg's names of raw formats: their NumPy type and scale."""
HOP_SECONDS = 0.5
"""From one window to the next."""
BLOCK_BYTES = 1 << 14
FILE_STARTS = {b"RIFF": "WAV", b"fLaC": "FLAC", b"OggS": "Ogg"}
"""First bytes of audio files, which are no raw samples: as float32 they are far above 1."""


def stream_blocks(stream: BinaryIO, channels: int = 1, sample_format: str = "f32le") -> Iterator[np.ndarray]:
    """Mono float32 blocks of a raw stream, as soon as they come.

    Raises:
        AudioError: a sample is not finite, the stream is an audio file, or it ends before the first sample.
    """
    dtype, scale = SAMPLE_FORMATS[sample_format]
    size = channels * np.dtype(dtype).itemsize
    read = getattr(stream, "read1", stream.read)
    rest, start, empty = b"", b"", True
    while chunk := read(BLOCK_BYTES):
        if len(start) < 4:
            start = (start + chunk)[:4]
            _refuse_file(start, channels, sample_format)
        chunk = rest + chunk
        whole = len(chunk) - len(chunk) % size
        rest = chunk[whole:]
        if whole:
            empty = False
            samples_NC = np.frombuffer(chunk[:whole], dtype).reshape(-1, channels)
            if not np.isfinite(samples_NC).all():
                raise AudioError(
                    f"stream: has NaN or infinite samples as {sample_format}; are --format and --channels those of the "
                    "program that sends it?",
                    "nan",
                )
            yield to_mono(samples_NC.astype(np.float32) * np.float32(scale))
    if empty:
        raise AudioError("stream: ended without a sample; does the program that sends it report an error?", "empty")


def _refuse_file(start: bytes, channels: int, sample_format: str) -> None:
    if start in FILE_STARTS:
        raise AudioError(
            f"stream: is a {FILE_STARTS[start]} file, and raw samples are expected; for a file: earmark predict MODEL "
            f"FILE --windows; for a stream: ffmpeg -i - -f {sample_format} -ac {channels} -ar RATE - | earmark listen "
            "MODEL --sample-rate RATE"
        )


def until_interrupted(
    blocks: Iterator[np.ndarray], interrupted: Callable[[KeyboardInterrupt], object]
) -> Iterator[np.ndarray]:
    """The blocks of a stream that Ctrl-C ends as its end does, so that what has been heard is answered.

    Args:
        interrupted: called with the interruption.
    """
    try:
        yield from blocks
    except KeyboardInterrupt as interruption:
        interrupted(interruption)


def listen(
    model: Model, blocks: Iterator[np.ndarray], sample_rate: int, hop_seconds: float | None = None
) -> Iterator[WindowAnswer]:
    """An answer for each window of a stream of mono blocks, as soon as the window is full.

    A window of the stream has the same answer as the same window of a file.

    Args:
        hop_seconds: from one window to the next; None takes `HOP_SECONDS`, or half of a window that is shorter than
            twice that, so that every sound is in a window. More than a window leaves gaps, with a warning.
    """
    usual = min(HOP_SECONDS, model.info.window_seconds / 2)
    hop = hop_samples(usual if hop_seconds is None else hop_seconds, model.sample_rate)
    warn_of_gaps(hop, model.info.window_samples, model.sample_rate)
    resampled = resample_blocks(blocks, sample_rate, model.sample_rate)
    return model.answer_segments(cut_segments(resampled, model.info.window_samples, hop), batch=1)
