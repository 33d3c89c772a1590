"""Variants x folds x seeds to runs: runs what is missing.

Every worker walks the same list and takes the runs that are neither finished nor locked by another, so that two
processes, or two terminals, share the work without a queue. Data are loaded once per worker, not once per run.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import torch

from earmark.config.sections import ConfigError, Options
from earmark.config.suite import RunConfig, SuiteConfig, unequal_budgets
from earmark.datasets.read import read_dataset
from earmark.runs.plan import PlannedRun, Recordings, SuitePlan, data_key, load, plan, prepare
from earmark.runs.ray_executor import check_ray, run_on_ray
from earmark.runs.train import BusyError, execute, follow, record_failure
from earmark.runtime.console import Progress, format_duration
from earmark.runtime.memory import keep_freed_memory
from earmark.splits.make import fold_numbers
from earmark.training.batches import ImageSet
from earmark.training.distributed import rank_and_world
from earmark.training.loop import select_device


def plan_suite(suite: SuiteConfig, options: Options) -> SuitePlan:
    """Make what the runs need (manifest, spectrograms, splits) and name every run; trains nothing.

    Raises:
        ValueError: the data, a setting or a split cannot be used, or the budgets of the variants differ.
    """
    if options.executor == "ray":
        check_ray()
    clips = read_dataset(suite.data)
    configs = suite.runs(fold_numbers(clips, suite.split))
    check_budgets(configs, options.allow_unequal_budget)
    recordings: dict[str, Recordings] = {}
    for config in configs:
        if data_key(config) not in recordings:
            recordings[data_key(config)] = prepare(config, clips, options.work)
    jobs = [plan(c, recordings[data_key(c)], options.runs, options.allow_leakage) for c in configs]
    return SuitePlan(tuple(jobs), recordings)


def check_budgets(configs: Sequence[RunConfig], allow: bool) -> None:
    """Raise `ConfigError` when the variants do not have the same budget, unless `allow`."""
    unequal = unequal_budgets(configs)
    if unequal and not allow:
        raise ConfigError(
            f"variants differ in {', '.join(unequal)}: they would not compare networks; "
            "make them equal or give --allow-unequal-budget"
        )


def run_suite(planned: SuitePlan, options: Options) -> dict[str, str]:
    """Run what is missing; a failed run does not stop the others.

    Returns:
        The reason of failure by run folder name; empty when all are finished, or left to another process.
    """
    if options.executor == "ray":
        return run_on_ray(planned, options)
    if options.jobs <= 1 or len(planned.missing) <= 1:
        return work_through(planned, options, n_workers=1)
    failures: dict[str, str] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        workers = [
            pool.submit(work_through, planned, on_device(options, i), n_workers=options.jobs)
            for i in range(options.jobs)
        ]
        for worker in workers:
            try:
                failures |= worker.result()
            except BrokenProcessPool:
                failures |= {j.folder.name: "its process died (out of memory?)" for j in planned.missing}
    finished = {job.folder.name for job in planned.jobs if job.finished}  # by another worker, after one had failed
    return {name: reason for name, reason in failures.items() if name not in finished}


def on_device(options: Options, worker: int) -> Options:
    """The options of one of several workers: where there are several GPUs, each worker has its own."""
    if options.device == "auto" and torch.cuda.device_count() > 1:
        return dataclasses.replace(options, device=f"cuda:{worker % torch.cuda.device_count()}")
    return options


def work_through(planned: SuitePlan, options: Options, n_workers: int) -> dict[str, str]:
    """Take one run after the other that nobody else has taken."""
    torch.set_num_threads(options.threads or max((os.cpu_count() or 1) // n_workers, 1))
    keep_freed_memory()
    device = select_device(options.device)
    images: dict[str, ImageSet] = {}
    progress, failures, start, done = Progress(), {}, time.monotonic(), 0
    for number, job in enumerate(planned.jobs, start=1):
        if job.finished:
            continue
        title = f"[{number}/{len(planned.jobs)}] {job.folder.name}"
        try:
            _run_one(job, planned, images, device, lambda text, title=title: progress.status(f"{title}  {text}"))
        except BusyError:
            continue
        except Exception as error:  # a library's mistake in one run must not cost the others
            failures[job.folder.name] = record_failure(job.folder, error)
            progress.line(f"{title}  FAILED: {failures[job.folder.name]}")
            continue
        done += 1
        left = (time.monotonic() - start) / done * len(planned.missing) / n_workers
        progress.line(f"{title}  done" + (f", about {format_duration(left)} left" if planned.missing else ""))
    return failures


def _run_one(job: PlannedRun, planned: SuitePlan, images: dict[str, ImageSet], device: torch.device, log) -> None:
    key = data_key(job.config)
    if key not in images:
        images[key] = load(job.config, planned.recordings[key], device)
    if rank_and_world()[0] > 0:
        follow(job, planned.recordings[key], images[key], device)
        return
    execute(job, planned.recordings[key], images[key], device, log)
