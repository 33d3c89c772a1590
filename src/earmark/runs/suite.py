"""Train what is missing of a planned suite: variants x folds x seeds.

Every worker walks the same list and takes the runs that are neither finished nor locked by another process, so that
two workers, or two terminals, divide the work without a queue.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from earmark.config.sections import Options
from earmark.config.suite import SuiteConfig
from earmark.runs.declare import declare_plan
from earmark.runs.failures import Failure, failed_since, is_device_lost, is_disk_full, record_failure, recorded_reason
from earmark.runs.floor import update_floor
from earmark.runs.plan import PlannedRun, RunData, SuitePlan, data_key
from earmark.runs.prepare import (
    NO_FILES,
    SharedFiles,
    delete_shared_files,
    load_data,
    name_shared_files,
    prepare_suite,
)
from earmark.runs.ray_executor import run_on_ray
from earmark.runs.status import time_left
from earmark.runs.train import BusyError, train_and_evaluate, train_as_worker
from earmark.runtime.console import Progress
from earmark.runtime.files import is_locked
from earmark.runtime.memory import keep_freed_memory
from earmark.runtime.pool import default_threads
from earmark.training.batches import ImageSet
from earmark.training.devices import select_device
from earmark.training.distributed import broadcast_decision, rank_and_world

Failures = dict[str, Failure]
"""By run folder name."""


def run_suite(plan: SuitePlan, options: Options) -> dict[str, str]:
    """`run_suites` of one plan; returns the reasons alone."""
    return {name: failure.reason for name, failure in run_suites([plan], options).items()}


def run_declared(plan: SuitePlan, suite: SuiteConfig, options: Options) -> dict[str, str]:
    """Write the plan of a suite, `run_suite`, and score the references of what is finished.

    Raises:
        EarmarkError, OSError: as `run_suites`.
    """
    prepare_suite(plan)  # first: a suite that recordings keep from starting has no plan
    declare_plan(plan, suite)
    failures = run_suite(plan, options)
    if len(plan.missing) < len(plan.runs):
        update_floor(plan, options.runs / suite.name)
    return failures


def run_suites(plans: Sequence[SuitePlan], options: Options) -> Failures:
    """Make the images that are missing, then train and evaluate the runs that are; a failure does not stop the others.

    Worker processes go from plan to plan without waiting for each other, and hold the data of one plan at a time.

    Returns:
        Why runs have failed or were not trained; empty when all are finished or left to another process.

    Raises:
        EarmarkError: images cannot be made, or the device or the executor is not available.
        OSError: the disk is full.
    """
    for plan in plans:
        prepare_suite(plan)
    stopped = ""
    if options.executor == "ray":
        failures = run_on_ray(plans, options)
    elif options.n_workers > 1 and len(_missing(plans)) > 1:
        failures, stopped = _train_in_processes(plans, options)
    else:
        failures, stopped = train_missing(plans, options)
    if stopped:
        failures |= _not_trained(plans, failures, stopped)
    finished = {run.folder.name for plan in plans for run in plan.runs if run.finished}  # after a worker had failed
    return {name: failure for name, failure in failures.items() if name not in finished}


def _not_trained(plans: Sequence[SuitePlan], failures: Failures, reason: str) -> Failures:
    """The other runs without a result that no process holds: the reason in their folder, or else the given one."""
    left = [run.folder for run in _missing(plans) if run.folder.name not in failures and not is_locked(run.folder)]
    return {folder.name: Failure(recorded_reason(folder) or reason) for folder in left}


def _missing(plans: Sequence[SuitePlan]) -> list[PlannedRun]:
    return [run for plan in plans for run in plan.missing]


def _train_in_processes(plans: Sequence[SuitePlan], options: Options) -> tuple[Failures, str]:
    """`train_missing` in `options.n_workers` worker processes; they end with this process, however it ends."""
    since = time.time()
    n_workers = min(options.n_workers, len(_missing(plans)))
    workers: list[tuple[BaseProcess, Connection]] = []
    files = [name_shared_files(plan, options.work) for plan in plans]
    try:
        for i in range(n_workers):
            workers.append(_start_worker(plans, _on_device(options, i), n_workers, files, since))
        answers = []
        for process, receiver in workers:
            answers.append(_receive(receiver))
            process.join()
        failures = {name: failure for several, _ in answers for name, failure in several.items()}
        return failures, next((stopped for _, stopped in answers if stopped), "")
    finally:
        for process, _ in workers:
            process.kill()
        for one in files:
            delete_shared_files(one.values())


def _start_worker(*arguments: Any) -> tuple[BaseProcess, Connection]:
    """A worker process, and the connection on which its failures arrive."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, *arguments))
    with _ignoring_interrupts():  # the worker inherits that, and leaves Ctrl-C to this process
        process.start()
    sender.close()  # so that the receiver notices when the process dies
    return process, receiver


