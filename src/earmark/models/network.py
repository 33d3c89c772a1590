"""What all networks have in common: a head, a last stage, and layers that can be frozen."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


class Network(nn.Module):
    """A classifier of log-mel images: (B, 1, F, T) in [0, 1], row 0 the highest bin, to logits (B, K).

    A subclass says in `head_modules` and `last_stage_modules` what `train="head"` and `"last_stage"` mean.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pretrained: frozenset[str] = frozenset()

    def head_modules(self) -> list[nn.Module]:
        """What turns features into logits; made anew for each set of classes."""
        raise NotImplementedError

    def last_stage_modules(self) -> list[nn.Module]:
        """The layers in front of the head that depend most on the task."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 1, F, T)."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Network:
        """Switch to training; batch norms whose weights are frozen stay in eval mode."""
        super().train(mode)
        for norm in self._frozen_norms():
            norm.eval()
        return self

    def _frozen_norms(self) -> Iterator[nn.Module]:
        for module in self.modules():
            if isinstance(module, _NormBase) and module.affine and not module.weight.requires_grad:
                yield module
