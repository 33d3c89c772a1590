"""What the C library does with memory that a training step frees."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
MMAP_THRESHOLDS = (2**30, 2**25)
"""Of what size on memory is mapped; older versions take no more than the second."""


def keep_freed_memory() -> None:
    """Keep what is freed for the next step instead of handing it back to the system; does nothing without glibc.

    By default glibc maps every large activation anew and unmaps it again, so that each step pays for thousands of page
    faults: without this a training step of the baseline CNN took 14 to 20 % longer on two cores.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and any(mallopt(M_MMAP_THRESHOLD, size) for size in MMAP_THRESHOLDS):
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
