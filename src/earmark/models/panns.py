"""PANNs: convolutional networks for audio, for which weights trained on AudioSet were published (Kong et al. 2020).

Cnn6, Cnn10 and Cnn14 are plain convolutional networks; MobileNetV1 (Howard et al. 2017) has average pooling in place of
strides. All names in the state dict are the published ones. Published files also hold their front end (a Fourier
transform and mel filters as tensors), which is not loaded: the front end is earmark's, and only the shapes are checked.

The published weights were trained on 10 log10(mel energy), with 1e-10 as the smallest energy and row 0 the lowest bin.
The network converts its input to that, so it must know the levels in dB that 0 and 1 stand for: the front end needs a
fixed reference.

Inside, height is time and width is frequency, as the published kernels have it; attention blocks get the transposed
maps, and so does Grad-CAM. Training has dropout before both linear layers, not between the blocks as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

from earmark.models.network import ModelOptions, Network, pad_with_silence

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)
DEFAULT_DB_RANGE = (-100.0, 35.0)
"""From 10 log10(1e-10) to above full scale; for images of unknown level, which only fresh weights can use."""
SMALLEST = 32
"""Smaller images are padded with silence to this many bins and frames: five times they are halved."""
FRONT_END = {
    "spectrogram_extractor.stft.conv_real.weight": (513, 1, 1024),
    "spectrogram_extractor.stft.conv_imag.weight": (513, 1, 1024),
    "logmel_extractor.melW": (513, 64),
}
"""Tensors of published files that are not loaded, and their shapes at 32 kHz with a window of 1024 samples."""
CNNS: dict[str, tuple[tuple[int, ...], int]] = {
    "cnn6": ((64, 128, 256, 512), 5),
    "cnn10": ((64, 128, 256, 512), 3),
    "cnn14": ((64, 128, 256, 512, 1024, 2048), 3),
}
"""Channels of the blocks and size of the kernels."""
SEPARABLE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
"""Channels and pooling of the depthwise separable blocks of MobileNetV1."""


class Panns(Network):
    """What the networks have in common: normalization, pooling, the two linear layers.

    An embedding is the published one: what the last linear layer takes.
    """

    head = "fc_audioset"
    output = "fc_audioset"
    published_front_end = FRONT_END
    lowest_bin_first = True
    min_export_frames = 2 * SMALLEST

    def __init__(self, n_mels: int, options: ModelOptions) -> None:
        super().__init__()
        self.to_levels = ToLevels(options.db_range or DEFAULT_DB_RANGE)
        self.bn0 = nn.BatchNorm2d(n_mels)

    def add_head(self, width: int, n_classes: int, options: ModelOptions) -> None:
        """The layers after the blocks; a subclass calls it last, so that modules are in forward order."""
        self.to_image = Transpose()
        self.dropout = nn.Dropout(options.dropout)
        self.fc1 = _initialize(nn.Linear(width, width))
        self.fc_audioset = _initialize(nn.Linear(width, n_classes))

    def feature_maps(self, x: Tensor) -> Tensor:
        """Feature maps of levels (B, 1, T, F)."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 1, F, T) in [0, 1]."""
        x = self.to_levels(pad_with_silence(image, SMALLEST))
        x = self.bn0(x.transpose(1, 3)).transpose(1, 3)
        x = self.to_image(self.feature_maps(x)).mean(dim=2)
        x = x.mean(dim=2) + x.max(dim=2).values
        x = F.relu(self.fc1(self.dropout(x)))
        return self.fc_audioset(self.dropout(x))


class PannsCnn(Panns):
    """Cnn6, Cnn10 or Cnn14: blocks of one 5x5 or two 3x3 convolutions, each but the sixth at half the resolution.

    Attention sits in each block before its pooling (placement `block`) or after it (`stage`).
    """

    def __init__(
        self, n_classes: int, n_mels: int, options: ModelOptions, *, channels: Sequence[int], kernel: int
    ) -> None:
        super().__init__(n_mels, options)
        self.n_blocks = len(channels)
        self.last_stage = f"conv_block{self.n_blocks}"
        for i, (n_in, n_out) in enumerate(zip((1, *channels), channels, strict=False), start=1):
            self.add_module(f"conv_block{i}", ConvBlock(n_in, n_out, kernel, 2 if i < 6 else 1, options))
        self.add_head(channels[-1], n_classes, options)

    def feature_maps(self, x: Tensor) -> Tensor:
        """(B, 1, T, F) to (B, C, T', F')."""
        for i in range(1, self.n_blocks + 1):
            x = self.get_submodule(f"conv_block{i}")(x)
        return x


