"""An exponential moving average of the weights of a network, which is scored and saved in its place."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn


def create_average(model: nn.Module) -> nn.Module:
    """A copy of the network for `update_average`, in eval mode."""
    return copy.deepcopy(model).requires_grad_(False).eval()


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the average towards the network after a step, counted from 0 over the whole training.

    The decay grows as (1 + step) / (10 + step) up to `decay`, so that the random initial weights are soon forgotten.
    The running statistics of batch norms are averaged like weights, and their counters copied.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    means, values, counters = [], [], []
    for mean, value in zip(_tensors(average), _tensors(model), strict=True):
        if value.is_floating_point():
            means.append(mean)
            values.append(value)
        else:
            counters.append((mean, value))
    torch._foreach_lerp_(means, values, weight)  # on a GPU a few kernels, not one for each tensor
    for mean, value in counters:
        mean.copy_(value)


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers, each once, also where layers share one."""
    return itertools.chain(network.parameters(), network.buffers())
