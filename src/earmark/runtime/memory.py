"""What the C library does with memory that is freed and soon needed again."""

from __future__ import annotations

import ctypes
import functools
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
MMAP_THRESHOLDS = (2**30, 2**25)
"""Above which size memory is mapped; older versions of glibc take no more than the second."""


@functools.cache
def keep_freed_memory() -> None:
    """Keep freed memory for the next training step instead of returning it to the system, which glibc does.

    By default glibc maps and unmaps large arrays each time, and every page costs a fault when it is first written
    (`tests/runtime/test_memory.py` counts them). This is a setting of the whole process: only `earmark.cli.main` and
    worker processes call it, never a function of the library.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and any(mallopt(M_MMAP_THRESHOLD, size) for size in MMAP_THRESHOLDS):
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
