"""Means and maxima over parts of (B, C, H, W), with backward passes that move little memory.

An attention block does little arithmetic: on a CPU its time is the time to read and write feature maps. The stock
operators read and write them more often than needed. In bfloat16 a mean costs 20 times a pooling (it goes through
float32 copies), the gradient of a mean is written out in full before it is added to that of the maps, and the
gradient of a maximum makes several more passes, some of them in the wrong memory order. The functions here do the
same arithmetic with one pass where one is enough; benchmarks/attention.py measures what that brings.

Under `torch.compile` and `torch.export` they are the stock operators, which the compiler fuses itself.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CHANNEL = (1,)
HEIGHT_WIDTH = (2, 3)


def mean_over(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Mean over `dims`, which stay as dimensions of size 1."""
    return _Mean.apply(x, dims) if _records_gradients(x) else x.mean(dims, keepdim=True)


def spatial_mean_max(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and maximum over height and width, both (B, C, 1, 1)."""
    if _records_gradients(x):
        return _SpatialMeanMax.apply(x)
    return x.mean(HEIGHT_WIDTH, keepdim=True), _max(x, HEIGHT_WIDTH)


def channel_mean_max(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and maximum over channels, both (B, 1, H, W)."""
    if _records_gradients(x):
        return _ChannelMeanMax.apply(x)
    return x.mean(1, keepdim=True), _max(x, CHANNEL)


def _records_gradients(x: Tensor) -> bool:
    return x.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_compiling()


def _max(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Compiled, the gradient of `amax` is not a number: it looks for all that equals the maximum, and in bfloat16 the
    compiler compares what it has rounded with what it has not, finds nothing and divides by zero."""
    if not torch.compiler.is_compiling():
        return x.amax(dims, keepdim=True)
    for dim in dims:
        x = x.max(dim, keepdim=True).values
    return x


def _mean(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    if x.dtype != torch.bfloat16 or x.device.type != "cpu":
        return x.mean(dims, keepdim=True)
    if dims == CHANNEL:
        return x.sum(dims, keepdim=True).div_(x.shape[1])
    return F.avg_pool2d(x, [x.shape[d] if d in dims else 1 for d in HEIGHT_WIDTH])


class _Mean(Function):
    """The gradient is the same for all that was averaged: it is returned expanded, not written out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dims: tuple[int, ...]) -> Tensor:
        ctx.shape = x.shape
        return _mean(x, dims)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        n = math.prod(ctx.shape) // grad.numel()
        return (grad / n).expand(ctx.shape), None


class _SpatialMeanMax(Function):
    """The gradient of the maximum goes to the place where it was found, in the buffer of the mean's gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.device.type == "cpu":
            peak, where = F.max_pool2d(x, x.shape[2:], return_indices=True)
        else:
            peak, where = x.flatten(2).max(dim=2, keepdim=True)
        ctx.save_for_backward(x, where.flatten(1))
        return _mean(x, HEIGHT_WIDTH), peak.view(*x.shape[:2], 1, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_mean: Tensor, grad_peak: Tensor) -> Tensor:
        x, where = ctx.saved_tensors
        n_clips, n_channels, height, width = x.shape
        grad = torch.empty_like(x).copy_(grad_mean / (height * width))
        clip = torch.arange(n_clips, device=x.device)[:, None]
        channel = torch.arange(n_channels, device=x.device)
        grad.view(n_clips, n_channels, -1)[clip, channel, where] += grad_peak.flatten(1)
        return grad


class _ChannelMeanMax(Function):
    """Equal maxima, which bfloat16 has many of, share the gradient, as in `Tensor.amax`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        peak = x.amax(1, keepdim=True)
        ctx.save_for_backward(x, peak)
        return _mean(x, CHANNEL), peak

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_mean: Tensor, grad_peak: Tensor) -> Tensor:
        x, peak = ctx.saved_tensors
        grad = torch.eq(x, peak, out=torch.empty_like(x))  # 1 where the maximum is, in the type of x
        share = grad_peak / grad.sum(1, keepdim=True)
        return grad.mul_(share).add_(grad_mean / x.shape[1])
