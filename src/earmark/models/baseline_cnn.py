"""The baseline: a plain convolutional network, small enough to be trained on two cores."""

from __future__ import annotations

from torch import Tensor, nn

from earmark.models.network import ModelOptions, Network

WIDTHS = (24, 48, 96, 192, 320)


class BaselineCnn(Network):
    """Five stages of two 3x3 convolutions, each half as large and about twice as wide as the one before.

    The input is normalised per mel bin by a batch norm, so that loud bands do not drown the quiet ones. The first
    convolution has stride 2: at full resolution it would cost as much as all the rest. Over frequency, features
    are averaged; over time their mean and their maximum are added, so that both a steady hum and one short bark
    count (as in PANNs, Kong et al. 2020).

    Attention sits in every stage: with placement `block` behind its convolutions, at full resolution; with `stage`
    behind its pooling.
    """

    last_stage = "stages.4"
    head = "classifier"
    output = "classifier"

    def __init__(self, n_classes: int, n_mels: int, design: ModelOptions) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(n_mels)
        self.stem = _conv(1, WIDTHS[0], stride=2)
        inputs = (WIDTHS[0], *WIDTHS[:-1])
        self.stages = nn.Sequential(*(_stage(n_in, n_out, design) for n_in, n_out in zip(inputs, WIDTHS, strict=True)))
        self.dropout = nn.Dropout(design.dropout)
        self.classifier = nn.Linear(WIDTHS[-1], n_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 1, F, T) in [0, 1]; F and T from 16 on."""
        x = self.input_norm(image.transpose(1, 2)).transpose(1, 2)
        x = self.stages(self.stem(x)).mean(dim=2)
        x = x.mean(dim=2) + x.max(dim=2).values  # amax cannot be compiled, see reductions
        return self.classifier(self.dropout(x))


def _conv(n_in: int, n_out: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))


def _stage(n_in: int, n_out: int, design: ModelOptions) -> nn.Sequential:
    # centred 3x3 windows: n becomes ceil(n / 2), so nothing is cut off odd sizes and one frame stays one frame
    halve = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
    return nn.Sequential(
        _conv(n_in, n_out),
        _conv(n_out, n_out),
        design.attention_at("block", n_out),
        halve if n_out < WIDTHS[-1] else nn.Identity(),
        design.attention_at("stage", n_out),
    )
