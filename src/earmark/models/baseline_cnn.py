"""The baseline: a plain convolutional network, small enough to train on two cores."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from earmark.models.network import ModelOptions, Network


class BaselineCnn(Network):
    """Five stages of two 3x3 convolutions, each at half the resolution and about twice the width of the one before.

    A batch norm normalizes the input per mel bin, so that loud bands do not dominate. The first convolution has stride
    2: at full resolution it would cost as much as the rest of the network. Features are averaged over frequency; over
    time, mean and maximum are added, so that both steady and short sounds count (as in PANNs, Kong et al. 2020).

    Each stage has an attention block: with placement `block` before its pooling, with `stage` after it.
    """

    widths = (24, 48, 96, 192, 320)
    """Channels of the stages."""
    last_stage = "stages.4"
    head = "classifier"
    output = "classifier"

    def __init__(self, n_classes: int, n_mels: int, options: ModelOptions) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(n_mels)
        self.stem = _conv(1, self.widths[0], stride=2)
        steps = pairwise((self.widths[0], *self.widths))
        self.stages = nn.Sequential(*(_stage(*step, options, pooled=step[1] < self.widths[-1]) for step in steps))
        self.dropout = nn.Dropout(options.dropout)
        self.classifier = nn.Linear(self.widths[-1], n_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 1, F, T) in [0, 1]; F and T at least 16."""
        x = self.input_norm(image.transpose(1, 2)).transpose(1, 2)
        x = self.stages(self.stem(x)).mean(dim=2)
        x = x.mean(dim=2) + x.max(dim=2).values  # amax: NaN gradient in bfloat16 under torch.compile
        return self.classifier(self.dropout(x))


class SmallBaselineCnn(BaselineCnn):
    """The same with two thirds of the channels or more, for half of the arithmetic."""

    widths = (16, 32, 64, 128, 256)


def _conv(n_in: int, n_out: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))


def _stage(n_in: int, n_out: int, options: ModelOptions, pooled: bool) -> nn.Sequential:
    # padded 3x3 windows: n becomes ceil(n / 2), so odd sizes lose nothing and one frame stays one frame
    halve = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
    return nn.Sequential(
        _conv(n_in, n_out),
        _conv(n_out, n_out),
        options.attention_at("block", n_out),
        halve if pooled else nn.Identity(),
        options.attention_at("stage", n_out),
    )
