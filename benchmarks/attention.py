"""What attention costs in a training step of ResNet-50: bfloat16, channels_last, images of 128 bins x 431 frames.

    uv run python benchmarks/attention.py                 about five minutes
    uv run python benchmarks/attention.py --device cuda

Every round runs one step of each network in turn. A ratio is the median over the rounds of the step of a network over
that of the plain one in the same round, its noise half of the interquartile range. On a CPU, time is processor time of
one thread. For comparison, some blocks are also measured with `x.mean` and `x.amax` instead of `mean_over` and
`max_over_channels`. Exits with 1 if a ratio is above its target by more than the noise.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import torch
from measure import half_spread, hardware
from torch.nn import functional as F

from earmark.models import attention
from earmark.models.create import create_model

N_CLASSES, N_MELS = 50, 128


@dataclass(frozen=True)
class Variant:
    """A network to measure."""

    attention: str
    placement: str = "block"
    target: float = 0.0
    """The highest ratio allowed; 0 if there is no target."""
    stock: bool = False
    """Means and maxima are `x.mean` and `x.amax`."""

    def __str__(self) -> str:
        if self.attention == "none":
            return "none"
        where = {"block": "inside every block", "stage": "after each stage"}[self.placement]
        return f"{self.attention}, {where}{', x.mean and x.amax' if self.stock else ''}"


STOCK = {
    "mean_over": lambda x, dims: x.mean(dims, keepdim=True),
    "max_over_channels": lambda x: x.amax(1, keepdim=True),
}
PLAIN = Variant("none")
VARIANTS = (
    Variant("se", "block", 1.15),
    Variant("cbam", "block", 1.4),
    Variant("se", "stage", 1.05),
    Variant("cbam", "stage", 1.1),
    Variant("eca", "block"),
    Variant("coordinate", "block"),
    Variant("frequency_se", "block"),
    Variant("se", "block", stock=True),
    Variant("cbam", "block", stock=True),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--frames", type=int, default=431)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    seconds = measure(options)
    return report(seconds, options)


def measure(options: argparse.Namespace) -> dict[Variant, np.ndarray]:
    """Seconds per step of every variant, one per round after a warm-up round."""
    device = torch.device(options.device)
    images = torch.rand(options.batch_size, 1, N_MELS, options.frames, device=device)
    targets = torch.arange(options.batch_size, device=device) % N_CLASSES
    steps = {variant: step_of(variant, images, targets) for variant in (PLAIN, *VARIANTS)}
    seconds: dict[Variant, list[float]] = {variant: [] for variant in steps}
    for round_number in range(options.rounds + 1):
        for variant, step in steps.items():
            taken = seconds_of(step, device)
            if round_number:
                seconds[variant].append(taken)
    return {variant: np.array(taken) for variant, taken in seconds.items()}


def step_of(variant: Variant, images: torch.Tensor, targets: torch.Tensor) -> Callable[[], None]:
    """One training step of the variant's network on the same batch."""
    model = create_model("resnet50", N_CLASSES, N_MELS, attention=variant.attention, placement=variant.placement)
    model = model.to(images.device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        stock = patch.multiple(attention, **STOCK) if variant.stock else nullcontext()
        with stock, torch.autocast(images.device.type, torch.bfloat16):
            logits = model(images)
        F.cross_entropy(logits.float(), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def seconds_of(step: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def report(seconds: dict[Variant, np.ndarray], options: argparse.Namespace) -> int:
    """Print the table; returns 1 when a target is missed by more than the noise."""
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"{options.threads} of {hardware()}"
    print(f"\n{where}, PyTorch {torch.__version__}, batch {options.batch_size}, {options.rounds} rounds\n")
    print("| attention | step | of the plain step | target |\n| --- | --- | --- | --- |")
    missed = False
    for variant, taken in seconds.items():
        ratios = taken / seconds[PLAIN]
        ratio, noise = float(np.median(ratios)), half_spread(ratios)
        too_much = variant.target > 0 and ratio - noise > variant.target
        missed |= too_much
        target = f"{variant.target:g}{' MISSED' if too_much else ''}" if variant.target else ""
        print(f"| {variant} | {1e3 * np.median(taken):.0f} ms | {ratio:.3f} ± {noise:.3f} | {target} |")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
