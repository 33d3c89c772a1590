"""What a training step costs on a GPU, how much of the card it uses, and how much several runs at a time use.

    python benchmarks/gpu_step.py                                  about a minute
    python benchmarks/gpu_step.py --models baseline_cnn resnet50+cbam --processes 1 8

It needs a CUDA GPU and what benchmarks/gpu_suite.py needs; put `src` on PYTHONPATH. The images are noise of the size of
ESC-50's. For each network: images per second of `train_epoch` with its kernels launched one by one, as a CUDA graph
(what earmark does), and with `torch.compile`; the fraction of the card's bfloat16 peak; the fraction of the time in
which the card computes, and in which kernels. Exits with 1 if a step waits for the GPU.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
import time
import warnings
from collections import Counter

import numpy as np
import torch
from gpu_suite import TRAINING_COST, peak_operations
from torch.profiler import ProfilerActivity, profile
from train_step import N_CLASSES, make_model, subset_of

from earmark.config.training import AugmentConfig, TrainConfig
from earmark.models.complexity import count_parameters_and_macs
from earmark.training.loop import TrainingSetup, create_optimizer, step_of, train_epoch
from earmark.training.step import Step

N_MELS, N_FRAMES = 127, 247
CATEGORIES = {
    "convolutions": ("conv", "xmma", "gemm", "cutlass", "wgrad", "dgrad", "fprop", "cudnn_generic", "nhwc_kernel"),
    "batch norm": ("batch_norm", "batchnorm", "bn_"),
    "optimizer": ("multi_tensor", "adam"),
    "copies": ("memcpy", "memset"),
    "reductions": ("reduce", "softmax"),
    "elementwise": ("elementwise", "index", "gather", "pool", "grid_sampl", "distribution", "dropout"),
}
"""Parts of the names of kernels, in the order in which they are tried."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="*", default=["baseline_cnn", "resnet50", "resnet50+se", "resnet50+cbam"])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--clips", type=int, default=1600)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a measurement")
    parser.add_argument("--processes", type=int, nargs="*", default=[], help="how many runs at a time share the card")
    parser.add_argument("--compile", nargs="*", default=[], help="models to measure with torch.compile, too")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("there is no CUDA GPU here")
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, batches of {options.batch_size}\n", flush=True)
    print("| network | way | images/s | of peak |\n| --- | --- | --- | --- |")
    waits = [measure_network(name, options) for name in options.models]
    if options.processes:
        print("\n| network | runs at a time | images/s of all | of one |\n| --- | --- | --- | --- |", flush=True)
        for name, n in itertools.product(options.models, options.processes):
            rate = measure_processes(name, n, options)
            print(f"| {name} | {n} | {rate:.0f} | {rate / n:.0f} |", flush=True)
    return int(any(waits))


def measure_network(name: str, options: argparse.Namespace) -> bool:
    """Print the rows of a network; returns whether one of its steps waits for the GPU."""
    macs = count_parameters_and_macs(make_model(name, N_MELS), N_MELS, N_FRAMES)[1]
    peak = peak_operations(torch.cuda.get_device_name())

    def show(way: str, step: Step, setup: TrainingSetup) -> None:
        rate = images_per_second(step, setup, options)
        fraction = "–" if peak is None else f"{rate * TRAINING_COST * 2 * macs / peak:.1%}"
        print(f"| {name} | {way} | {rate:.0f} | {fraction} |", flush=True)

    setup = make_setup(name, options)
    setup.model.recordable = False
    eager = step_of(setup, setup.model)
    show("kernels launched one by one", eager, setup)
    n_waits = count_waits(eager, setup)
    print(f"| {name} | {where_time_goes(eager, setup)}; waits in an epoch: {n_waits} | | |", flush=True)
    for benchmark in (False, True):
        torch.backends.cudnn.benchmark = benchmark
        setup = make_setup(name, options)
        step = step_of(setup, setup.model)
        show("as a CUDA graph" + (", cudnn.benchmark" if benchmark else ""), step, setup)
        print(f"| {name} | {where_time_goes(step, setup)}; waits: {count_waits(step, setup)} | | |", flush=True)
    torch.backends.cudnn.benchmark = False
    if name in options.compile:
        setup, start = make_setup(name, options), time.perf_counter()
        step = step_of(setup, torch.compile(setup.model))
        train_epoch(step, setup, 1)
        print(f"| {name} | first epoch compiled: {time.perf_counter() - start:.0f} s | | |")
        show("torch.compile", step, setup)
    return n_waits > 1  # for the losses, at its end