@contextlib.contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C; only the main thread may, and elsewhere this does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(sender: Connection, *arguments: Any) -> None:
    """What a worker process does: `train_missing`, and send the failures or the error that ended it."""
    _exit_with_parent()
    keep_freed_memory()
    try:
        sender.send(train_missing(*arguments))
    except Exception as error:  # the parent raises it
        sender.send(error)


def _exit_with_parent() -> None:
    """Exit when the parent process ends, even when it is killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in a worker process"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _receive(receiver: Connection) -> tuple[Failures, str]:
    """What `train_missing` of one worker process has returned, once it has ended."""
    try:
        answer = receiver.recv()
    except EOFError:
        return {}, "its process died (out of memory?)"
    if isinstance(answer, Exception):
        raise answer
    return answer


def _on_device(options: Options, worker: int) -> Options:
    """The options of one of several workers: on a machine with several GPUs, each worker uses its own."""
    if options.device == "auto" and torch.cuda.device_count() > 1:
        return dataclasses.replace(options, device=f"cuda:{worker % torch.cuda.device_count()}")
    return options


def train_missing(
    plans: Sequence[SuitePlan],
    options: Options,
    n_workers: int = 1,
    files: Sequence[SharedFiles] | None = None,
    since: float = math.inf,
) -> tuple[Failures, str]:
    """Train one missing run after the other, leaving those that another process is training.

    Args:
        plans: the runs; their images have been made.
        options: device and threads.
        n_workers: how many processes call this at the same time.
        files: `name_shared_files` of each plan; these processes share their images.
        since: when they were started (Unix time); none tries again what has failed since.

    Returns:
        Why runs have failed, and why no more were trained; empty when all were tried.

    Raises:
        OSError: the disk is full.
    """
    torch.set_num_threads(options.threads or default_threads(n_workers))
    device, images = select_device(options.device), _LoadedImages()
    progress, failures, start, n_done = Progress(), Failures(), time.monotonic(), 0
    files = files or [NO_FILES] * len(plans)
    runs = [(run, plan, shared) for plan, shared in zip(plans, files, strict=True) for run in plan.runs]
    for number, (run, plan, shared) in enumerate(runs, start=1):
        if broadcast_decision(run.finished or failed_since(run.folder, since), device):
            continue
        title = f"[{number}/{len(runs)}] {run.folder.name}"
        log = partial(_show, progress, title)
        try:
            if not _train_one(run, plan.data_of(run), images.of(run, plan, shared, device), device, log, options.track):
                continue
        except Exception as error:  # an error of a library in one run must not stop the others
            failures[run.folder.name] = failure = record_failure(run.folder, error)
            if is_disk_full(error):
                raise
            progress.line(f"{title}  FAILED: {failure.reason}")
            if is_device_lost(error):
                return failures, "not trained: the device failed"
            continue
        n_done += 1
        left = time_left((time.monotonic() - start) / n_done / n_workers, len(_missing(plans)))
        progress.line(f"{title}  done{left}")
        if not plan.missing:
            delete_shared_files(shared.values())
    return failures, ""


def _train_one(
    run: PlannedRun,
    data: RunData,
    images: ImageSet,
    device: torch.device,
    log: Callable[[str], None],
    track: Sequence[str],
) -> bool:
    """`train_and_evaluate`, or along with it; False where another process trains the run, or has finished it by now."""
    if rank_and_world()[0] > 0:
        train_as_worker(run, data, images, device)
        return True
    try:
        return train_and_evaluate(run, data, images, device, log, track)
    except BusyError:
        return False


def _show(progress: Progress, title: str, text: str) -> None:
    progress.status(f"{title}  {text}")


class _LoadedImages:
    """The decoded images of the current run. One set is held at a time: other images replace it."""

    def __init__(self) -> None:
        self._data: RunData | None = None
        self._images: ImageSet | None = None

    def of(self, run: PlannedRun, plan: SuitePlan, shared: SharedFiles, device: torch.device) -> ImageSet:
        """The images that a run reads, loaded unless the run before it had the same."""
        data = plan.data_of(run)
        if self._images is None or data is not self._data:
            self._images = None  # freed before the next set is loaded
            self._data, self._images = data, load_data(run.config, data, device, shared.get(data_key(run.config)))
        return self._images
