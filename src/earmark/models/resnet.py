"""ResNet-50 (He et al. 2016) from torchvision, for grey images, with attention."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from earmark.models.network import GreyNormalise, ModelOptions, Network, grey_stem
from earmark.models.reductions import HEIGHT_WIDTH, mean_over

BLOCKS = [3, 4, 6, 3]


class GatedBottleneck(Bottleneck):
    """torchvision's bottleneck with a place for attention on the residual branch, before the addition."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.attention: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 4 * planes, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.attention(self.bn3(self.conv3(x)))
        return self.relu(x + shortcut)


class ResNet50(Network):
    """ResNet-50 with a one-channel stem; its weights have torchvision's names.

    Attention sits in all 16 blocks before the addition (placement `block`) or behind the four stages (`stage`).
    """

    last_stage = "layer4"
    head = "fc"
    output = "fc"

    def __init__(self, n_classes: int, n_mels: int, design: ModelOptions) -> None:
        super().__init__()
        body = ResNet(GatedBottleneck, BLOCKS, num_classes=n_classes)
        self.normalise = GreyNormalise()
        self.conv1 = grey_stem(body.conv1)
        self.bn1, self.relu, self.maxpool = body.bn1, body.relu, body.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = body.layer1, body.layer2, body.layer3, body.layer4
        self.behind = nn.ModuleList()
        for stage in self.stages():
            for block in stage:  # only now: torchvision initialises all convolutions when the network is complete
                block.attention = design.attention_at("block", block.bn3.num_features)
            self.behind.append(design.attention_at("stage", stage[-1].bn3.num_features))
        self.dropout = nn.Dropout(design.dropout)
        self.fc = body.fc

    def stages(self) -> list[nn.Sequential]:
        """The four stages, each half as large as the one before."""
        return [self.layer1, self.layer2, self.layer3, self.layer4]

    def features(self, image: Tensor) -> Tensor:
        """Feature maps (B, 2048, F / 32, T / 32) of images (B, 1, F, T)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(self.normalise(image)))))
        for stage, attention in zip(self.stages(), self.behind, strict=True):
            x = attention(stage(x))
        return x

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 1, F, T) in [0, 1]."""
        return self.fc(self.dropout(mean_over(self.features(image), HEIGHT_WIDTH).flatten(1)))