def make_setup(name: str, options: argparse.Namespace) -> TrainingSetup:
    torch.manual_seed(0)
    model = make_model(name, N_MELS).to("cuda", memory_format=torch.channels_last)
    config = TrainConfig(batch_size=options.batch_size)
    images = np.random.default_rng(0).integers(0, 256, (options.clips, N_MELS, N_FRAMES), dtype=np.uint8)
    return TrainingSetup(
        model,
        create_optimizer(model, config),
        train=subset_of(list(images), "cuda"),
        valid=None,
        config=config,
        augment=AugmentConfig(),
        class_names=tuple(map(str, range(N_CLASSES))),
        window_frames=N_FRAMES,
        seed=0,
    )


def images_per_second(step: Step, setup: TrainingSetup, options: argparse.Namespace) -> float:
    epochs = itertools.count(1)
    train_epoch(step, setup, next(epochs))
    torch.cuda.synchronize()
    start, n_epochs = time.perf_counter(), 0
    while time.perf_counter() - start < options.seconds:
        train_epoch(step, setup, next(epochs))
        n_epochs += 1
    torch.cuda.synchronize()
    return n_epochs * len(setup.train) / (time.perf_counter() - start)


def count_waits(step: Step, setup: TrainingSetup) -> int:
    """How often an epoch waits for the GPU."""
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train_epoch(step, setup, 1)
    torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(one.message) for one in caught)


def where_time_goes(step: Step, setup: TrainingSetup) -> str:
    """The fraction of an epoch in which the GPU computes, and that of each kind of kernel in it."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        start = time.perf_counter()
        train_epoch(step, setup, 1)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    spent: Counter[str] = Counter()
    for event in profiler.key_averages():
        lowered = event.key.lower()
        kind = next((k for k, parts in CATEGORIES.items() if any(part in lowered for part in parts)), "other")
        spent[kind] += event.self_device_time_total
    for event in sorted(profiler.key_averages(), key=lambda e: -e.self_device_time_total)[:14]:
        print(f"{event.self_device_time_total / 1e3:8.1f} ms {event.count:6d} {event.key[:90]}", file=sys.stderr)
    total = sum(spent.values())
    parts = ", ".join(f"{kind} {value / total:.0%}" for kind, value in spent.most_common())
    return f"GPU busy {total / 1e6 / seconds:.0%}: {parts}"


def measure_processes(name: str, n_processes: int, options: argparse.Namespace) -> float:
    """Images per second of several trainings on one card."""
    context = multiprocessing.get_context("spawn")
    barrier, rates = context.Barrier(n_processes), context.Queue()
    workers = [context.Process(target=train_together, args=(name, options, barrier, rates)) for _ in range(n_processes)]
    for worker in workers:
        worker.start()
    total = sum(rates.get() for _ in workers)
    for worker in workers:
        worker.join()
    return total


def train_together(name: str, options: argparse.Namespace, barrier, rates) -> None:
    torch.set_num_threads(1)
    setup = make_setup(name, options)
    step = step_of(setup, setup.model)
    train_epoch(step, setup, 1)
    torch.cuda.synchronize()
    barrier.wait()
    rates.put(images_per_second(step, setup, options))


if __name__ == "__main__":
    sys.exit(main())
