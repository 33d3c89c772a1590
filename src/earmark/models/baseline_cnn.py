"""The baseline: a plain convolutional network, small enough to be trained on two cores."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from earmark.models.attention import create_attention
from earmark.models.network import Network

WIDTHS = (24, 48, 96, 192, 320)


class BaselineCnn(Network):
    """Five stages of two 3x3 convolutions, each half as large and twice as wide as the one before.

    The input is normalised per mel bin by a batch norm, so that loud bands do not drown the quiet ones. The
    first convolution has stride 2: at full resolution it would cost as much as all the rest. Over frequency,
    features are averaged; over time their mean and their maximum are added, so that both a steady hum and one
    short bark count (as in PANNs, Kong et al. 2020).

    `attention` sits in every stage: with placement `block` behind its convolutions, at full resolution; with
    `stage` behind its pooling.
    """

    def __init__(
        self,
        n_classes: int,
        n_mels: int,
        *,
        attention: str = "none",
        placement: str = "block",
        dropout: float = 0.3,
        identity_start: bool = False,
        widths: tuple[int, ...] = WIDTHS,
    ) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(n_mels)
        self.stem = conv_norm_relu(1, widths[0], stride=2)
        inputs = (widths[0], *widths[:-1])
        self.stages = nn.ModuleList()
        for number, (n_in, n_out) in enumerate(zip(inputs, widths, strict=True), start=1):
            gate = create_attention(attention, n_out, identity_start)
            last = number == len(widths)
            self.stages.append(_stage(n_in, n_out, gate, placement, pool=not last))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], n_classes)
        self.apply(_initialise)

    def head_modules(self) -> list[nn.Module]:
        """The linear classifier."""
        return [self.head]

    def last_stage_modules(self) -> list[nn.Module]:
        """The fifth stage."""
        return [self.stages[-1]]

    def features(self, image: Tensor) -> Tensor:
        """Feature maps (B, 320, F / 32, T / 32) of images (B, 1, F, T)."""
        x = self.input_norm(image.transpose(1, 2)).transpose(1, 2)
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 1, F, T) in [0, 1]; F and T from 16 on."""
        x = self.features(image).mean(dim=2)
        x = x.mean(dim=2) + x.amax(dim=2)
        return self.head(self.dropout(x))


def conv_norm_relu(n_in: int, n_out: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution, a batch norm, a ReLU."""
    conv = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))


def _stage(n_in: int, n_out: int, attention: nn.Module, placement: str, pool: bool) -> nn.Sequential:
    convs = [conv_norm_relu(n_in, n_out), conv_norm_relu(n_out, n_out)]
    # centred 3x3 windows: n becomes ceil(n / 2), so nothing is cut off odd sizes and one frame stays one frame
    halve = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False) if pool else nn.Identity()
    tail = [attention, halve] if placement == "block" else [halve, attention]
    return nn.Sequential(*convs, *tail)


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
