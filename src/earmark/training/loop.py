"""Training and scoring: `fit`, `train_epoch`, `infer`.

The loop is plain code. `fit` is a generator: its caller writes the checkpoint, the history and the log after each
epoch. All randomness of an epoch comes from (seed, epoch), so a run that is resumed at epoch n gives exactly what an
uninterrupted run gives.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earmark.analysis.metrics import score
from earmark.config.training import AugmentConfig, TrainConfig, steps_per_epoch
from earmark.models.network import average_over_shifts
from earmark.runtime.errors import EarmarkError
from earmark.training.augment import augment_batch
from earmark.training.average import update_average
from earmark.training.batches import Subset, score_batches, train_batches
from earmark.training.devices import exact_float32, to_device, without_autocast
from earmark.training.distributed import average_over_processes, rank_and_world, shard, wrap_distributed
from earmark.training.losses import create_loss
from earmark.training.step import Step, create_step

REMEDY = "give a lower train.lr, or set train.clip_grad_norm = 1.0 or train.precision = 'float32'"
"""Where training has diverged."""


class TrainingError(EarmarkError):
    """Training cannot continue; the message names the epoch and batch, and what to change."""


@dataclass(frozen=True)
class Epoch:
    """Losses and scores of one epoch; `valid_*` are None without a valid subset."""

    epoch: int
    lr: float
    train_loss: float
    valid_loss: float | None
    valid_accuracy: float | None
    valid_uar: float | None
    seconds: float


@dataclass(frozen=True)
class TrainingSetup:
    """Everything that `fit` needs to train one network; the test subset is not part of it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    """From `create_optimizer`; its groups have an `lr_ratio`."""
    train: Subset
    valid: Subset | None
    """Selects the epoch; None: the last epoch is kept."""
    config: TrainConfig
    augment: AugmentConfig
    class_names: tuple[str, ...]
    window_frames: int
    """Length of a training window in frames."""
    seed: int
    """Of batches, augmentation and dropout."""
    first_epoch: int = 1
    """The epoch to start at; above 1, model and optimizer are those of a checkpoint."""
    average: nn.Module | None = None
    """The moving average of the model, from `create_average`, with `ema_decay` only."""

    @property
    def scored(self) -> nn.Module:
        """The network that is scored and saved: the average if there is one, else the model."""
        return self.model if self.average is None else self.average


