"""Decoding: any file that libsndfile reads becomes one mono waveform.

WAV of 8, 16, 24 and 32 bits and float, FLAC, OGG (Vorbis, Opus), MP3, AIFF and more; any rate, any number of
channels. The audio libraries are imported with the first file: training on ready-made images works without them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earmark.audio.limits import EMPTY, cut_problem, header_problem, memory_problem, ogg_problem, recording_problem
from earmark.runtime.console import printable
from earmark.runtime.errors import EarmarkError
from earmark.runtime.names import is_unicode

if TYPE_CHECKING:
    import soundfile

SUFFIXES = frozenset(
    {
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".aif",
        ".aiff",
        ".aifc",
        ".au",
        ".snd",
        ".caf",
        ".w64",
    }
)
"""File name endings (lower case) of audio for `audio_files`; `load_audio` ignores the name."""

BLOCK_SAMPLES = 1 << 20
"""Samples per channel that are converted at a time."""
# Only an MP3 without a Xing header may decode to less than it promises: its length is an estimate.
_LEAST_OF_PROMISED = 0.9


class AudioError(EarmarkError):
    """A file that does not give a usable waveform; the message names the file and the remedy.

    `kind` sorts it: ``missing``, ``unreadable``, ``empty``, ``nan`` or ``too_short``.
    """

    def __init__(self, message: str, kind: str = "unreadable") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says."""

    sample_rate: int
    """Samples per second (Hz)."""
    channels: int
    """Number of channels."""
    n_samples: int
    """Samples per channel; 0 for a file with a header only."""
    duration: float
    """Length in seconds."""
    format: str
    """Container, in libsndfile's words: ``WAV``, ``FLAC``, ``OGG``, ``MP3`` ..."""
    subtype: str
    """Encoding of the samples: ``PCM_16``, ``FLOAT``, ``VORBIS`` ..."""


def load_audio(path: str | Path, sample_rate: int = 0, max_seconds: float = math.inf) -> tuple[np.ndarray, int]:
    """Decode a file to mono, the mean over its channels, at `sample_rate` Hz (0: the file's own rate).

    Args:
        max_seconds: decode no more than this from the beginning of the file.

    Returns:
        The waveform, float32 (N,), nominally in [-1, 1] (float files may exceed it and are not clipped), and
        its rate. Resampling is soxr's HQ: linear phase, 20 bits, alias free.

    Raises:
        AudioError: the file is missing, cannot be decoded, is cut short, or has no sample or one that is not
            finite.
    """
    samples_NC, rate = decode(path, max_seconds, sample_rate)
    waveform = to_mono(samples_NC)
    del samples_NC
    if not np.isfinite(waveform).all():
        raise AudioError(
            f"audio {printable(path)}: has NaN or infinite samples; export it again or leave it out", "nan"
        )
    if sample_rate and rate != sample_rate:
        import soxr

        waveform, rate = soxr.resample(waveform, rate, sample_rate, quality="HQ"), sample_rate
    if not waveform.size:
        raise AudioError(f"audio {printable(path)}: has no sample left at {rate} Hz; leave it out", "empty")
    return waveform, rate


def decode(path: str | Path, max_seconds: float = math.inf, target_rate: int = 0) -> tuple[np.ndarray, int]:
    """Decode the first `max_seconds` of a file as they are: float32 samples (N, C), finite or not, and the rate in Hz.

    Args:
        target_rate: the rate that the caller will resample to (Hz), which counts for the memory that is needed.

    Raises:
        AudioError: the file is missing, cannot be decoded, is cut short, has no sample, claims what no recording has
            or needs too much memory (see `earmark.audio.limits`).
    """
    with open_audio(path) as file:
        rate = file.samplerate
        promised = int(min(file.frames, max(1, max_seconds * rate)))
        longest = promised * max(1.0, target_rate / rate)  # of the mono waveform, before or after resampling
        _refuse(path, memory_problem(promised * file.channels + longest, Path(path).stat().st_size))
        samples_NC = _read(file, promised)
    check_complete(path, len(samples_NC), promised)
    return samples_NC, rate


