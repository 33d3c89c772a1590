"""AlexNet (Krizhevsky 2014) from torchvision, for gray images, with attention."""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn
from torchvision import models

from earmark.models.network import GrayNormalize, ModelOptions, Network, gray_stem, pad_with_silence

SMALLEST = 96
"""Smaller images are padded with silence to this many bins and frames; AlexNet's strides need 63."""
PLACEMENT_AFTER = {nn.ReLU: "block", nn.MaxPool2d: "stage"}


class AlexNet(Network):
    """AlexNet with a one-channel stem; its weights have torchvision's names.

    Attention follows the five convolutions (placement `block`) or the three poolings (`stage`). It starts as the
    identity from scratch too: there is no batch norm to undo five gates of 1/2 in a row.
    """

    last_stage = "classifier.1"
    head = "classifier.6"
    output = "classifier.6"
    min_export_frames = SMALLEST

    def __init__(self, n_classes: int, n_mels: int, options: ModelOptions) -> None:
        super().__init__()
        body = models.AlexNet(num_classes=n_classes, dropout=options.dropout)
        initialize(body)
        self.normalize = GrayNormalize()
        self.features = body.features
        self.features[0] = gray_stem(body.features[0])
        self.attention_after = nn.ModuleDict()
        options = dataclasses.replace(options, identity_start=True)
        channels = 1
        for i, layer in enumerate(self.features):
            channels = getattr(layer, "out_channels", channels)
            if type(layer) in PLACEMENT_AFTER:
                self.attention_after[str(i)] = options.attention_at(PLACEMENT_AFTER[type(layer)], channels)
        self.avgpool = body.avgpool
        self.classifier = body.classifier

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 1, F, T) in [0, 1]."""
        x = self.normalize(pad_with_silence(image, SMALLEST))
        for i, layer in enumerate(self.features):
            x = layer(x)
            if str(i) in self.attention_after:
                x = self.attention_after[str(i)](x)
        return self.classifier(self.avgpool(x).flatten(1))


def initialize(body: models.AlexNet) -> None:
    """Initialize all layers but the last as in He et al. (2015).

    PyTorch's default shrinks the signal by a factor of 2.4 per layer, and there are no batch norms to rescale it: after
    eight layers all clips have nearly the same features, and the first hundreds of steps only undo that.
    """
    *hidden, _ = [layer for layer in body.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in hidden:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
