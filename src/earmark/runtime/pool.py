"""One function over many tasks on several threads, in order and with flat memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

TASKS_AHEAD = 8
"""Tasks per thread that are submitted or finished before their result is asked for; more would take more memory."""


def map_tasks(function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int = 0) -> Iterator[Result]:
    """The results of `function` for all tasks, in their order, computed by `jobs` threads (0: one per core).

    Threads share the cores as far as `function` works outside of the interpreter lock, as decoding, FFT, NumPy on
    large arrays, compression and file access do. An error or an interruption ends the iteration as soon as the tasks
    that have begun are finished.
    """
    jobs = min(jobs or cores(), len(tasks))
    if jobs <= 1:
        yield from map(function, tasks)
        return
    pool, pending = ThreadPoolExecutor(jobs), deque[Future[Result]]()
    try:
        for task in tasks:
            pending.append(pool.submit(function, task))
            if len(pending) == TASKS_AHEAD * jobs:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """Processor cores that this process may use: CPU affinity counts, as set by taskset, Slurm or a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads(n_workers: int = 1) -> int:
    """Threads of each of several workers: OMP_NUM_THREADS where it is a number, or else the cores are divided."""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # a list is of nested levels
    wanted = int(given) if given.isdecimal() and len(given) <= 4 else 0
    return wanted or max(cores() // n_workers, 1)
