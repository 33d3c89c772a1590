"""One function over many tasks on several processes, in order and with flat memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

CHUNK_TASKS = 8
"""Tasks handed over at a time, so that the way there and back costs little."""
CHUNKS_AHEAD = 2
"""Chunks given to each other process in advance, so that none idles."""
CHUNKS_HELD = 64
"""Finished chunks kept while an earlier one is under way; more would let memory grow with the tasks."""
MOST_PROCESSES = 60
"""Windows has no more than 61 in a pool."""
TASKS_PER_PROCESS = 16
"""Fewer tasks than this are not worth the start of a process."""


def map_tasks(function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int = 0) -> Iterator[Result]:
    """The results of `function` for all tasks, in their order, computed by `jobs` processes (0: one per core).

    This process is one of them, so that work begins while the others start. `function` must be importable, or a
    partial of such a one. The other processes end with this one, however it ends.
    """
    jobs = min(jobs or cores(), MOST_PROCESSES, len(tasks) // TASKS_PER_PROCESS)
    if jobs <= 1:
        yield from map(function, tasks)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads can hang
    pool = ProcessPoolExecutor(jobs - 1, mp_context=context, initializer=_follow_parent)
    try:
        chunks = [tasks[start : start + CHUNK_TASKS] for start in range(0, len(tasks), CHUNK_TASKS)]
        for future in _in_order(pool, function, chunks, CHUNKS_AHEAD * (jobs - 1)):
            yield from future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, function: Callable[[Task], Result], chunks: Sequence[Sequence[Task]], ahead: int
) -> Iterator[Future[list[Result]]]:
    """A future for each chunk: computed in the pool or, when that has enough to do, here."""
    held: deque[Future[list[Result]]] = deque()
    for chunk in chunks:
        if sum(not future.done() for future in held) < ahead:
            held.append(pool.submit(_run_chunk, function, chunk))
        else:
            held.append(Future())
            held[-1].set_result(_run_chunk(function, chunk))
        while held and (held[0].done() or len(held) > CHUNKS_HELD):
            yield held.popleft()
    yield from held


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
