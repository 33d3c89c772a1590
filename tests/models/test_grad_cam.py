"""Grad-CAM: it points at what decides, and leaves the network as it was."""

import numpy as np
import torch
from PIL import Image
from torch import nn

from earmark.models.grad_cam import STRONGEST_ALPHA, grad_cam, write_overlay


def detector() -> nn.Module:
    """Class 1 is brightness: the mean of the image after a blur; class 0 is its opposite."""
    blur = nn.Conv2d(1, 1, 4, stride=4, bias=False)
    nn.init.constant_(blur.weight, 1 / 16)
    head = nn.Linear(1, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[-1.0], [1.0]]))
    return nn.Sequential(blur, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()


def test_it_points_at_what_speaks_for_the_class():
    image = np.zeros((16, 32), dtype=np.uint8)
    image[4:8, 20:24] = 255
    cam = grad_cam(detector(), image, target=1)
    assert cam.shape == image.shape
    assert cam.max() == 1
    assert np.unravel_index(cam.argmax(), cam.shape)[0] in range(4, 8)
    assert np.unravel_index(cam.argmax(), cam.shape)[1] in range(20, 24)
    assert cam[12:, :12].max() == 0


def test_what_speaks_against_the_class_is_left_out():
    image = np.full((16, 32), 255, dtype=np.uint8)
    assert grad_cam(detector(), image, target=0).max() == 0


def test_the_network_is_left_as_it_was():
    model = detector()
    grad_cam(model, np.full((16, 32), 7, dtype=np.uint8), target=1)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_overlay_is_as_strong_as_the_map(tmp_path):
    cam = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    write_overlay(tmp_path / "gallery" / "clip.png", cam)
    pixels = np.asarray(Image.open(tmp_path / "gallery" / "clip.png"))
    np.testing.assert_array_equal(pixels[..., 3], np.rint(STRONGEST_ALPHA * cam))
