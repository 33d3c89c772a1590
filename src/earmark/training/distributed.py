"""Training one network on several processes, started by torchrun: each computes a fraction of every batch.

All processes draw the same batches and augmentations, and each keeps every `world_size`-th clip of them; gradients and
batch statistics are taken over the whole batch. So training on N processes equals training on one process with the same
batch size, up to rounding (except for dropout and stochastic depth, which are drawn per process).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from earmark.runtime.errors import EarmarkError


class DistributedError(EarmarkError):
    """A training that cannot be divided among these processes."""


@contextmanager
def distributed_session(device_name: str) -> Iterator[str]:
    """Join the processes that torchrun started for the block, which gets the device of this one.

    At the end all processes wait for each other. When the block fails, this process leaves at once, so that torchrun
    can stop the others. Without torchrun (no WORLD_SIZE in the environment) nothing happens.
    """
    device_name = init_distributed(device_name)
    try:
        yield device_name
        if distributed.is_initialized():
            distributed.barrier()
    finally:
        destroy_distributed()


def init_distributed(device_name: str) -> str:
    """Create the process group if torchrun started this process; returns the device of this process."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return device_name
    on_gpu = device_name == "cuda" or (device_name == "auto" and torch.cuda.is_available())
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    return f"cuda:{os.environ['LOCAL_RANK']}" if on_gpu else device_name


def destroy_distributed() -> None:
    """Destroy the process group, if there is one, without waiting for the other processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextmanager
def leader_first() -> Iterator[None]:
    """The block runs in the first process, then in the others, which find the files that it wrote."""
    rank, world = rank_and_world()
    if world > 1 and rank > 0:
        distributed.barrier()
    yield
    if world > 1 and rank == 0:
        distributed.barrier()


def rank_and_world() -> tuple[int, int]:
    """Number of this process, and number of processes; (0, 1) outside torchrun."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def broadcast_decision(decision: bool, device: torch.device) -> bool:
    """The decision of the first process, in all of them; outside torchrun the decision itself."""
    if not distributed.is_initialized():
        return decision
    flag = torch.tensor([decision], dtype=torch.int32, device=device)
    distributed.broadcast(flag, src=0)
    return bool(flag.item())


def average_over_processes(values: Tensor) -> Tensor:
    """The mean of each value over all processes; outside torchrun the values themselves."""
    _, world = rank_and_world()
    total = values.clone(memory_format=torch.contiguous_format)
    if world > 1:
        distributed.all_reduce(total)
    return total / world


def shard(batch: Tensor) -> Tensor:
    """The clips of a batch that this process computes: equally many in each process.

    A batch whose size is no multiple of the number of processes (the training subset is smaller than the batch size)
    loses its last clips.

    Raises:
        DistributedError: there are fewer clips than processes.
    """
    rank, world = rank_and_world()
    if len(batch) < world:
        raise DistributedError(f"a batch of {len(batch)} clips for {world} processes: start fewer processes")
    return batch[: len(batch) // world * world][rank::world]


def wrap_distributed(model: nn.Module, batch_size: int) -> nn.Module:
    """The model with gradients averaged over all processes; the model itself outside torchrun.

    Raises:
        DistributedError: the batch size is no multiple of the number of processes.
    """
    _, world = rank_and_world()
    if world == 1:
        return model
    if batch_size % world:
        raise DistributedError(f"train.batch_size = {batch_size}: give a multiple of the {world} processes")
    replace_batch_norms(model)
    return DistributedDataParallel(model)


def replace_batch_norms(model: nn.Module) -> None:
    """Make the batch norms of a network compute their statistics over all processes.

    Raises:
        DistributedError: one that trains is of an unsupported type.
    """
    for module in model.modules():
        if not isinstance(module, _BatchNorm):
            continue
        usual = module.affine and module.track_running_stats and module.momentum is not None
        if type(module) is nn.BatchNorm2d and usual:
            module.__class__ = GlobalBatchNorm2d
        elif not (module.affine and not module.weight.requires_grad):  # a frozen one stays in eval mode
            norm = f"{type(module).__name__}({module.extra_repr()})"
            raise DistributedError(
                f"this network has batch norms such as {norm}, whose statistics would differ between processes; "
                "train it on one process, or choose another network"
            )


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the batch of all processes (Ioffe and Szegedy 2015), which hold equally many clips.

    The variance is computed around the mean, which loses no digits when the mean is large. PyTorch's SyncBatchNorm
    does the same on GPUs only.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (PyTorch's name)
        """Normalize (B, C, H, W)."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        mean = _GlobalMean.apply(x.mean(dim=(0, 2, 3)))
        centered = x - mean[:, None, None]
        variance = _GlobalMean.apply(centered.square().mean(dim=(0, 2, 3)))
        self._track(mean.detach(), variance.detach(), count=input.numel() // input.shape[1])
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centered * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update the running statistics with the unbiased variance, as PyTorch does."""
        total = count * distributed.get_world_size()
        assert self.running_mean is not None and self.running_var is not None, "its statistics are tracked"
        assert self.num_batches_tracked is not None and self.momentum is not None, "its average is exponential"
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * total / (total - 1), self.momentum)


class _GlobalMean(torch.autograd.Function):
    """The mean of a tensor over all processes. Its gradient is the mean of theirs: each has a loss of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return average_over_processes(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return average_over_processes(grad)
