"""MobileNetV3 for audio, for which EfficientAT published weights trained on AudioSet (Schmid et al. 2023).

The architecture is MobileNetV3-Large (Howard et al. 2019) for one channel, with squeeze-and-excitation whose gate is
a sigmoid and a head of two linear layers. `mn10` has its width, `mn04` 0.4 of it. The names in the state dict are those
of EfficientAT.

The published weights were trained on (ln(mel energy + 1e-5) + 4.5) / 5 with row 0 the lowest bin. The network converts
its input to that, so it must know the levels in dB that 0 and 1 stand for: the front end needs a fixed reference.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.mobilenetv3 import InvertedResidual, InvertedResidualConfig
from torchvision.ops import stochastic_depth
from torchvision.ops.misc import Conv2dNormActivation

from earmark.models.attention import HEIGHT_WIDTH, mean_over
from earmark.models.network import ModelOptions, Network

DEFAULT_DB_RANGE = (-50.0, 40.0)
"""From ln(1e-5) to about full scale; for images of unknown level, which only fresh weights can use."""


class Row(NamedTuple):
    """One block in table 1 of Howard et al. (2019)."""

    kernel: int
    expanded: int
    n_out: int
    squeeze: bool
    activation: str
    stride: int


STEM_CHANNELS = 16
HIDDEN = 1280
TABLE = (
    Row(3, 16, 16, False, "RE", 1),
    Row(3, 64, 24, False, "RE", 2),
    Row(3, 72, 24, False, "RE", 1),
    Row(5, 72, 40, True, "RE", 2),
    Row(5, 120, 40, True, "RE", 1),
    Row(5, 120, 40, True, "RE", 1),
    Row(3, 240, 80, False, "HS", 2),
    Row(3, 200, 80, False, "HS", 1),
    Row(3, 184, 80, False, "HS", 1),
    Row(3, 184, 80, False, "HS", 1),
    Row(3, 480, 112, True, "HS", 1),
    Row(3, 672, 112, True, "HS", 1),
    Row(5, 672, 160, True, "HS", 2),
    Row(5, 960, 160, True, "HS", 1),
    Row(5, 960, 160, True, "HS", 1),
)
NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)


class MobileNetAudio(Network):
    """MobileNetV3 of a given width with EfficientAT's names.

    Attention sits in every block before the addition (placement `block`), beside the network's own
    squeeze-and-excitation, or after the last block of each resolution (`stage`).
    """

    last_stage = "features.13"
    head = "classifier"
    output = "classifier.5"
    has_residual_blocks = True
    lowest_bin_first = True

    def __init__(self, n_classes: int, n_mels: int, options: ModelOptions, *, width: float) -> None:
        super().__init__()
        configs = block_configs(width)
        rates = [options.drop_rate(i, len(configs)) for i in range(1, len(configs) + 1)]
        blocks = [GatedResidual(config, options, rate) for config, rate in zip(configs, rates, strict=True)]
        stem = _conv(1, blocks[0].block[0][0].in_channels, kernel_size=3, stride=2)
        n_last = blocks[-1].out_channels
        self.normalize = LogMelNormalize(options.db_range or DEFAULT_DB_RANGE)
        self.features = nn.Sequential(stem, *blocks, _conv(n_last, 6 * n_last, kernel_size=1))
        self.attention_after = nn.ModuleDict(
            {str(i): options.attention_at("stage", blocks[i - 1].out_channels) for i in stage_ends()}
        )
        hidden = InvertedResidualConfig.adjust_channels(HIDDEN, width)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(1),
            nn.Linear(6 * n_last, hidden),
            nn.Hardswish(inplace=True),
            nn.Dropout(options.dropout),
            nn.Linear(hidden, n_classes),
        ).apply(_initialize)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 1, F, T) in [0, 1]."""
        x = self.normalize(image)
        for i, layer in enumerate(self.features):
            x = layer(x)
            if str(i) in self.attention_after:
                x = self.attention_after[str(i)](x)
        return self.classifier(x)


class LogMelNormalize(nn.Module):
    """From an image in [0, 1], highest bin first, to (ln(energy) + 4.5) / 5, lowest bin first."""

    def __init__(self, db_range: tuple[float, float]) -> None:
        super().__init__()
        low, high = (decibel * math.log(10) / 10 for decibel in db_range)
        self.scale = (high - low) / 5
        self.shift = (low + 4.5) / 5

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, F, T) to the same shape."""
        return image.flip(2) * self.scale + self.shift


class GatedResidual(InvertedResidual):
    """torchvision's inverted residual with an attention block before the addition."""

    def __init__(self, config: InvertedResidualConfig, options: ModelOptions, drop_rate: float = 0.0) -> None:
        super().__init__(config, NORM, LinearSqueezeExcite)
        self.drop_rate = drop_rate
        self.apply(_initialize)
        self.attention = options.attention_at("block", config.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H / stride, W / stride)."""
        y = self.attention(self.block(x))
        if not self.use_res_connect:
            return y
        return x + (stochastic_depth(y, self.drop_rate, "row", self.training) if self.drop_rate else y)


class LinearSqueezeExcite(nn.Module):
    """Squeeze-and-excitation by linear layers, with EfficientAT's parameter names."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        layers = {"fc1": nn.Linear(channels, hidden), "fc2": nn.Linear(hidden, channels)}
        self.conc_se_layers = nn.ModuleList([nn.ModuleDict(layers)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        layers = self.conc_se_layers[0]
        assert isinstance(layers, nn.ModuleDict)
        hidden = torch.relu(layers["fc1"](mean_over(x, HEIGHT_WIDTH).flatten(1)))
        return x * torch.sigmoid(layers["fc2"](hidden))[:, :, None, None]


def block_configs(width: float) -> list[InvertedResidualConfig]:
    """The blocks of the table at a width, channels rounded to multiples of 8."""
    inputs = (STEM_CHANNELS, *(row.n_out for row in TABLE))
    return [
        InvertedResidualConfig(n_in, r.kernel, r.expanded, r.n_out, r.squeeze, r.activation, r.stride, 1, width)
        for n_in, r in zip(inputs, TABLE, strict=False)
    ]


def stage_ends() -> list[int]:
    """Indices into `features` of the last block of each resolution."""
    last = len(TABLE)
    return [i for i in range(1, last + 1) if i == last or TABLE[i].stride == 2]


def _conv(n_in: int, n_out: int, **kwargs: Any) -> Conv2dNormActivation:
    layers = Conv2dNormActivation(n_in, n_out, norm_layer=NORM, activation_layer=nn.Hardswish, **kwargs)
    return layers.apply(_initialize)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias)
