"""What a recording may claim and need: limits that are checked before anything is allocated.

A header is a claim, not a fact. Rate, channels and duration have fixed limits that every recorder keeps; the memory
of a decoded file has one that the environment variable EARMARK_MAX_AUDIO_MIB changes.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from earmark.runtime.errors import EarmarkError

MIN_RATE, MAX_RATE = 1000, 768_000
"""Sampling rates in Hz."""
MAX_CHANNELS = 64
MAX_HOURS = 24
EMPTY = "is empty; record it again or leave it out"
MAX_SAMPLES_PER_BYTE = 8192
"""FLAC stores 65535 samples of silence in about ten bytes; nothing is more compact."""
MAX_FILE_BYTES = 2**36
"""64 GiB: a day of stereo at 96 kHz and 32 bits."""
UNKNOWN_BYTES = 0x7FFF0000
"""Writers that cannot go back to the header, such as a pipe, leave at least this as the size of the sound."""
SMALL_BYTES = 2**26
"""64 MiB: what the smallest file may take."""
MAX_EXPANSION = 64
"""Bytes in memory per byte of a larger file: those of speech in Opus at 24 kbit/s."""
DEFAULT_MIB = 2048
MEMORY_VARIABLE = "EARMARK_MAX_AUDIO_MIB"
_SIZES = re.compile(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_LONG_SIZES = re.compile(r"^\s*(?:riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""Of W64 and RF64, whose sizes have 64 bits; libsndfile compares that of the whole file only."""
UNKNOWN_LONG_BYTES = 2**62
PAGE_BYTES = 27 + 255 + 255 * 255
"""Of the longest page of Ogg (RFC 3533)."""
_LEAST_OF_CLAIMED = 0.99
"""Some writers are a few bytes off."""


class LimitError(EarmarkError):
    """A limit that is not a size."""


def recording_problem(path: Path) -> tuple[str, str]:
    """Why a path is no regular file of a possible size, with the remedy, and the kind of `AudioError`; empty if it is.

    It follows links and opens nothing, so that a pipe cannot block and a device is never read.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: a zero byte in the path
        return "does not exist; give the path of an audio file", "missing"
    if not stat.S_ISREG(status.st_mode):
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "pipe" if stat.S_ISFIFO(status.st_mode) else "device"
        return f"is a {kind}; give the path of an audio file", "missing"
    if not status.st_size:
        return EMPTY, "empty"
    if status.st_size > MAX_FILE_BYTES:
        size, most = f"{status.st_size / 2**30:.0f} GiB", f"{MAX_FILE_BYTES >> 30} GiB"
        return f"is {size} large; cut it into files of at most {most} or leave it out", "unreadable"
    return "", ""


def header_problem(rate: int, channels: int, n_samples: int, size: int) -> str:
    """What a header claims that no recording has, or that its file cannot hold, with the remedy; empty if nothing.

    Args:
        rate: samples per second (Hz).
        channels: number of channels.
        n_samples: samples per channel.
        size: of the file in bytes.
    """
    if not MIN_RATE <= rate <= MAX_RATE:
        return f"claims {rate} Hz; convert it to a rate from {MIN_RATE} to {MAX_RATE} Hz or leave it out"
    if not 1 <= channels <= MAX_CHANNELS:
        return f"claims {channels} channels; convert it to at most {MAX_CHANNELS} or leave it out"
    if not 0 <= n_samples <= MAX_SAMPLES_PER_BYTE * size:
        return f"claims {n_samples} samples in {size} bytes; fetch it again or leave it out"
    if n_samples > 3600 * MAX_HOURS * rate:
        return f"claims {n_samples / rate / 3600:.1f} hours; cut it into files of at most {MAX_HOURS} hours"
    return ""


def cut_problem(log: str) -> str:
    """What a file lost of the sound that its header announces, with the remedy; empty if nothing, or not known.

    Args:
        log: libsndfile's notes on the header, which compare the size of the data chunk of WAV, AIFF and AU, and of the
            file for W64 and RF64, with the bytes that are there (`soundfile.SoundFile.extra_info`).
    """
    for sizes, unknown, what in ((_SIZES, UNKNOWN_BYTES, " of sound"), (_LONG_SIZES, UNKNOWN_LONG_BYTES, "")):
        match = sizes.search(log)
        claimed, found = (int(match[1]), int(match[2])) if match else (0, 0)
        if claimed < unknown and found < _LEAST_OF_CLAIMED * claimed:
            return f"is cut short: {found} of {claimed} bytes{what} are there; fetch it again or leave it out"
    return ""


def ogg_problem(path: Path) -> str:
    """That an Ogg file ends inside a page, with the remedy; empty if its last page is whole.

    A file without the mark of the last page counts as whole: not every recorder sets it.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2 * PAGE_BYTES))
        end = file.read()
    page = end[max(0, end.rfind(b"OggS")) :]
    lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
    whole = len(page) > 26 and len(lengths) == page[26] and len(page) >= 27 + len(lengths) + sum(lengths)
    return "" if whole else "is cut short: its last page is not whole; fetch it again or leave it out"


def memory_problem(n_values: float, size: int) -> str:
    """Why a file must not take `n_values` numbers of 32 bits in memory, with the remedy; empty if it may.

    Small files may take `SMALL_BYTES`, larger ones `MAX_EXPANSION` times their size, which no recording with sound
    in it reaches, and none more than the limit.

    Args:
        n_values: that decoding and resampling hold at a time.
        size: of the file in bytes.

    Raises:
        LimitError: the limit itself is wrong.
    """
    limit, need = memory_limit(), 4 * n_values
    if need > limit:
        most = f"{limit / 2**20:.0f} MiB"
        return f"needs {need / 2**20:.0f} MiB decoded; cut it to at most {most}, or set {MEMORY_VARIABLE} to more"
    if need > max(SMALL_BYTES, MAX_EXPANSION * size):
        remedy = "leave it out, or convert it to WAV if it is right"
        return f"needs {need / 2**20:.0f} MiB decoded, but has {size} bytes; {remedy}"
    return ""


def memory_limit() -> int:
    """Bytes that one decoded file may take.

    Raises:
        LimitError: EARMARK_MAX_AUDIO_MIB is not a size.
    """
    text = os.environ.get(MEMORY_VARIABLE) or str(DEFAULT_MIB)
    try:
        mib = float(text)
    except ValueError:
        mib = 0.0
    if not 1 <= mib <= 2**20:
        raise LimitError(f"{MEMORY_VARIABLE} = {text!r}: give 1 to {2**20} MiB")
    return int(mib * 2**20)