def create_optimizer(
    model: nn.Module, config: TrainConfig, pretrained_names: frozenset[str] = frozenset()
) -> torch.optim.AdamW:
    """AdamW over the trainable parameters (Loshchilov and Hutter 2019).

    Biases and normalization layers are not decayed; the learning rate of pretrained parameters is multiplied by
    `backbone_lr_ratio`. Each parameter group stores its factor as `lr_ratio`. On a CUDA GPU learning rates are tensors
    on it, so that a recorded step reads them.
    """
    device = next(model.parameters()).device
    on_cuda = device.type == "cuda"
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = config.weight_decay if parameter.ndim >= 2 else 0.0
            ratio = config.backbone_lr_ratio if name in pretrained_names else 1.0
            groups.setdefault((ratio, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": torch.tensor(config.lr * ratio, device=device) if on_cuda else config.lr * ratio,
                "weight_decay": decay,
                "lr_ratio": ratio,
            }
            for (ratio, decay), parameters in groups.items()
        ],
        fused=True,
        capturable=on_cuda,
    )


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Learning rate of a step, counted from 0 over the whole training.

    `one_cycle` is Smith's policy (2018) in the usual form: from lr/25 up to lr over the first 30 % and down towards
    lr/250000, both as a cosine. `cosine` (Loshchilov and Hutter 2017) warms up linearly and falls towards 0. Where they
    end is the rate of the step after the last one.
    """
    n_steps = config.epochs * steps_per_epoch
    if config.schedule == "one_cycle":
        peak = 0.3 * n_steps
        if step < peak:
            return _cosine(config.lr / 25, config.lr, step / peak)
        return _cosine(config.lr, config.lr / 250_000, (step - peak) / max(n_steps - peak, 1))
    warmup = config.warmup_epochs * steps_per_epoch
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return config.lr
    return _cosine(config.lr, 0.0, (step - warmup) / max(n_steps - warmup, 1))


def _cosine(first: float, last: float, progress: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of each parameter group to its `lr_ratio` of `lr`."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr * group["lr_ratio"])
        else:
            group["lr"] = lr * group["lr_ratio"]


def fit(setup: TrainingSetup) -> Iterator[Epoch]:
    """Train, yielding after every epoch.

    Raises:
        TrainingError: the loss or a weight is no longer finite.
    """
    network = wrap_distributed(setup.model, setup.config.batch_size)
    if setup.config.compile:
        network = torch.compile(network)  # type: ignore[assignment]  # of a module, a module; the stub says a function
    step = step_of(setup, network)
    for epoch in range(setup.first_epoch, setup.config.epochs + 1):
        start = time.perf_counter()
        train_loss = train_epoch(step, setup, epoch)
        if epoch == setup.config.epochs:
            _check_weights(setup.scored)
        valid_scores = {} if setup.valid is None else _score_valid(setup, setup.valid)
        yield Epoch(
            epoch=epoch,
            lr=max(float(group["lr"]) for group in setup.optimizer.param_groups),
            train_loss=train_loss,
            valid_loss=valid_scores.get("nll"),
            valid_accuracy=valid_scores.get("accuracy"),
            valid_uar=valid_scores.get("uar"),
            seconds=time.perf_counter() - start,
        )


def _score_valid(setup: TrainingSetup, valid: Subset) -> dict[str, float]:
    logits = infer(setup.scored, valid, setup.window_frames, n_shifts=setup.config.n_shifts)
    probs = logits.softmax(dim=1).numpy()
    return score(probs, valid.targets, setup.class_names)["metrics"]


def step_of(setup: TrainingSetup, network: nn.Module) -> Step:
    """The training step of a setup.

    Args:
        setup: see `TrainingSetup`.
        network: `setup.model`, or a wrapper of it (compiled, distributed).
    """
    counts_K = np.bincount(setup.train.targets, minlength=len(setup.class_names))
    loss_of = create_loss(setup.config, counts_K, next(network.parameters()).device)
    return create_step(network, setup.optimizer, setup.config, loss_of)


def train_epoch(step: Step, setup: TrainingSetup, epoch: int) -> float:
    """One pass over the training clips; returns the mean loss.

    Args:
        step: from `step_of`, the same for all epochs.
        setup: see `TrainingSetup`.
        epoch: from 1.

    Raises:
        TrainingError: the loss of a batch is not finite.
    """
    config = setup.config
    device = next(setup.model.parameters()).device
    generator = np.random.default_rng([setup.seed, epoch])
    rank, _ = rank_and_world()
    torch.manual_seed(int(generator.integers(2**62)) + rank)  # dropout draws from torch's own generator
    n_steps = steps_per_epoch(len(setup.train), config.batch_size)
    setup.model.train()
    losses = []
    batches = train_batches(setup.train, config.batch_size, setup.window_frames, generator, config.sampler)
    for n, (windows, targets) in enumerate(batches, start=(epoch - 1) * n_steps):
        images, target_probs = _augmented(setup, windows, targets, generator, device)
        set_learning_rate(setup.optimizer, learning_rate(config, n, n_steps))
        losses.append(step(images, target_probs))
        if setup.average is not None:
            update_average(setup.average, setup.model, config.ema_decay, n)
    # the first wait for the device in this epoch: its steps are queued without one
    return _mean_loss(average_over_processes(torch.stack(losses)).cpu(), epoch)


def _augmented(
    setup: TrainingSetup, windows: Tensor, targets: Tensor, generator: np.random.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """What this process trains on of a batch: images (B, 1, F, T) and target distributions (B, K) on the device."""
    smooth = _smooth(to_device(targets, device), len(setup.class_names), setup.config.label_smoothing)
    images, target_probs = augment_batch(_as_images(windows, device), smooth, setup.augment, generator)
    return shard(images), shard(target_probs)


def _check_weights(model: nn.Module) -> None:
    """Raise `TrainingError` where the last step has made a weight infinite: no loss would tell."""
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise TrainingError(f"weights {name!r} are not finite after the last epoch: training diverged; {REMEDY}")


def _mean_loss(losses: Tensor, epoch: int) -> float:
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        batch = int(bad[0]) + 1
        raise TrainingError(f"loss = {losses[batch - 1]:g} in epoch {epoch}, batch {batch} of {len(losses)}: {REMEDY}")
    return float(losses.mean())


def _as_images(windows: Tensor, device: torch.device) -> Tensor:
    """uint8 windows as float images in [0, 1] on the device."""
    return to_device(windows, device).to(torch.float32).div_(255)


def _smooth(targets: Tensor, n_classes: int, label_smoothing: float) -> Tensor:
    """(B, K) target distributions (Szegedy et al. 2016)."""
    one_hot = F.one_hot(targets, n_classes).float()
    return one_hot * (1 - label_smoothing) + label_smoothing / n_classes


@torch.inference_mode()
def infer(model: nn.Module, subset: Subset, window_frames: int, batch_size: int = 64, *, n_shifts: int = 1) -> Tensor:
    """Logits (N, K) of the clips of a subset, on the CPU: the mean over the windows that cover a clip.

    With `n_shifts` above 1, each window is scored by `average_over_shifts`.
    In exact float32, so that a clip's logits do not depend on the batch that it is in.
    """
    device = next(model.parameters()).device
    model.eval()
    total, count = None, torch.zeros(len(subset), 1)
    with exact_float32, without_autocast(device):
        for windows, clips in score_batches(subset, batch_size, window_frames):
            logits = average_over_shifts(model, _as_images(windows, device), n_shifts).float().cpu()
            total = torch.zeros(len(subset), logits.shape[1]) if total is None else total
            total.index_add_(0, torch.from_numpy(clips), logits)
            count.index_add_(0, torch.from_numpy(clips), torch.ones(len(clips), 1))
    assert total is not None, "a subset has at least one clip"
    n_bad = int((~total.isfinite().all(dim=1)).sum())
    if n_bad:
        raise TrainingError(f"logits of {n_bad} of {len(subset)} clips are not finite: training diverged; {REMEDY}")
    return total / count
