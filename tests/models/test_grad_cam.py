"""Grad-CAM: against its definition, on a network whose decision is known, and without side effects."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from earmark.features.palette import palette
from earmark.models.attention import ATTENTION
from earmark.models.create import create_model
from earmark.models.grad_cam import COLOR, MAX_OPACITY, grad_cam, write_overlay


def detector() -> nn.Module:
    """Class 1 is brightness: the mean of the image after a blur; class 0 is its opposite."""
    blur = nn.Conv2d(1, 1, 4, stride=4, bias=False)
    nn.init.constant_(blur.weight, 1 / 16)
    head = nn.Linear(1, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[-1.0], [1.0]]))
    return nn.Sequential(blur, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()


def test_it_highlights_what_supports_the_class():
    image = np.zeros((16, 32), dtype=np.uint8)
    image[4:8, 20:24] = 255
    cam = grad_cam(detector(), image, target=1)
    assert cam.shape == image.shape
    assert cam.max() == 1
    assert np.unravel_index(cam.argmax(), cam.shape)[0] in range(4, 8)
    assert np.unravel_index(cam.argmax(), cam.shape)[1] in range(20, 24)
    assert cam[12:, :12].max() == 0


@pytest.mark.parametrize("attention", ATTENTION)
def test_it_explains_the_features_after_attention(attention):
    """The definition, on the output of the last stage: not on a gate inside an attention block."""
    torch.manual_seed(0)
    model = create_model("baseline_cnn", 3, 64, attention=attention, placement="stage").eval()
    nn.init.ones_(model.classifier.weight)  # everything supports every class
    image = np.random.default_rng(0).integers(0, 256, (64, 70), dtype=np.uint8)
    x = torch.from_numpy(image / np.float32(255))[None, None]
    maps = model.stages(model.stem(model.input_norm(x.transpose(1, 2)).transpose(1, 2)))
    over_time = maps.mean(dim=2)
    logit = model.classifier(over_time.mean(dim=2) + over_time.max(dim=2).values)[0, 1]
    (gradient,) = torch.autograd.grad(logit, maps)
    cam = (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).relu()
    cam = F.interpolate(cam, size=image.shape, mode="bilinear", align_corners=False)[0, 0]
    assert cam.max() > 0
    np.testing.assert_allclose(grad_cam(model, image, 1), (cam / cam.max()).detach().numpy(), atol=1e-4)


@pytest.mark.parametrize("name", ["baseline_cnn", "mn04", "cnn6", "mobilenet_v1"])
def test_the_overlay_has_high_frequencies_on_top_as_the_image(name):
    """All weights are positive, so that the features are where the image is bright."""
    torch.manual_seed(0)
    model = create_model(name, 3, 512).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.abs_()
    image = np.zeros((512, 128), np.uint8)
    image[:128] = 255
    cam = grad_cam(model, image, 1)
    assert cam.max() == 1
    assert cam[:256].mean() > 1.2 * cam[256:].mean()


class Pooled(nn.Module):
    """Without feature maps that have a gradient: a linear layer on means over time of a frozen convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1).requires_grad_(False)
        self.head = nn.Linear(16, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        assert not torch.backends.cudnn.enabled, "its recurrent layers have no gradient in eval mode"
        with torch.no_grad():
            maps = self.conv(image)
        return self.head(maps.mean(dim=(1, 3)))


def test_a_network_without_feature_maps_gives_an_empty_map():
    cam = grad_cam(Pooled().eval(), np.full((16, 32), 7, dtype=np.uint8), target=1)
    assert cam.shape == (16, 32) and cam.dtype == np.float32 and not cam.any()


def test_evidence_against_the_class_is_ignored():
    image = np.full((16, 32), 255, dtype=np.uint8)
    assert grad_cam(detector(), image, target=0).max() == 0


def test_the_network_is_unchanged():
    model = detector()
    grad_cam(model, np.full((16, 32), 7, dtype=np.uint8), target=1)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_overlay_shows_the_spectrogram_and_the_map(tmp_path):
    image = np.arange(0, 240, 20, dtype=np.uint8).reshape(3, 4)
    cam = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    write_overlay(tmp_path / "gallery" / "clip.png", cam, palette()[image])
    with Image.open(tmp_path / "gallery" / "clip.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (3, 4, 3), "opaque"
    np.testing.assert_array_equal(pixels[0, 0], palette()[0])
    blend = (1 - MAX_OPACITY) * palette()[220] + MAX_OPACITY * np.array(COLOR)
    np.testing.assert_allclose(pixels[2, 3], blend, atol=1)


def test_the_color_of_the_overlay_differs_from_every_level():
    blended = (1 - MAX_OPACITY) * palette() + MAX_OPACITY * np.array(COLOR)
    assert np.abs(blended - palette()).max(axis=1).min() > 60
