"""Number of parameters and of multiply-accumulate operations (MACs) of a network."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def count_parameters_and_macs(model: nn.Module, n_mels: int, n_frames: int) -> tuple[int, int]:
    """Number of parameters, and of MACs for one image (1, 1, n_mels, n_frames).

    As is usual, the MACs are those of convolutions and matrix products, without normalization, pooling and elementwise
    operations.
    """
    from torch.utils.flop_counter import FlopCounterMode  # takes a second: it imports the compiler

    training = model.training
    parameter = next(model.parameters())
    image = torch.zeros(1, 1, n_mels, n_frames, dtype=parameter.dtype, device=parameter.device)
    with FlopCounterMode(display=False) as counter:
        model.eval()(image)
    model.train(training)
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2
