"""One function over many tasks on several processes, in order and with flat memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

CHUNK_TASKS = 8
"""Tasks handed over at a time, so that the way there and back costs little."""
CHUNKS_AHEAD = 4
"""Chunks waiting per process: enough that none idles, few enough that results do not pile up."""
TASKS_PER_PROCESS = 16
"""Fewer tasks than this are not worth the start of a process."""


def map_tasks(function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int = 0) -> Iterator[Result]:
    """The results of `function` for all tasks, in their order, computed on `jobs` processes (0: one per core).

    With one process, or few tasks, all happens in this one. `function` must be importable, or a partial of such
    a one. Other processes end with this one, however it ends.
    """
    jobs = min(jobs or cores(), len(tasks) // TASKS_PER_PROCESS)
    if jobs <= 1:
        yield from map(function, tasks)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads can hang
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_follow_parent)
    try:
        waiting = deque()
        for start in range(0, len(tasks), CHUNK_TASKS):
            waiting.append(pool.submit(_run_chunk, function, tasks[start : start + CHUNK_TASKS]))
            if len(waiting) > CHUNKS_AHEAD * jobs:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_chunk(function: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
    return [function(task) for task in tasks]


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it ends, even when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in a worker"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
