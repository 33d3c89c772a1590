"""Training and loading against a plain PyTorch loop: samples per second, measured in turn.

    uv run python benchmarks/train_step.py                 about five minutes
    uv run python benchmarks/train_step.py --device cuda
    uv run python benchmarks/train_step.py --compile       also with torch.compile

The plain loop is float32 in PyTorch's default memory layout, over a DataLoader that opens and augments a PNG per item;
earmark's is `train_epoch` over uint8 images in memory. Both train the same network with AdamW on the same images with
the same augmentation (earmark adds mixup). Each side is a process of its own and runs a few steps in turn, so that
neither affects the settings of the other; on a CPU, time is processor time of one thread. Exits with 1 if a target is
missed by more than the noise.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from measure import Row, half_spread, report
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from earmark.config.training import AugmentConfig, TrainConfig
from earmark.datasets.manifest import Clip
from earmark.features.png import encode_png
from earmark.models.create import create_model
from earmark.runtime.memory import keep_freed_memory
from earmark.training.batches import MemoryImages, Subset, train_batches
from earmark.training.loop import TrainingSetup, create_optimizer, step_of, train_epoch

N_CLASSES, N_MELS = 50, 128
TARGETS = {"baseline_cnn": 3.4, "resnet50": 2.4}
LOADER_TARGET = 30.0


class PngDataset(Dataset):
    """One PNG per item, augmented and normalized: what scripts do."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.files[index]) as image:
            tensor = torch.from_numpy(np.array(image.convert("L"))).float().div(255)[None]
        tensor = torch.roll(tensor, random.randrange(tensor.shape[2]), dims=2)
        for _ in range(2):
            height, width = random.randrange(17), random.randrange(tensor.shape[2] // 10)
            top, left = random.randrange(N_MELS - height), random.randrange(tensor.shape[2] - width)
            tensor[:, top : top + height] = tensor.mean()
            tensor[:, :, left : left + width] = tensor.mean()
        return (tensor - 0.5) / 0.5, index % N_CLASSES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="*", default=list(TARGETS), help="also with attention, as resnet50+cbam")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--frames", type=int, default=431)
    parser.add_argument("--steps", type=int, default=3, help="steps of each side in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="also measure torch.compile (needs a C++ compiler)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        options.folder = Path(name)
        write_images(options)
        rows = [
            in_turn(
                f"{model}, training samples/s; plain loop",
                partial(train_earmark, model),
                partial(train_plain, model),
                options,
                TARGETS.get(model, 0.0),
            )
            for model in options.models
        ]
        if options.compile:
            rows += [
                in_turn(
                    f"{model} compiled, training samples/s; not compiled",
                    partial(train_earmark, model, compiled=True),
                    partial(train_earmark, model),
                    options,
                    0.0,
                )
                for model in options.models
            ]
        rows.append(in_turn("loader alone, samples/s; PNG per item", load_earmark, load_plain, options, LOADER_TARGET))
    return report(rows)


def write_images(options: argparse.Namespace) -> None:
    """Write the images of a round: noise, smooth enough to compress like a spectrogram."""
    generator = np.random.default_rng(0)
    for i in range(options.batch_size * options.steps):
        coarse = generator.integers(0, 256, (N_MELS // 2, options.frames // 8), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((options.frames, N_MELS))
        (options.folder / f"{i}.png").write_bytes(encode_png(np.asarray(image)))


Side = Callable[[argparse.Namespace], Iterator[None]]
"""Sets up, then runs the steps of one round for each item."""


def in_turn(what: str, ours: Side, theirs: Side, options: argparse.Namespace, target: float) -> Row:
    """Run two sides in two processes, a round each in turn; the first round is a warm-up."""
    context = multiprocessing.get_context("spawn")
    sides = []
    for side in (ours, theirs):
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(side, options, there), daemon=True)
        process.start()
        sides.append((here, process))
    seconds = np.array([[ask(here) for here, _ in sides] for _ in range(options.rounds + 1)])[1:]
    for here, process in sides:
        here.send(False)
        process.join()
    samples = options.batch_size * options.steps
    fast, slow = samples / np.median(seconds, axis=0)
    ratios = seconds[:, 1] / seconds[:, 0]
    return Row(what, f"{fast:.1f}", f"{slow:.1f}", float(np.median(ratios)), half_spread(ratios), target)


def ask(here: Connection) -> float:
    here.send(True)
    return here.recv()


def serve(side: Side, options: argparse.Namespace, there: Connection) -> None:
    """Send the seconds of one round per request."""
    torch.set_num_threads(options.threads)
    rounds = side(options)
    clock = time.process_time if options.device == "cpu" and options.threads == 1 else time.perf_counter
    while there.recv():
        start = clock()
        next(rounds)
        if options.device != "cpu":
            torch.cuda.synchronize()
        there.send(clock() - start)


def make_model(name: str, n_mels: int = N_MELS) -> nn.Module:
    """`resnet50`, or with attention `resnet50+cbam`."""
    model, _, attention = name.partition("+")
    return create_model(model, N_CLASSES, n_mels, attention=attention or "none")


def train_plain(model_name: str, options: argparse.Namespace) -> Iterator[None]:
    model = make_model(model_name).to(options.device).train()
    optimizer = torch.optim.AdamW(model.parameters())
    for batches in plain_batches(options):
        for images, targets in batches:
            loss = F.cross_entropy(model(images.to(options.device)), targets.to(options.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield


def train_earmark(model_name: str, options: argparse.Namespace, compiled: bool = False) -> Iterator[None]:
    keep_freed_memory()
    model = make_model(model_name).to(options.device, memory_format=torch.channels_last)
    config = TrainConfig(batch_size=options.batch_size)
    setup = TrainingSetup(
        model,
        create_optimizer(model, config),
        train=images_in_memory(options),
        valid=None,
        config=config,
        augment=AugmentConfig(),
        class_names=tuple(map(str, range(N_CLASSES))),
        window_frames=options.frames,
        seed=0,
    )
    step = step_of(setup, torch.compile(model) if compiled else model)
    for epoch in itertools.count(1):
        train_epoch(step, setup, epoch)
        yield


def load_plain(options: argparse.Namespace) -> Iterator[None]:
    for batches in plain_batches(options):
        for _ in batches:
            pass
        yield


def load_earmark(options: argparse.Namespace) -> Iterator[None]:
    keep_freed_memory()
    subset, generator = images_in_memory(options), np.random.default_rng(0)
    while True:
        for _ in train_batches(subset, options.batch_size, options.frames, generator):
            pass
        yield


def plain_batches(options: argparse.Namespace) -> Iterator[DataLoader]:
    loader = DataLoader(PngDataset(sorted(options.folder.glob("*.png"))), options.batch_size, shuffle=True)
    while True:
        yield loader


def images_in_memory(options: argparse.Namespace) -> Subset:
    return subset_of([np.array(Image.open(file)) for file in sorted(options.folder.glob("*.png"))], options.device)


def subset_of(images: list[np.ndarray], device: str) -> Subset:
    """Images on a device with made-up targets."""
    clips = tuple(Clip(str(i), Path(f"{i}.wav"), "label", str(i), 1) for i in range(len(images)))
    numbers = np.arange(len(images))
    return Subset(MemoryImages(images, device), numbers[:, None], numbers % N_CLASSES, clips)


if __name__ == "__main__":
    sys.exit(main())
