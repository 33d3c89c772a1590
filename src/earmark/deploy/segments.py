"""A recording of any length as overlapping segments, with memory for one of them.

Files are decoded and resampled block by block: soxr's stream gives the same samples as resampling the whole file.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.audio.io import AudioError, audio_info, check_complete, open_audio, to_mono
from earmark.runtime.errors import EarmarkError

BLOCK_SAMPLES = 1 << 16
"""Samples per channel that are decoded at a time."""


@dataclass(frozen=True)
class Segment:
    """One window of a recording."""

    first: int
    """Its first sample."""
    waveform: np.ndarray
    """Float32 (N,), zeros after the end of the recording."""
    n_samples: int
    """How many of them are of the recording."""


def hop_samples(hop_seconds: float, sample_rate: int) -> int:
    """The samples from one window to the next, at least one.

    Raises:
        EarmarkError: it is no positive number of seconds.
    """
    if not 0 < hop_seconds < math.inf:
        raise EarmarkError(f"hop_seconds = {hop_seconds}: give more than 0 seconds")
    return max(1, round(hop_seconds * sample_rate))


def warn_of_gaps(hop: int, length: int, sample_rate: int) -> None:
    """Warn where windows of `length` samples, `hop` samples apart, leave out parts of a recording."""
    if hop > length:
        warnings.warn(
            f"hop: {hop / sample_rate:.3g} s are more than a window of {length / sample_rate:.3g} s, so that "
            f"{100 * (1 - length / hop):.0f} % of a long recording is in no window; give less to hear all of it",
            stacklevel=3,
        )


def file_segments(path: str | Path, sample_rate: int, length: int, hop: int) -> Iterator[Segment]:
    """The segments of a file, mono at `sample_rate`.

    Raises:
        AudioError: the file is missing, cannot be decoded, is empty or cut short, or has samples that are not finite.
    """
    info, n_segments = audio_info(path), 0
    for segment in cut_segments(resample_blocks(file_blocks(path), info.sample_rate, sample_rate), length, hop):
        n_segments += 1
        yield segment
    if not n_segments:
        raise AudioError(f"audio {path}: has no sample left at {sample_rate} Hz; leave it out", "empty")


def file_blocks(path: str | Path) -> Iterator[np.ndarray]:
    """Mono float32 blocks of a file at its own rate.

    Raises:
        AudioError: as `file_segments`.
    """
    found = 0
    with open_audio(path) as file:
        while len(samples_NC := file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
            found += len(samples_NC)
            if not np.isfinite(samples_NC).all():
                raise AudioError(f"audio {path}: has NaN or infinite samples; export it again or leave it out", "nan")
            yield to_mono(samples_NC)
        promised = file.frames
    check_complete(path, found, promised)


def resample_blocks(blocks: Iterable[np.ndarray], rate: int, target_rate: int) -> Iterator[np.ndarray]:
    """Mono float32 blocks at another rate, without seams."""
    if rate == target_rate:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate, target_rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def cut_segments(blocks: Iterable[np.ndarray], length: int, hop: int) -> Iterator[Segment]:
    """Segments of `length` samples at multiples of `hop`; a last one covers what is left, filled up with zeros."""
    held, first, covered, total = np.zeros(0, np.float32), 0, 0, 0
    skip = 0  # samples to drop before the next segment, where the hop is longer than the segment
    for block in blocks:
        total += len(block)
        dropped = min(skip, len(block))
        skip -= dropped
        held = np.concatenate([held, block[dropped:]])
        while len(held) >= length:
            yield Segment(first, held[:length].copy(), length)
            first, covered = first + hop, first + length
            skip = max(hop - len(held), 0)
            held = held[hop:]
    if total > covered and len(held):
        rest = held[:length]
        yield Segment(first, np.pad(rest, (0, length - len(rest))), len(rest))
