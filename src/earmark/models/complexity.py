"""How large and how costly a network is."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def describe(model: nn.Module, n_mels: int, n_frames: int) -> tuple[int, int]:
    """Number of parameters, and of multiply-adds for one image (1, 1, n_mels, n_frames).

    Multiply-adds are those of convolutions and matrix products, as is usual; normalisation, pooling and
    elementwise operations are not counted.
    """
    from torch.utils.flop_counter import FlopCounterMode  # takes a second: it imports the compiler

    training = model.training
    parameter = next(model.parameters())
    image = torch.zeros(1, 1, n_mels, n_frames, dtype=parameter.dtype, device=parameter.device)
    with FlopCounterMode(display=False) as counter:
        model.eval()(image)
    model.train(training)
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2
