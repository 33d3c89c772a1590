"""What the C library does with memory that is freed and soon needed again."""

from __future__ import annotations

import ctypes
import functools
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
MMAP_THRESHOLDS = (2**30, 2**25)
"""Of what size on memory is mapped; older versions take no more than the second."""


@functools.cache
def keep_freed_memory() -> None:
    """Keep what is freed for the next step or clip instead of handing it back to the system; only glibc hands it back.

    By default glibc maps large arrays anew each time and unmaps them again, and whoever writes to them pays for every
    page (`tests/test_memory.py` counts them).
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and any(mallopt(M_MMAP_THRESHOLD, size) for size in MMAP_THRESHOLDS):
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
