"""Where a network looks: Grad-CAM (Selvaraju et al. 2017) as a transparent picture to lay over a log-mel image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from earmark.runtime.files import atomic_write

COLOUR = (255, 90, 0)
STRONGEST_ALPHA = 170


def grad_cam(model: nn.Module, image_FT: np.ndarray, target: int) -> np.ndarray:
    """How much each place of an image speaks for a class, from 0 to 1.

    The maps are those of the last layer that still has places; each channel counts by the mean gradient of the
    class's logit in it, and what speaks against the class is left out.

    Args:
        model: a network in eval mode.
        image_FT: uint8 (F, T).

    Returns:
        float32 (F, T); all 0 where nothing speaks for the class.
    """
    maps: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            maps.append(output)

    hooks = [m.register_forward_hook(keep) for m in model.modules() if not list(m.children())]
    try:
        device = next(model.parameters()).device
        image = torch.from_numpy(image_FT.astype(np.float32) / 255).to(device)[None, None].requires_grad_()
        logit = model(image)[0, target]
        (gradient,) = torch.autograd.grad(logit, maps[-1])
    finally:
        for hook in hooks:
            hook.remove()
    cam = (gradient.mean(dim=(2, 3), keepdim=True) * maps[-1]).sum(dim=1, keepdim=True).relu()
    cam = F.interpolate(cam.detach().float(), size=image_FT.shape, mode="bilinear", align_corners=False)[0, 0]
    return (cam / cam.max().clamp_min(1e-12)).cpu().numpy()


def write_overlay(path: Path, cam_FT: np.ndarray) -> None:
    """Write a Grad-CAM as a transparent PNG of the image's size."""
    pixels = np.empty((*cam_FT.shape, 4), dtype=np.uint8)
    pixels[..., :3] = COLOUR
    pixels[..., 3] = np.rint(STRONGEST_ALPHA * cam_FT)
    path.parent.mkdir(exist_ok=True)
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")
