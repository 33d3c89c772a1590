"""What all networks have in common: how they are designed, where head and last stage begin, what is frozen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase

from earmark.models.attention import ATTENTION, create_attention
from earmark.runtime.errors import EarmarkError

PLACEMENTS = ("block", "stage")
ATTENTION_TYPES = tuple(block for block in ATTENTION.values() if isinstance(block, type))


class ModelError(EarmarkError):
    """A network that cannot be made; the message names the setting, its value and the remedy."""


@dataclass(frozen=True)
class ModelOptions:
    """What can be chosen about a network besides its architecture."""

    attention: str = "none"
    placement: str = "block"
    dropout: float = 0.3
    identity_start: bool = False
    """Attention begins as the identity, as weights that will be loaded need it."""
    db_range: tuple[float, float] | None = None
    """The levels in dB that 0 and 1 in an image stand for; None where they differ from clip to clip."""

    def attention_at(self, place: str, channels: int) -> nn.Module:
        """The attention block for a place, `block` or `stage`; the identity where none belongs there."""
        kind = self.attention if place == self.placement else "none"
        return create_attention(kind, channels, identity_start=self.identity_start)


class Network(nn.Module):
    """A classifier of log-mel images: (B, 1, F, T) in [0, 1], row 0 the highest bin, to logits (B, K).

    A subclass names three of its modules. Modules are registered in the order in which data passes them, so that
    everything from one on can be trained and everything before it frozen.
    """

    last_stage: str
    """First module of the last stage; empty where that is not known."""
    head: str
    """First module of what turns features into logits."""
    output: str
    """The last linear layer: it belongs to one set of classes and is never taken from pretrained weights."""
    min_export_frames: int = 33
    """From this many frames on, one exported program takes any length: no feature map is one frame wide."""

    pretrained: frozenset[str] = frozenset()
    """Names of the parameters that came from pretrained weights."""

    def train(self, mode: bool = True) -> Network:
        """Switch to training; batch norms whose weights are frozen stay in eval mode."""
        super().train(mode)
        for norm in self._frozen_norms():
            norm.eval()
        return self

    def _frozen_norms(self) -> Iterator[nn.Module]:
        for module in self.modules():
            if isinstance(module, _NormBase) and module.affine and not module.weight.requires_grad:
                yield module

    def freeze_before(self, module: str) -> None:
        """Freeze every parameter registered before a module, except those of attention blocks."""
        attention = self.attention_names()
        names = [name for name, _ in self.named_parameters()]
        first = next(i for i, name in enumerate(names) if name.startswith(module + "."))
        for name in names[:first]:
            self.get_parameter(name).requires_grad_(name in attention)

    def attention_names(self) -> frozenset[str]:
        """Names of the parameters and buffers of attention blocks."""
        blocks = [(name, block) for name, block in self.named_modules() if isinstance(block, ATTENTION_TYPES)]
        return frozenset(f"{where}.{name}" for where, block in blocks for name in block.state_dict())

    def state_dict_name(self, published: str) -> str:
        """The name in `state_dict` of a tensor in published weights."""
        return published


class GreyNormalise(nn.Module):
    """Images in [0, 1] as networks trained on photographs expect them: the mean of the colours' mean and spread."""

    def __init__(self, mean: float = 0.449, std: float = 0.226) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, image: Tensor) -> Tensor:
        """``(image - mean) / std``, by default ImageNet's."""
        return (image - self.mean) / self.std


def grey_stem(colour: nn.Conv2d) -> nn.Conv2d:
    """A convolution over one channel that answers a grey image as `colour` answers its threefold repetition.

    Its filters are the sums of the colour filters.
    """
    bias = colour.bias is not None
    grey = nn.Conv2d(1, colour.out_channels, colour.kernel_size, colour.stride, colour.padding, bias=bias)
    with torch.no_grad():
        grey.weight.copy_(colour.weight.sum(1, keepdim=True))
        if bias:
            grey.bias.copy_(colour.bias)
    return grey


def pad_with_silence(image: Tensor, smallest: int) -> Tensor:
    """Images (B, 1, F, T) with at least `smallest` bins and frames: zeros on top and behind."""
    bins, frames = (smallest - n if n < smallest else 0 for n in image.shape[2:])
    return F.pad(image, (0, frames, bins, 0))