class ConvBlock(nn.Module):
    """Convolutions with batch norms and ReLUs (two of 3x3, one of 5x5), then average pooling."""

    def __init__(self, n_in: int, n_out: int, kernel: int, pool: int, options: ModelOptions) -> None:
        super().__init__()
        self.pool = pool
        self.conv1 = _convolution(n_in, n_out, kernel)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.twice = kernel == 3
        if self.twice:
            self.conv2 = _convolution(n_out, n_out, kernel)
            self.bn2 = nn.BatchNorm2d(n_out)
        self.attention = _transposed(options.attention_at("block", n_out))
        self.attention_after = _transposed(options.attention_at("stage", n_out))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H / pool, W / pool)."""
        x = F.relu(self.bn1(self.conv1(x)))
        if self.twice:
            x = F.relu(self.bn2(self.conv2(x)))
        return self.attention_after(F.avg_pool2d(self.attention(x), self.pool))


class PannsMobileNet(Panns):
    """MobileNetV1: a convolution and 13 depthwise separable ones.

    Attention sits after each separable block (placement `block`), or after the last one of each resolution (`stage`).
    """

    last_stage = "features.12"

    def __init__(self, n_classes: int, n_mels: int, options: ModelOptions) -> None:
        super().__init__(n_mels, options)
        self.features = nn.Sequential(nn.Sequential(*_conv(1, 32, 3, pool=2)))
        pools = [pool for _, pool in SEPARABLE]
        n_in = 32
        for i, (n_out, pool) in enumerate(SEPARABLE):
            block = nn.Sequential(*_conv(n_in, n_in, 3, pool, groups=n_in), *_conv(n_in, n_out, 1))
            ends_stage = i + 1 == len(SEPARABLE) or pools[i + 1] == 2
            block.add_module("attention", _transposed(options.attention_at("block", n_out)))
            kind = options.attention_at("stage", n_out) if ends_stage else nn.Identity()
            block.add_module("attention_after", _transposed(kind))
            self.features.append(block)
            n_in = n_out
        self.add_head(n_in, n_classes, options)

    def feature_maps(self, x: Tensor) -> Tensor:
        """(B, 1, T, F) to (B, C, T / 32, F / 32)."""
        return self.features(x)


class ToLevels(nn.Module):
    """From images (B, 1, F, T) in [0, 1], highest bin first, to levels in dB (B, 1, T, F), lowest bin first."""

    def __init__(self, db_range: tuple[float, float]) -> None:
        super().__init__()
        self.low, self.high = db_range

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, F, T) to (B, 1, T, F)."""
        return image.flip(2).transpose(2, 3) * (self.high - self.low) + self.low


class Transpose(nn.Module):
    """Exchange height and width. A module, so that Grad-CAM finds maps of frequency by time."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, W, H)."""
        return x.transpose(2, 3)


def _transposed(attention: nn.Module) -> nn.Module:
    """An attention block, whose height is frequency, for maps whose height is time."""
    return attention if isinstance(attention, nn.Identity) else nn.Sequential(Transpose(), attention, Transpose())


def _conv(n_in: int, n_out: int, kernel: int, pool: int = 0, groups: int = 1) -> list[nn.Module]:
    """Convolution, pooling (left out with 0), batch norm, ReLU."""
    pooling = [nn.AvgPool2d(pool)] if pool else []
    return [_convolution(n_in, n_out, kernel, groups), *pooling, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]


def _convolution(n_in: int, n_out: int, kernel: int, groups: int = 1) -> nn.Conv2d:
    return _initialize(nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, groups=groups, bias=False))


def _initialize(layer: Layer) -> Layer:
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
