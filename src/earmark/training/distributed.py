"""One training on several processes, started by torchrun: each computes its share of every batch.

All processes draw the same batches and augmentations and keep every `world`-th clip of them; gradients and batch
statistics are taken over the whole batch. So a training on N processes is that of one process with the same batch size,
to rounding (dropout aside: its masks are drawn per process).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from earmark.runtime.errors import EarmarkError


class DistributedError(EarmarkError):
    """A training that cannot be shared out over these processes."""


def join(device_name: str) -> str:
    """Join the processes that torchrun started, if it did; returns the device of this one.

    Without torchrun (no WORLD_SIZE in the environment) nothing happens.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return device_name
    on_gpu = device_name == "cuda" or (device_name == "auto" and torch.cuda.is_available())
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    return f"cuda:{os.environ['LOCAL_RANK']}" if on_gpu else device_name


@contextlib.contextmanager
def leader_first() -> Iterator[None]:
    """The block runs in the first process, then in the others: what the first one makes, the others find."""
    rank, world = rank_and_world()
    if world > 1 and rank > 0:
        distributed.barrier()
    yield
    if world > 1 and rank == 0:
        distributed.barrier()


def wait_for_all() -> None:
    """Wait until all processes have come here; does nothing outside torchrun."""
    if distributed.is_initialized():
        distributed.barrier()


def destroy_distributed() -> None:
    """Leave the process group, after a failure as well; does nothing outside torchrun."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def rank_and_world() -> tuple[int, int]:
    """Number of this process and number of processes; (0, 1) outside torchrun."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def broadcast_decision(decision: bool, device: torch.device | str = "cpu") -> bool:
    """The decision of the first process, in all of them; outside torchrun the decision itself."""
    if not distributed.is_initialized():
        return decision
    flag = torch.tensor([decision], dtype=torch.int32, device=device)
    distributed.broadcast(flag, src=0)
    return bool(flag.item())


def average_over_processes(values: Tensor) -> Tensor:
    """The mean of each value over all processes; outside torchrun the values themselves."""
    _, world = rank_and_world()
    if world > 1:
        distributed.all_reduce(values)
    return values / world


def shard(batch: Tensor) -> Tensor:
    """This process's share of a batch."""
    rank, world = rank_and_world()
    return batch[rank::world]


def share(model: nn.Module, batch_size: int) -> nn.Module:
    """The model with gradients averaged over all processes; the model itself outside torchrun.

    Raises:
        DistributedError: the batch cannot be shared out evenly.
    """
    _, world = rank_and_world()
    if world == 1:
        return model
    if batch_size % world:
        raise DistributedError(f"train.batch_size = {batch_size}: give a multiple of the {world} processes")
    replace_batch_norms(model)
    return DistributedDataParallel(model, broadcast_buffers=False)


def replace_batch_norms(model: nn.Module) -> None:
    """Make the network's batch norms take their statistics over all processes.

    Raises:
        DistributedError: one that trains is of a kind for which that is not written.
    """
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GlobalBatchNorm2d
        elif isinstance(module, _BatchNorm) and any(p.requires_grad for p in module.parameters()):
            raise DistributedError(
                f"this network has a batch norm of its own kind, {type(module).__name__}, which several processes "
                "would take over their own shares of the batch; train it in one process, or choose another network"
            )


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the batch of all processes (Ioffe and Szegedy 2015); equal shares are assumed.

    PyTorch's SyncBatchNorm does the same on GPUs alone.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (PyTorch's name)
        """Normalise (B, C, H, W)."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        moments = torch.stack([x.mean(dim=(0, 2, 3)), x.square().mean(dim=(0, 2, 3))])
        mean, mean_square = all_reduce(moments) / distributed.get_world_size()
        variance = mean_square - mean.square()
        self._track(mean.detach(), variance.detach(), count=input.numel() // input.shape[1])
        scale = torch.rsqrt(variance + self.eps) * self.weight
        shift = self.bias - mean * scale
        return (x * scale[:, None, None] + shift[:, None, None]).to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update the running statistics with the unbiased variance, as PyTorch does."""
        total = count * distributed.get_world_size()
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * total / (total - 1), self.momentum)
