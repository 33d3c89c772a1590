"""The runs of a suite on a Ray cluster, whose machines need not share a file with this one.

A worker is sent its job, its share of the images and the run's checkpoints, trains in a temporary folder, and sends
the files of the run back: now and then while it trains, all of them at the end. This machine, the driver, writes them
into the run folder and holds its lock. So a run whose worker or driver dies goes on from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from earmark.config.sections import ConfigError, Options
from earmark.runs.plan import PlannedRun, Recordings, SuitePlan, data_key, load
from earmark.runs.train import BusyError, execute, locked, record_failure, write_description
from earmark.runtime.console import Progress, format_duration
from earmark.runtime.files import atomic_write
from earmark.runtime.memory import keep_freed_memory
from earmark.training.batches import ImageSet, MemoryImages
from earmark.training.loop import select_device

ATTEMPTS = 4
"""A run is given up when this many workers have died of it."""
SEND_SECONDS = 20.0
"""A worker sends the files of an unfinished run at most this often."""
POLL_SECONDS = 0.5
MAX_IN_FLIGHT = 200
"""Runs that are locked and sent at one time; each costs an open file."""
DESCRIPTION = ("config.json", "split.csv", "split.json")
CHECKPOINTS = ("best.safetensors", "last.safetensors")

Files = dict[str, bytes]
"""Contents by path relative to the run folder."""


def check_ray() -> ModuleType:
    """The package, or one line that says how to get it.

    Raises:
        ConfigError: it is not installed.
    """
    # else Ray copies the working directory to every worker when the driver was started by `uv run`
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    # else Ray tries for a quarter of an hour to reach a cluster that has gone
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")
    try:
        import ray
    except ImportError:
        raise ConfigError("executor = 'ray': the package ray is not installed; `pip install ray` gets it") from None
    return ray


def run_on_ray(planned: SuitePlan, options: Options) -> dict[str, str]:
    """Run what is missing on the cluster; a failed run does not stop the others, nor does a worker that dies.

    Returns:
        The reason of failure by run folder name; empty when all are finished.

    Raises:
        ConfigError: there is no ray, no cluster, or the images are too many to be sent.
    """
    if not planned.missing:
        return {}
    with _connected() as ray, contextlib.closing(_Driver(ray, planned, options)) as driver:
        return driver.run()


@contextlib.contextmanager
def _connected() -> Iterator[ModuleType]:
    """Ray, connected to the cluster; a connection that was there stays."""
    ray = check_ray()
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        _check_answers(address)
        ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        found = f"no answer from RAY_ADDRESS={address}" if address else "no cluster found from this machine"
        raise ConfigError(
            f"executor = 'ray': {found} ({str(error).splitlines()[0]}); "
            "start one with `ray start --head`, or set RAY_ADDRESS=host:port of one that runs"
        ) from None
    try:
        yield ray
    except ray.exceptions.RayError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"executor = 'ray': the cluster broke off ({reason}); the same command goes on") from None
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise `OSError` unless a server listens at `host:port` or `ray://host:port`; Ray itself finds out in minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


@dataclass(frozen=True)
class _Flight:
    """A run that is on the cluster, its folder locked by this process."""

    job: PlannedRun
    title: str
    lock: contextlib.ExitStack
    attempt: int = 1


class _Driver:
    """Sends runs, takes in what comes back, and says so."""

    def __init__(self, ray: ModuleType, planned: SuitePlan, options: Options) -> None:
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self._planned, self._options = ray, planned, options
        share = {"num_cpus": options.ray_cpus, "num_gpus": options.ray_gpus}
        self._train = ray.remote(**share, max_retries=0)(train_there)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._news = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        self._shared: dict[str, Any] = {}
        self._flights: dict[Any, _Flight] = {}
        self._failures: dict[str, str] = {}
        self._progress, self._start, self._done = Progress(), time.monotonic(), 0

    def run(self) -> dict[str, str]:
        """Keep the cluster busy until every run is finished, has failed, or is another process's."""
        self._progress.line(_describe(self._ray, self._planned, self._options))
        waiting = enumerate(self._planned.jobs, start=1)
        while True:
            self._launch(waiting)
            if not self._flights:
                return self._failures
            ready, _ = self._ray.wait(list(self._flights), timeout=POLL_SECONDS)
            self._take_news()
            for task in ready:
                self._land(task, self._flights.pop(task))

    def close(self) -> None:
        """Stop what is still on the cluster and let go of its folders."""
        for task, flight in self._flights.items():
            self._ray.cancel(task, force=True)
            flight.lock.close()
        self._news.shutdown(force=True)

    def _launch(self, waiting: Iterator[tuple[int, PlannedRun]]) -> None:
        """Send as many runs as the cluster can train at once, and as many more to follow them."""
        while len(self._flights) < min(max(2 * _n_places(self._ray, self._options), 2), MAX_IN_FLIGHT):
            number, job = next(waiting, (0, None))
            if job is None:
                return
            if job.finished:
                continue
            lock = contextlib.ExitStack()
            job.folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(BusyError):
                lock.enter_context(locked(job.folder))
                if job.finished:
                    lock.close()
                else:
                    self._send(_Flight(job, f"[{number}/{len(self._planned.jobs)}] {job.folder.name}", lock))

    def _send(self, flight: _Flight) -> None:
        job, options = flight.job, self._options
        key = data_key(job.config)
        if key not in self._shared:
            self._shared[key] = self._ray.put(_to_send(job, self._planned.recordings[key]))
        started = {name: (job.folder / name).read_bytes() for name in CHECKPOINTS if (job.folder / name).is_file()}
        device = "cpu" if options.device == "auto" and not options.ray_gpus else options.device
        threads = options.threads or max(int(options.ray_cpus), 1)
        self._flights[self._train.remote(job, self._shared[key], started, threads, device, self._news)] = flight

    def _take_news(self) -> None:
        """Write down and show what the workers have sent since last time."""
        flights = {flight.job.folder: flight for flight in self._flights.values()}
        for folder, text, files in self._news.get_nowait_batch(self._news.qsize()):
            if folder in flights:
                self._write(flights[folder].job, files)
                self._progress.status(f"{flights[folder].title}  {text}")

    def _land(self, task: Any, flight: _Flight) -> None:
        """Take in a run that has ended, or send it again when its worker has died."""
        from ray.exceptions import RayError, RayTaskError

        try:
            files, failure = self._ray.get(task)
            self._write(flight.job, files)
        except (RayTaskError, OSError) as error:  # the worker could not begin, or this disk is full
            failure = record_failure(flight.job.folder, error)
        except RayError as error:
            failure = f"its worker died ({type(error).__name__})"
            if flight.attempt < ATTEMPTS:
                self._progress.line(f"{flight.title}  {failure} and it is sent again")
                self._send(dataclasses.replace(flight, attempt=flight.attempt + 1))
                return
            record_failure(flight.job.folder, error)
        flight.lock.close()
        self._conclude(flight, failure)

    def _write(self, job: PlannedRun, files: Files) -> None:
        """Write what a worker has sent; what describes the run is written here, where its paths are right."""
        if files:
            write_description(job, self._planned.recordings[data_key(job.config)])
        write_files(job.folder, {name: content for name, content in files.items() if name not in DESCRIPTION})

    def _conclude(self, flight: _Flight, failure: str) -> None:
        if failure:
            self._failures[flight.job.folder.name] = failure
            self._progress.line(f"{flight.title}  FAILED: {failure}")
            return
        (flight.job.folder / "error.txt").unlink(missing_ok=True)
        self._done += 1
        n_left = len(self._planned.missing)
        left = (time.monotonic() - self._start) / self._done * n_left
        self._progress.line(f"{flight.title}  done" + (f", about {format_duration(left)} left" if n_left else ""))


