"""Facts about this machine: processor, memory, disk. Nothing here fails; what is unknown is None."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

PROBE_BYTES = 32 * 2**20
"""Size of the file that is written to measure a disk."""
MAX_SECONDS = 3.0
"""A folder is measured for this long at most."""


def processor_name() -> str:
    """The model name of the processor, as far as the system says."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def affinity() -> list[int] | None:
    """The processor cores that this process may run on; None where the system has no affinity."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def memory_gib() -> float | None:
    """Memory of the machine in GiB."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def folder_mib(folder: Path, max_seconds: float = MAX_SECONDS) -> tuple[float, bool]:
    """Size of the files below a folder in MiB, and whether all were measured in time."""
    end, total = time.monotonic() + max_seconds, 0
    for parent, _, names in os.walk(folder):
        if time.monotonic() > end:
            return total / 2**20, False
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                total += path.stat().st_size
    return total / 2**20, True


def free_gib(folder: Path) -> float:
    """Free space in GiB on the disk of a folder, or of its nearest parent that exists."""
    return shutil.disk_usage(existing(folder)).free / 2**30


def existing(folder: Path) -> Path:
    """The folder, or its nearest parent that exists."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def write_speed(folder: Path) -> float:
    """MiB per second at which a file is written to a folder and reaches the disk; the file is removed.

    Raises:
        OSError: the folder cannot be written to.
    """
    block = os.urandom(2**20)
    n_blocks = PROBE_BYTES // len(block)
    with tempfile.TemporaryFile(dir=existing(folder)) as file:
        start = time.perf_counter()
        for _ in range(n_blocks):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        seconds = time.perf_counter() - start
    return n_blocks / seconds
