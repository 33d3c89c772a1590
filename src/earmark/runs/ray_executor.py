"""Train the runs of suites on a Ray cluster, whose machines need not share a file system with this one.

A worker is sent its run, the images and the run's checkpoints, trains in a temporary folder, and sends the files of
the run back: some while it trains, all of them at the end. This machine, the driver, writes them into the run folder
and holds its lock. So a run whose worker or driver dies is resumed from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from earmark.config.sections import ConfigError, Options
from earmark.runs.declare import record_run
from earmark.runs.failures import Failure, record_failure
from earmark.runs.plan import PlannedRun, RunData, SuitePlan
from earmark.runs.prepare import load_data
from earmark.runs.ray_cluster import connected, describe_cluster, n_slots
from earmark.runs.status import time_left
from earmark.runs.train import BusyError, locked, train_and_evaluate, write_description
from earmark.runtime.console import Progress
from earmark.runtime.files import write_bytes
from earmark.runtime.memory import keep_freed_memory
from earmark.training.batches import ImageSet, MemoryImages
from earmark.training.checkpoint_files import CHECKPOINTS
from earmark.training.devices import select_device

ATTEMPTS = 4
"""A run has failed when this many workers have died while training it."""
SEND_SECONDS = 20.0
"""A worker sends the files of an unfinished run at most this often."""
POLL_SECONDS = 0.5
MAX_SENT = 200
"""Maximum number of runs that are locked and sent at one time; each costs an open file."""
DESCRIPTION = ("config.json", "split.csv", "split.json")

Files = dict[str, bytes]
"""Contents by path relative to the run folder."""


def run_on_ray(plans: Sequence[SuitePlan], options: Options) -> dict[str, Failure]:
    """Train what is missing on the cluster; neither a failed run nor a worker that dies stops the others.

    Workers go from plan to plan without waiting for each other.

    Returns:
        Why runs have failed, by folder name; empty when all are finished.

    Raises:
        ConfigError: ray is not installed, no cluster answers, or the images do not fit into memory.
    """
    if not any(plan.missing for plan in plans):
        return {}
    with connected() as ray, contextlib.closing(_Driver(ray, plans, options)) as driver:
        return driver.run()


@dataclass(frozen=True)
class _RemoteRun:
    """A run that was sent to the cluster, its folder locked by this process."""

    run: PlannedRun
    plan: SuitePlan
    title: str
    lock: contextlib.ExitStack
    attempt: int = 1

    @property
    def data(self) -> RunData:
        return self.plan.data_of(self.run)


class _Driver:
    """Sends runs to the cluster, writes what the workers send back, and reports progress."""

    def __init__(self, ray: ModuleType, plans: Sequence[SuitePlan], options: Options) -> None:
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self._options = ray, options
        self._runs = [(run, plan) for plan in plans for run in plan.runs]
        resources = {"num_cpus": options.ray_cpus, "num_gpus": options.ray_gpus}
        self._train = ray.remote(**resources, max_retries=0)(train_remotely)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._updates = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        self._shared: dict[int, Any] = {}  # by id of the data
        self._sent: dict[Any, _RemoteRun] = {}
        self._failures: dict[str, Failure] = {}
        self._progress, self._start, self._n_done = Progress(), time.monotonic(), 0

    def run(self) -> dict[str, Failure]:
        """Keep the cluster busy until every run is finished, has failed, or is trained by another process."""
        self._progress.line(describe_cluster(self._ray, self._n_missing(), self._options))
        waiting = enumerate(self._runs, start=1)
        while True:
            self._launch(waiting)
            if not self._sent:
                return self._failures
            ready, _ = self._ray.wait(list(self._sent), timeout=POLL_SECONDS)
            self._write_updates()
            for task in ready:
                self._complete(task, self._sent.pop(task))

    def close(self) -> None:
        """Stop what is still on the cluster and release its folders."""
        for task, remote in self._sent.items():
            self._ray.cancel(task, force=True)
            remote.lock.close()
        self._updates.shutdown(force=True)

    def _n_missing(self) -> int:
        return sum(not run.finished for run, _ in self._runs)

    def _launch(self, waiting: Iterator[tuple[int, tuple[PlannedRun, SuitePlan]]]) -> None:
        """Send as many runs as the cluster can train at once, and as many again to follow them."""
        while len(self._sent) < min(max(2 * n_slots(self._ray, self._options), 2), MAX_SENT):
            following = next(waiting, None)
            if following is None:
                return
            number, (run, plan) = following
            if run.finished:
                continue
            lock = contextlib.ExitStack()
            with contextlib.suppress(BusyError):
                lock.enter_context(locked(run.folder))
                if run.finished:
                    lock.close()
                else:
                    self._send(_RemoteRun(run, plan, f"[{number}/{len(self._runs)}] {run.folder.name}", lock))

    def _send(self, remote: _RemoteRun) -> None:
        run, options, key = remote.run, self._options, id(remote.data)
        if key not in self._shared:
            self._shared[key] = self._ray.put(_to_send(run, remote.data))
        started = {name: (run.folder / name).read_bytes() for name in CHECKPOINTS if (run.folder / name).is_file()}
        device = "cpu" if options.device == "auto" and not options.ray_gpus else options.device
        threads = options.threads or max(int(options.ray_cpus), 1)
        task = self._train.remote(run, self._shared[key], started, threads, device, options.track, self._updates)
        self._sent[task] = remote

    def _write_updates(self) -> None:
        """Write and show what the workers have sent since the last call."""
        by_folder = {remote.run.folder: remote for remote in self._sent.values()}
        for folder, text, files in self._updates.get_nowait_batch(self._updates.qsize()):
            if folder in by_folder:
                self._write(by_folder[folder], files)
                self._progress.status(f"{by_folder[folder].title}  {text}")

    def _complete(self, task: Any, remote: _RemoteRun) -> None:
        """Write the files of a run that has ended, or send it again when its worker has died."""
        from ray.exceptions import RayError, RayTaskError

        try:
            files, failure = self._ray.get(task)
            self._write(remote, files)
        except (RayTaskError, OSError) as error:  # the worker could not begin, or this disk is full
            failure = record_failure(remote.run.folder, error)
        except RayError as error:
            failure = Failure(f"its worker died ({type(error).__name__})")
            if remote.attempt < ATTEMPTS:
                self._progress.line(f"{remote.title}  {failure.reason}; sending it again")
                self._send(dataclasses.replace(remote, attempt=remote.attempt + 1))
                return
            record_failure(remote.run.folder, error)
        remote.lock.close()
        if not remote.plan.missing:  # the object store frees its images
            for data in remote.plan.data.values():
                self._shared.pop(id(data), None)
        self._report(remote, failure)

    def _write(self, remote: _RemoteRun, files: Files) -> None:
        """Write what a worker has sent; the description is written here, where its paths are right."""
        if files:
            write_description(remote.run, remote.data)
        if "result.json" in files:
            record_run(remote.run, remote.data)  # that of the worker was in its temporary folder
        write_files(remote.run.folder, {name: content for name, content in files.items() if name not in DESCRIPTION})

    def _report(self, remote: _RemoteRun, failure: Failure | None) -> None:
        if failure:
            self._failures[remote.run.folder.name] = failure
            self._progress.line(f"{remote.title}  FAILED: {failure.reason}")
            return
        self._n_done += 1
        seconds_each = (time.monotonic() - self._start) / self._n_done
        self._progress.line(f"{remote.title}  done{time_left(seconds_each, self._n_missing())}")


def _to_send(run: PlannedRun, data: RunData) -> tuple[RunData, ImageSet]:
    """What all runs on the same data need: the clips, what their images were made from, and the decoded images.

    Raises:
        ConfigError: the images are not held in memory.
    """
    images = load_data(run.config, data)
    if not isinstance(images.images, MemoryImages):
        gib = int(images.images.n_frames.sum()) * images.n_mels / 2**30
        raise ConfigError(
            f"data.memory_gib = {run.config.data.memory_gib:g}: executor = 'ray' keeps the images in memory, "
            f"which takes {gib:.1f} GiB on each machine; give at least that, or train on this machine"
        )
    return data, images


def train_remotely(
    run: PlannedRun,
    shared: tuple[RunData, ImageSet],
    started: Files,
    threads: int,
    device_name: str,
    track: Sequence[str],
    updates: Any,
) -> tuple[Files, Failure | None]:
    """What a worker does: `earmark.runs.train.train_and_evaluate` in a temporary folder.

    Args:
        run: its folder is that of the driver.
        shared: what `ray.put` was given for the data of this run.
        started: checkpoints of an earlier attempt.
        threads: CPU threads.
        device_name: see `select_device`.
        track: names of trackers.
        updates: queue of (run folder of the driver, status line, files so far).

    Returns:
        The files of the run, and why it failed; None when it is finished.
    """
    torch.set_num_threads(threads)
    keep_freed_memory()
    data, images = shared
    with tempfile.TemporaryDirectory(prefix="earmark-") as parent:
        folder = Path(parent) / run.config.name / run.folder.name  # the ledger is written above it
        folder.mkdir(parents=True)
        write_files(folder, started)
        log = _sending(run.folder, folder, updates)
        failure = None
        try:
            device = select_device(device_name)
            assert isinstance(images.images, MemoryImages), "_to_send refuses others"
            images = dataclasses.replace(images, images=images.images.to(device))
            train_and_evaluate(dataclasses.replace(run, folder=folder), data, images, device, log, track)
        except Exception as error:  # whatever it is must not stop the other runs
            failure = record_failure(folder, error)
        return read_files(folder), failure


def _sending(run_folder: Path, folder: Path, updates: Any) -> Callable[[str], None]:
    """A `Log` that sends its lines to the driver, and from time to time the files in the folder."""
    sent = -SEND_SECONDS

    def log(text: str) -> None:
        nonlocal sent
        due = time.monotonic() - sent > SEND_SECONDS
        updates.put((run_folder, text, read_files(folder, but="events.out.") if due else {}))
        sent = time.monotonic() if due else sent

    return log


def read_files(folder: Path, but: str = "") -> Files:
    """The files of a run, without locks, temporary files, and names that begin with `but`."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    complete = [path for path in paths if path.suffix != ".tmp" and not (but and path.name.startswith(but))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in complete}


def write_files(folder: Path, files: Files) -> None:
    """Write the files of a run atomically, `result.json` last; TensorBoard's replace older ones."""
    if any(name.startswith("events.out.") for name in files):
        for old in folder.glob("events.out.*"):
            old.unlink()
    for name in sorted(files, key=lambda name: (name == "result.json", name)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, files[name])