def _describe(ray: ModuleType, planned: SuitePlan, options: Options) -> str:
    """What is sent where, in one line."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = (sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU"))
    text = (
        f"Ray: {len(planned.missing)} runs with {options.ray_cpus:g} CPUs and {options.ray_gpus:g} GPUs each; "
        f"{len(nodes)} nodes with {cpus:g} CPUs and {gpus:g} GPUs in all"
    )
    if any(node.get("CPU", 0) >= options.ray_cpus and node.get("GPU", 0) >= options.ray_gpus for node in nodes):
        return text
    return f"{text}; none has as much as a run wants: they wait until one joins (--ray-cpus, --ray-gpus)"


def _n_places(ray: ModuleType, options: Options) -> int:
    """How many runs the cluster can train at once, as it is now."""
    there = ray.cluster_resources()
    wanted = {"CPU": options.ray_cpus, "GPU": options.ray_gpus}
    return min(int(there.get(kind, 0) / share) for kind, share in wanted.items() if share)


def _to_send(job: PlannedRun, recordings: Recordings) -> tuple[Recordings, ImageSet]:
    """What all runs on the same data need: the clips and the decoded images, without the store's files.

    Raises:
        ConfigError: the images are not held in memory.
    """
    images = load(job.config, recordings)
    if not isinstance(images.images, MemoryImages):
        gib = int(images.images.n_frames.sum()) * images.n_mels / 2**30
        raise ConfigError(
            f"data.memory_gib = {job.config.data.memory_gib:g}: with executor = 'ray' workers get the images through "
            f"memory, which takes {gib:.1f} GiB per machine; give as much, or train on this machine"
        )
    return dataclasses.replace(recordings, store=dataclasses.replace(recordings.store, index={})), images


def train_there(
    job: PlannedRun, shared: tuple[Recordings, ImageSet], started: Files, threads: int, device_name: str, news: Any
) -> tuple[Files, str]:
    """What a worker does: `earmark.runs.train.execute` in a temporary folder.

    Args:
        shared: what `ray.put` was given for the data of this run.
        started: checkpoints of an earlier attempt.
        news: queue of (run folder of the driver, status line, files so far).

    Returns:
        The files of the run, and why it failed; empty when it is finished.
    """
    torch.set_num_threads(threads)
    keep_freed_memory()
    recordings, images = shared
    with tempfile.TemporaryDirectory(prefix="earmark-") as parent:
        folder = Path(parent) / job.folder.name
        folder.mkdir()
        write_files(folder, started)
        log = _sending(job.folder, folder, news)
        failure = ""
        try:
            device = select_device(device_name)
            images = dataclasses.replace(images, images=images.images.to(device))
            execute(dataclasses.replace(job, folder=folder), recordings, images, device, log)
        except Exception as error:  # whatever it is must not stop the other runs
            failure = record_failure(folder, error)
        return read_files(folder), failure


def _sending(address: Path, folder: Path, news: Any) -> Callable[[str], None]:
    """A `Log` that sends its lines to the driver, and now and then what is in the folder."""
    sent = -SEND_SECONDS

    def log(text: str) -> None:
        nonlocal sent
        due = time.monotonic() - sent > SEND_SECONDS
        news.put((address, text, read_files(folder, but="events.out.") if due else {}))
        sent = time.monotonic() if due else sent

    return log


def read_files(folder: Path, but: str = "") -> Files:
    """The files of a run, without locks and halves, and without those whose name begins with `but`."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    whole = [path for path in paths if path.suffix != ".tmp" and not (but and path.name.startswith(but))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in whole}


def write_files(folder: Path, files: Files) -> None:
    """Write the files of a run, each whole or not at all, `result.json` last; TensorBoard's replace older ones."""
    if any(name.startswith("events.out.") for name in files):
        for old in folder.glob("events.out.*"):
            old.unlink()
    for name in sorted(files, key=lambda name: (name == "result.json", name)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_bytes(files[name])
