"""Why a run failed, in one line with the remedy, and as a traceback in its folder."""

from __future__ import annotations

import contextlib
import errno
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from earmark.runtime.errors import describe_os_error, first_line, is_out_of_memory

ERROR_FILE = "error.txt"
"""In the run folder: the traceback of the last attempt."""
RESUME = "; run the same command again to resume"
LOST_DEVICE = ("CUDA error", "device-side assert", "cudnn_status", "cublas_status", "unspecified launch failure")


class Failure(NamedTuple):
    """Why a run has no result."""

    reason: str
    """In one line, with the remedy."""
    of_settings: bool = False
    """Whether its settings are the reason: training diverged, or needed too much memory."""


def record_failure(folder: Path, error: BaseException) -> Failure:
    """Write the traceback to the run folder."""
    from earmark.training.loop import TrainingError

    with contextlib.suppress(OSError):  # a full disk, which is the reason already
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ERROR_FILE).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return Failure(reason_of(error), isinstance(error, TrainingError) or is_out_of_memory(error))


def recorded_reason(folder: Path) -> str:
    """The last line of the traceback in a run folder; empty where there is none."""
    try:
        lines = (folder / ERROR_FILE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1] if lines else "unknown"


def failed_since(folder: Path, time: float) -> bool:
    """Whether a run has failed after a time (Unix)."""
    try:
        return (folder / ERROR_FILE).stat().st_mtime >= time
    except FileNotFoundError:
        return False


def reason_of(error: BaseException) -> str:
    """The reason in one line: with the remedy where memory or the device failed."""
    reason = first_line(error)
    if is_out_of_memory(error):
        return f"out of memory ({reason[:100]}); give a smaller train.batch_size, then run the same command again"
    if is_device_lost(error):
        return f"the device failed ({reason[:100]}){RESUME}"
    return describe_os_error(error) if isinstance(error, OSError) else reason


def describe_failures(failures: Mapping[str, str], n_runs: int) -> str:
    """The failed runs of several in one line; a reason that all have is named once.

    Args:
        failures: the reason by run folder name.
    """
    reasons = list(dict.fromkeys(failures.values()))
    if len(failures) > 1 and len(reasons) == 1:
        return f"{len(failures)} of {n_runs} runs failed, all for one reason: {reasons[0]}"
    named = "; ".join(f"{name} ({reason})" for name, reason in failures.items())
    return f"{len(failures)} of {n_runs} runs failed: {named}"


def is_disk_full(error: BaseException) -> bool:
    """Whether there was no room for a file, so that the next run would fail as well."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_device_lost(error: BaseException) -> bool:
    """Whether the GPU failed, so that this process cannot use it any more."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    return any(text.lower() in str(error).lower() for text in LOST_DEVICE)
