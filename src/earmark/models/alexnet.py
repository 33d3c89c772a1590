"""AlexNet (Krizhevsky 2014) from torchvision, for grey images, with attention."""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn
from torchvision import models

from earmark.models.network import GreyNormalise, ModelOptions, Network, grey_stem, pad_with_silence

SMALLEST = 96
"""Bins and frames below which images are padded with silence; AlexNet's strides need 63."""
PLACES = {nn.ReLU: "block", nn.MaxPool2d: "stage"}


class AlexNet(Network):
    """AlexNet with a one-channel stem; its weights have torchvision's names.

    Attention sits behind the five convolutions (placement `block`) or behind the three poolings (`stage`). It begins as
    the identity from scratch too: no batch norm here makes up for five gates of a half, one after the other.
    """

    last_stage = "classifier.1"
    head = "classifier.6"
    output = "classifier.6"
    min_export_frames = SMALLEST

    def __init__(self, n_classes: int, n_mels: int, design: ModelOptions) -> None:
        super().__init__()
        body = models.AlexNet(num_classes=n_classes, dropout=design.dropout)
        initialise(body)
        self.normalise = GreyNormalise()
        self.features = body.features
        self.features[0] = grey_stem(body.features[0])
        self.behind = nn.ModuleDict()
        design = dataclasses.replace(design, identity_start=True)
        channels = 1
        for i, layer in enumerate(self.features):
            channels = getattr(layer, "out_channels", channels)
            if type(layer) in PLACES:
                self.behind[str(i)] = design.attention_at(PLACES[type(layer)], channels)
        self.avgpool = body.avgpool
        self.classifier = body.classifier

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 1, F, T) in [0, 1]."""
        x = self.normalise(pad_with_silence(image, SMALLEST))
        for i, layer in enumerate(self.features):
            x = layer(x)
            if str(i) in self.behind:
                x = self.behind[str(i)](x)
        return self.classifier(self.avgpool(x).flatten(1))


def initialise(body: models.AlexNet) -> None:
    """Weights before training by He et al. (2015), all layers but the last.

    PyTorch's default shrinks the signal by 2.4 in each layer. Without batch norms nothing brings it back: eight layers
    on all clips look alike, and hundreds of steps go into undoing that.
    """
    *hidden, _ = [layer for layer in body.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in hidden:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