def check_complete(path: str | Path, found: int, promised: int) -> None:
    """Refuse a file that has fewer samples per channel than its header promises.

    Raises:
        AudioError: it has none, or is cut short.
    """
    if not found:
        raise AudioError(f"audio {printable(path)}: {EMPTY}", "empty")
    if found < _LEAST_OF_PROMISED * promised:
        samples = f"{found} of {promised} samples"
        raise AudioError(f"audio {printable(path)}: is cut short after {samples}; fetch it again or leave it out")


def _read(file: soundfile.SoundFile, n_samples: int) -> np.ndarray:
    """The next samples, float32 (N, C)."""
    if file.subtype != "PCM_16":
        return file.read(n_samples, dtype="float32", always_2d=True)
    # the same values as libsndfile's own conversion, and faster; block by block, so that one array is held
    samples_NC, filled = np.empty((n_samples, file.channels), np.float32), 0
    while filled < n_samples:
        block = file.read(min(BLOCK_SAMPLES, n_samples - filled), dtype="int16", always_2d=True)
        if not len(block):
            break
        np.multiply(block, np.float32(2**-15), out=samples_NC[filled : filled + len(block)])
        filled += len(block)
    return samples_NC[:filled]


def to_mono(samples_NC: np.ndarray) -> np.ndarray:
    """The mean over the channels, float32 (N,); what is not finite stays so."""
    if samples_NC.shape[1] == 1:
        return samples_NC[:, 0]
    with np.errstate(all="ignore"):
        return samples_NC.mean(axis=1, dtype=np.float32)


def audio_info(path: str | Path) -> AudioInfo:
    """Read the header of a file, without decoding it.

    Raises:
        AudioError: the file is missing or its header cannot be read.
    """
    with open_audio(path) as file:
        duration = file.frames / file.samplerate
        return AudioInfo(file.samplerate, file.channels, file.frames, duration, file.format, file.subtype)


def audio_files(folder: str | Path) -> list[Path]:
    """All files below a folder whose names end as audio does (`SUFFIXES`), sorted, without hidden ones.

    Raises:
        AudioError: a name is no text in UTF-8, so that no table could hold it.
    """
    found = sorted(p for p in Path(folder).rglob("*") if is_audio_name(p.name) and p.is_file())
    for path in found:
        _refuse(path, "" if is_unicode(path) else "has a name that is not UTF-8 text; rename the file or its folder")
    return found


def is_audio_name(name: str) -> bool:
    """Whether a name ends as audio does and is not hidden (macOS leaves ``._x.wav`` beside ``x.wav``)."""
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES


@contextmanager
def open_audio(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """The opened file, whose header is possible; whatever goes wrong in opening or reading becomes an `AudioError`."""
    import soundfile

    path = Path(path)
    problem, kind = recording_problem(path)
    _refuse(path, problem, kind)
    try:
        with soundfile.SoundFile(str(path)) as file:
            size = path.stat().st_size
            _refuse(path, header_problem(file.samplerate, file.channels, file.frames, size))
            _refuse(path, ogg_problem(path) if file.format == "OGG" else cut_problem(file.extra_info))
            yield file
    except (soundfile.SoundFileError, TypeError, MemoryError, OSError) as error:  # TypeError: headerless .raw
        reason = f"cannot be decoded ({_reason(error)}); convert it to WAV or FLAC"
        raise AudioError(f"audio {printable(path)}: {reason}") from None


def _refuse(path: str | Path, problem: str, kind: str = "unreadable") -> None:
    if problem:
        raise AudioError(f"audio {printable(path)}: {problem}", kind)


def _reason(error: Exception) -> str:
    reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
    return "Format not recognized" if "does not exist" in reason else printable(reason)  # libsndfile, of a bad MP3
