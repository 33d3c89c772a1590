"""ResNet-50 (He et al. 2016) from torchvision, for gray images, with attention."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops import stochastic_depth

from earmark.models.attention import HEIGHT_WIDTH, mean_over
from earmark.models.network import GrayNormalize, ModelOptions, Network, gray_stem

BLOCKS = [3, 4, 6, 3]


class GatedBottleneck(Bottleneck):
    """torchvision's bottleneck with attention on the residual branch, before the addition."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.attention: nn.Module = nn.Identity()
        self.drop_rate = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 4 * planes, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.attention(self.bn3(self.conv3(x)))
        if self.drop_rate:
            x = stochastic_depth(x, self.drop_rate, "row", self.training)
        return self.relu(x + shortcut)


class ResNet50(Network):
    """ResNet-50 with a one-channel stem; its weights have torchvision's names.

    Attention is in all 16 blocks before the addition (placement `block`) or after the four stages (`stage`).
    """

    last_stage = "layer4"
    head = "fc"
    output = "fc"
    has_residual_blocks = True

    def __init__(self, n_classes: int, n_mels: int, options: ModelOptions) -> None:
        super().__init__()
        body = ResNet(GatedBottleneck, BLOCKS, num_classes=n_classes)
        self.normalize = GrayNormalize()
        self.conv1 = gray_stem(body.conv1)
        self.bn1, self.relu, self.maxpool = body.bn1, body.relu, body.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = body.layer1, body.layer2, body.layer3, body.layer4
        self.attention_after = nn.ModuleList()
        n_blocks = 0
        for stage in self.stages():
            blocks = [block for block in stage if isinstance(block, GatedBottleneck)]
            for block in blocks:  # not in its __init__: ResNet's constructor initializes all convolutions
                n_blocks += 1
                block.attention = options.attention_at("block", block.bn3.num_features)
                block.drop_rate = options.drop_rate(n_blocks, sum(BLOCKS))
            self.attention_after.append(options.attention_at("stage", blocks[-1].bn3.num_features))
        self.dropout = nn.Dropout(options.dropout)
        self.fc = body.fc

    def stages(self) -> list[nn.Sequential]:
        """The four stages, each at half the resolution of the one before."""
        return [self.layer1, self.layer2, self.layer3, self.layer4]

    def features(self, image: Tensor) -> Tensor:
        """Feature maps (B, 2048, F / 32, T / 32) of images (B, 1, F, T)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(self.normalize(image)))))
        for stage, attention in zip(self.stages(), self.attention_after, strict=True):
            x = attention(stage(x))
        return x

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 1, F, T) in [0, 1]."""
        return self.fc(self.dropout(mean_over(self.features(image), HEIGHT_WIDTH).flatten(1)))
