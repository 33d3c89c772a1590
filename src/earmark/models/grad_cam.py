"""Grad-CAM (Selvaraju et al. 2017): which places of a log-mel image support a class, drawn over its spectrogram."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from earmark.models.network import ATTENTION_TYPES
from earmark.runtime.files import atomic_write

COLOR = (0, 229, 255)
"""Cyan, which is not on the palette of spectrograms."""
MAX_OPACITY = 0.65


def grad_cam(model: nn.Module, image_FT: np.ndarray, target: int) -> np.ndarray:
    """How much each place of an image supports a class, from 0 to 1.

    The feature maps are the last ones with a gradient and more than one place, after attention. Each channel is
    weighted by the mean gradient of the class's logit; evidence against the class is ignored.

    Args:
        model: a network in eval mode.
        image_FT: uint8 (F, T).

    Returns:
        float32 (F, T); all 0 if nothing supports the class, or your own network has no such feature maps.
    """
    maps: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.requires_grad and output[0, 0].numel() > 1:
            maps.append(output)

    hooks = [module.register_forward_hook(keep) for module in _layers(model)]
    try:
        device = next(model.parameters()).device
        image = torch.from_numpy(image_FT.astype(np.float32) / 255).to(device)[None, None].requires_grad_()
        with torch.backends.cudnn.flags(enabled=False):  # its recurrent layers have no gradient in eval mode
            logit = model(image)[0, target]
            gradients = torch.autograd.grad(logit, maps[-1], allow_unused=True) if maps else (None,)
    finally:
        for hook in hooks:
            hook.remove()
    gradient = gradients[0]
    if gradient is None:
        return np.zeros(image_FT.shape, np.float32)
    cam = (gradient.mean(dim=(2, 3), keepdim=True) * maps[-1]).sum(dim=1, keepdim=True).relu()
    cam = F.interpolate(cam.detach().float(), size=image_FT.shape, mode="bilinear", align_corners=False)[0, 0]
    cam = cam.flip(0) if getattr(model, "lowest_bin_first", False) else cam
    return (cam / cam.max().clamp_min(1e-12)).cpu().numpy()


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """Modules without submodules, and attention blocks as a whole: the output of a gate inside is no feature map."""
    children = list(module.children())
    if not children or isinstance(module, ATTENTION_TYPES):
        yield module
        return
    for child in children:
        yield from _layers(child)


def write_overlay(path: Path, cam_FT: np.ndarray, picture_FT3: np.ndarray) -> None:
    """Write a PNG of a spectrogram with its Grad-CAM over it.

    Args:
        path: its folder is made if it is missing.
        cam_FT: what `grad_cam` returns; the opacity of the overlay.
        picture_FT3: the colored image, uint8 (F, T, 3).
    """
    opacity = MAX_OPACITY * cam_FT[..., None]
    pixels = np.rint(picture_FT3 * (1 - opacity) + np.array(COLOR) * opacity).astype(np.uint8)
    path.parent.mkdir(exist_ok=True)
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")
