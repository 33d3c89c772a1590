"""Attention blocks: they scale feature maps (B, C, H, W) and keep their shape. Chosen by name from `ATTENTION`.

Every block multiplies its input by one or two gates, and a gate is ``gain * sigmoid(z)`` with z computed from the
input. From scratch the gain is 1, which is the published form.

Inside a pretrained network a new gate would scale the input of the next layers by about 1/2, as sigmoid(0) = 1/2.
With `identity_start` the gain is 2 and the last layer before the sigmoid is initialized to zero, so that z = 0, the
gate is exactly 1 and the output equals the input. The block still trains: d gate / dz = 2 * 1/4, so the last layer has
a gradient from the first step on, and the layers before it from the second. The gate can take any value between 0 and
2. The gain is a buffer, saved with the weights.

Height is frequency and width is time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEIGHT_WIDTH = (2, 3)
CHANNELS_LAST = {1: 3, 2: 1, 3: 2}
"""Dimensions of (B, C, H, W) in (B, H, W, C)."""
MIN_HIDDEN = 8


def hidden_units(channels: int, reduction: int = 16) -> int:
    """Width of a bottleneck; at least 8, as narrower ones are often dead from the start."""
    return max(MIN_HIDDEN, channels // reduction)


def mean_over(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Mean of (B, C, H, W) over `dims`, which keep size 1.

    In bfloat16 on a CPU, `x.mean` takes up to ten times as long, and so does `x.sum` over one of H and W unless the
    channels are the last dimension (benchmarks/attention.py).
    """
    total = x.movedim(1, 3).sum([CHANNELS_LAST[dim] for dim in dims], keepdim=True)
    return total.movedim(3, 1) / math.prod([x.shape[dim] for dim in dims])


def max_over_channels(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, 1, H, W); `amax` is slower, and its gradient is NaN in bfloat16 under torch.compile."""
    return x.movedim(1, 3).max(dim=3).values.unsqueeze(1)


def max_over_positions(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 1, 1); the gradient goes to one of equal maxima."""
    if x.is_cuda:  # where adaptive pooling first copies to the channels-first layout
        return x.movedim(1, 3).flatten(1, 2).max(dim=1).values[:, :, None, None]
    return F.adaptive_max_pool2d(x, 1)


