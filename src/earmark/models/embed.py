"""Embeddings: what a network hands to its classifier."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from earmark.models.network import Network


def headless(network: Network) -> nn.Module:
    """A copy of the network in eval mode that maps images (B, 1, F, T) to embeddings (B, D) instead of logits.

    An embedding is the input of the network's head: of the classifier alone, or of the layers that turn pooled
    features into logits where there are several (mn04: 384 values, not the 512 of its hidden layer).
    """
    body = copy.deepcopy(network)
    body.set_submodule(network.head, _Pool())
    return body.eval()


class _Pool(nn.Module):
    """Mean over height and width of feature maps (B, C, H, W), where the head pools by itself."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) or (B, C) to (B, C)."""
        return x.mean(dim=(2, 3)) if x.ndim == 4 else x
