"""What all networks have in common: their options, where head and last stage begin, what is frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase

from earmark.models.attention import ATTENTION, create_attention
from earmark.runtime.errors import EarmarkError

PLACEMENTS = ("block", "stage")
ATTENTION_TYPES: tuple[type[nn.Module], ...] = tuple(block for block in ATTENTION.values() if isinstance(block, type))


class ModelError(EarmarkError):
    """A network that cannot be created; the message names the setting, its value and the remedy."""


@dataclass(frozen=True)
class ModelOptions:
    """Options of a network besides its architecture."""

    attention: str = "none"
    placement: str = "block"
    dropout: float = 0.3
    identity_start: bool = False
    """Attention starts as the identity; for networks that load pretrained weights."""
    db_range: tuple[float, float] | None = None
    """The levels in dB that 0 and 1 in an image stand for; None if they differ between clips."""
    stochastic_depth: float = 0.0
    """Probability that training drops the last residual block of an image."""

    def attention_at(self, place: str, channels: int) -> nn.Module:
        """The attention block for `place` (`block` or `stage`); the identity if the placement is another."""
        kind = self.attention if place == self.placement else "none"
        return create_attention(kind, channels, identity_start=self.identity_start)

    def drop_rate(self, block: int, n_blocks: int) -> float:
        """Of a residual block, counted from 1: it grows linearly with the depth (Huang et al. 2016)."""
        return self.stochastic_depth * block / n_blocks


class Network(nn.Module):
    """A classifier of log-mel images: (B, 1, F, T) in [0, 1], row 0 the highest bin, to logits (B, K).

    A subclass names three of its modules. Modules are registered in forward order, so that all parameters before a
    module can be frozen.
    """

    last_stage: str
    """First module of the last stage; empty if unknown."""
    head: str
    """First module of the classifier, which maps features to logits."""
    output: str
    """The last linear layer, which depends on the classes and is never loaded from pretrained weights."""
    min_export_frames: int = 33
    """The exported program takes any length from this many frames on: no feature map is one frame wide."""

    has_residual_blocks: bool = False
    """Whether stochastic depth has blocks to drop."""

    lowest_bin_first: bool = False
    """Whether row 0 of the feature maps is the lowest bin, other than in images."""

    recordable: bool = True
    """Whether a training step can be a CUDA graph: it does the same each time, and all its randomness is PyTorch's."""

    published_front_end: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    """Tensors of a front end in published weights, and their shapes; they are not loaded."""

    pretrained: frozenset[str] = frozenset()
    """Names of the parameters that were loaded from pretrained weights."""

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
        """Freeze every parameter registered before a module, except those of attention blocks.

        Raises:
            ModelError: the module has no parameters.
        """
        attention = self.attention_names()
        names = [name for name, _ in self.named_parameters()]
        first = next((i for i, name in enumerate(names) if name.startswith(module + ".")), None)
        if first is None:
            raise ModelError(f"model.train: layer {module!r} of this network has no parameters to train; give 'all'")
        for name in names[:first]:
            self.get_parameter(name).requires_grad_(name in attention)

    def attention_names(self) -> frozenset[str]:
        """Names of the parameters and buffers of attention blocks."""
        blocks = [(name, block) for name, block in self.named_modules() if isinstance(block, ATTENTION_TYPES)]
        return frozenset(f"{where}.{name}" for where, block in blocks for name in block.state_dict())

    def state_dict_name(self, published: str) -> str:
        """The name in `state_dict` of a tensor in published weights."""
        return published


def average_over_shifts(network: Callable[[Tensor], Tensor], images_BCFT: Tensor, n_shifts: int) -> Tensor:
    """The mean output of a network over evenly spaced circular shifts of images along time."""
    if n_shifts == 1:
        return network(images_BCFT)
    shifts = [i * images_BCFT.shape[-1] // n_shifts for i in range(n_shifts)]
    return torch.stack([network(images_BCFT.roll(shift, dims=3)) for shift in shifts]).mean(dim=0)


class GrayNormalize(nn.Module):
    """Normalize images in [0, 1] for networks pretrained on photographs: mean and std are averages over the colors."""

    def __init__(self, mean: float = 0.449, std: float = 0.226) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, image: Tensor) -> Tensor:
        """``(image - mean) / std``, by default ImageNet's."""
        return (image - self.mean) / self.std


def gray_stem(color: nn.Conv2d) -> nn.Conv2d:
    """A convolution over one channel with the output of `color` for the image repeated in all three channels.

    Its filters are the sums of the color filters.
    """
    gray = nn.Conv2d(
        1,
        color.out_channels,
        color.kernel_size,  # type: ignore[arg-type]  # a pair; the stub says a tuple of any length
        color.stride,  # type: ignore[arg-type]
        color.padding,  # type: ignore[arg-type]
        bias=color.bias is not None,
    )
    with torch.no_grad():
        gray.weight.copy_(color.weight.sum(1, keepdim=True))
        if gray.bias is not None and color.bias is not None:
            gray.bias.copy_(color.bias)
    return gray


def pad_with_silence(image: Tensor, smallest: int) -> Tensor:
    """Images (B, 1, F, T) padded to at least `smallest` bins and frames: zeros on top and at the end."""
    bins, frames = (smallest - n if n < smallest else 0 for n in image.shape[2:])
    return F.pad(image, (0, frames, bins, 0))