class Gate(nn.Module):
    """The sigmoid at the end of a gate; with `identity_start` its gain is 2 and the layer before it starts at zero."""

    gain: Tensor

    def __init__(self, last: nn.Module, identity_start: bool) -> None:
        super().__init__()
        self.register_buffer("gain", torch.tensor(2.0 if identity_start else 1.0))
        if identity_start:
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, z: Tensor) -> Tensor:
        """``gain * sigmoid(z)``."""
        return torch.sigmoid(z) * self.gain


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018): a gate per channel, from the mean of each channel."""

    def __init__(self, channels: int, identity_start: bool = False, *, hidden: int = 0) -> None:
        super().__init__()
        hidden = hidden or hidden_units(channels)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)
        self.gate = Gate(self.excite, identity_start)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        hidden = F.relu(self.squeeze(mean_over(x, HEIGHT_WIDTH)))
        return x * self.gate(self.excite(hidden))


class Cbam(nn.Module):
    """Convolutional block attention module (Woo et al. 2018): a gate per channel, then one per position.

    The channel gate passes the mean and the maximum of each channel through a shared perceptron; the spatial gate is a
    7x7 convolution over the mean and the maximum of the channels, with a batch norm as in the authors' code.
    """

    def __init__(self, channels: int, identity_start: bool = False, *, hidden: int = 0) -> None:
        super().__init__()
        hidden = hidden or hidden_units(channels)
        self.squeeze = nn.Conv2d(channels, hidden, 1, bias=False)
        self.excite = nn.Conv2d(hidden, channels, 1, bias=False)
        self.channel_gate = Gate(self.excite, identity_start)
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.spatial_norm = nn.BatchNorm2d(1)
        self.spatial_gate = Gate(self.spatial_norm, identity_start)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        mean = mean_over(x, HEIGHT_WIDTH)
        # older ONNX exporters know `amax` alone, whose gradient is shared between equal maxima
        peak = max_over_positions(x) if self.training else x.amax(HEIGHT_WIDTH, keepdim=True)
        x = x * self.channel_gate(self._shared(mean) + self._shared(peak))
        pooled = torch.cat([mean_over(x, (1,)), max_over_channels(x)], dim=1)
        return x * self.spatial_gate(self.spatial_norm(self.spatial(pooled)))

    def _shared(self, pooled: Tensor) -> Tensor:
        return self.excite(F.relu(self.squeeze(pooled)))


class EfficientChannelAttention(nn.Module):
    """ECA (Wang et al. 2020): a gate per channel, from the means of k neighboring channels; k grows with C."""

    def __init__(self, channels: int, identity_start: bool = False) -> None:
        super().__init__()
        k = int((math.log2(channels) + 1) / 2)
        k += k % 2 == 0
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)
        self.gate = Gate(self.conv, identity_start)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        means = mean_over(x, HEIGHT_WIDTH).flatten(2).transpose(1, 2)
        return x * self.gate(self.conv(means)).transpose(1, 2).unsqueeze(3)


class CoordinateAttention(nn.Module):
    """Coordinate attention (Hou et al. 2021): a gate per channel and bin times a gate per channel and frame."""

    def __init__(self, channels: int, identity_start: bool = False, *, hidden: int = 0) -> None:
        super().__init__()
        hidden = hidden or hidden_units(channels, reduction=32)
        self.squeeze = nn.Conv2d(channels, hidden, 1, bias=False)
        self.norm = nn.BatchNorm2d(hidden)
        self.excite_height = nn.Conv2d(hidden, channels, 1)
        self.excite_width = nn.Conv2d(hidden, channels, 1)
        self.height_gate = Gate(self.excite_height, identity_start)
        self.width_gate = Gate(self.excite_width, identity_start)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        height, width = x.shape[2:]
        pooled = torch.cat([mean_over(x, (3,)), mean_over(x, (2,)).transpose(2, 3)], dim=2)
        hidden = F.hardswish(self.norm(self.squeeze(pooled)))
        per_bin, per_frame = hidden.split([height, width], dim=2)
        x = x * self.height_gate(self.excite_height(per_bin))
        return x * self.width_gate(self.excite_width(per_frame.transpose(2, 3)))


class FrequencySqueezeExcite(nn.Module):
    """Squeeze-and-excitation per mel bin: a gate per channel and bin, from the mean over time.

    Based on frequency-wise SE (Thienpondt et al. 2021), which has one gate per bin for all channels. Here the
    excitation is a convolution over three neighboring bins, which makes it independent of the number of bins.
    """

    def __init__(self, channels: int, identity_start: bool = False, *, hidden: int = 0) -> None:
        super().__init__()
        hidden = hidden or hidden_units(channels)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, (3, 1), padding=(1, 0))
        self.gate = Gate(self.excite, identity_start)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, T) to the same shape."""
        hidden = F.relu(self.squeeze(mean_over(x, (3,))))
        return x * self.gate(self.excite(hidden))


class ConstantGate(nn.Module):
    """No attention, but what gates start with from scratch: a factor of 1/2, which stays. A control.

    Inside a residual branch this factor alone changes how a network trains. With `identity_start` it is 1.
    """

    factor: Tensor

    def __init__(self, channels: int, identity_start: bool = False) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(1.0 if identity_start else 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x * self.factor


def _no_attention(channels: int, identity_start: bool) -> nn.Module:
    return nn.Identity()


ATTENTION: dict[str, Callable[[int, bool], nn.Module]] = {
    "none": _no_attention,
    "constant": ConstantGate,
    "se": SqueezeExcite,
    "cbam": Cbam,
    "eca": EfficientChannelAttention,
    "coordinate": CoordinateAttention,
    "frequency_se": FrequencySqueezeExcite,
}


def create_attention(kind: str, channels: int, identity_start: bool = False) -> nn.Module:
    """The block `kind` for `channels` feature maps; with `identity_start` it starts as the identity."""
    return ATTENTION[kind](channels, identity_start)
