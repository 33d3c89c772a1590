"""Attention blocks that keep the shape of (B, C, H, W), chosen by name from `ATTENTION`."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

ATTENTION: dict[str, Callable[[int, bool], nn.Module]] = {
    "none": lambda channels, identity_start: nn.Identity(),
}


def create_attention(kind: str, channels: int, identity_start: bool = False) -> nn.Module:
    """The block `kind` for `channels` feature maps; with `identity_start` it begins as the identity."""
    return ATTENTION[kind](channels, identity_start)
