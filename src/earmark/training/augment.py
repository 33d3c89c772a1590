"""Image augmentation of training batches: functions of (batch, generator), on the device of the batch.

All random numbers are drawn from a NumPy generator on the CPU, a few per clip, so that a seed gives the same batches on
any device.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from earmark.config.training import AugmentConfig
from earmark.training.devices import to_device

SMALLEST_VARIANCE = 1e-6
"""Added to the variance of a bin; images are in [0, 1]."""


def time_roll(images_BCFT: Tensor, generator: np.random.Generator) -> Tensor:
    """Roll each image circularly along time by its own random number of frames."""
    n_frames = images_BCFT.shape[-1]
    shift_B = to_device(generator.integers(n_frames, size=len(images_BCFT)), images_BCFT.device)
    frames_BT = (torch.arange(n_frames, device=images_BCFT.device) + shift_B[:, None]) % n_frames
    return images_BCFT.gather(3, frames_BT[:, None, None, :].expand_as(images_BCFT))


def random_resize(images_BCFT: Tensor, generator: np.random.Generator, *, ratio: float) -> Tensor:
    """Scale each image along frequency and along time by random factors, and shift it by what that leaves or needs.

    The random resized crop of Niizumi et al. (2021): another pitch and another tempo. Factors are uniform in their
    logarithm between 1 / (1 + ratio) and 1 + ratio; what lies outside the image is 0, silence.
    """
    n_images = len(images_BCFT)
    size_B2 = np.exp(generator.uniform(-1, 1, (n_images, 2)) * np.log1p(ratio))  # of the source, time and frequency
    shift_B2 = generator.uniform(-1, 1, (n_images, 2)) * np.abs(1 - size_B2)
    theta_B23 = np.zeros((n_images, 2, 3), np.float32)
    theta_B23[:, [0, 1], [0, 1]] = size_B2
    theta_B23[:, :, 2] = shift_B2
    theta = to_device(theta_B23, images_BCFT.device)
    grid = F.affine_grid(theta, list(images_BCFT.shape), align_corners=False)
    return F.grid_sample(images_BCFT, grid, align_corners=False)


def spec_augment(
    images_BCFT: Tensor,
    generator: np.random.Generator,
    *,
    freq_masks: int,
    freq_mask_bins: int,
    time_masks: int,
    time_mask_ratio: float,
) -> Tensor:
    """Set random bands of bins and of frames to the mean of their image (SpecAugment, Park et al. 2019).

    Widths are uniform from 0 to `freq_mask_bins` bins and to `time_mask_ratio` of the frames; there is no time
    warping, as in most later work.
    """
    n_bins, n_frames = images_BCFT.shape[2:]
    bins_BF = _random_bands(len(images_BCFT), n_bins, freq_masks, min(freq_mask_bins, n_bins), generator)
    frames_BT = _random_bands(len(images_BCFT), n_frames, time_masks, int(time_mask_ratio * n_frames), generator)
    hidden_BF, hidden_BT = to_device(bins_BF, images_BCFT.device), to_device(frames_BT, images_BCFT.device)
    hidden_B1FT = hidden_BF[:, None, :, None] | hidden_BT[:, None, None, :]
    return torch.where(hidden_B1FT, images_BCFT.mean(dim=(1, 2, 3), keepdim=True), images_BCFT)


def _random_bands(n_images: int, size: int, n_bands: int, max_width: int, generator: np.random.Generator) -> np.ndarray:
    """bool (n_images, size), true inside `n_bands` random bands per image."""
    widths = generator.integers(0, max_width + 1, size=(n_images, n_bands, 1))
    first = (generator.random((n_images, n_bands, 1)) * (size - widths + 1)).astype(np.int64)
    position = np.arange(size)
    return np.any((position >= first) & (position < first + widths), axis=1)


def mixup(
    images_BCFT: Tensor, targets_BK: Tensor, generator: np.random.Generator, *, alpha: float
) -> tuple[Tensor, Tensor]:
    """Blend each image and its target distribution with another one of the batch (Zhang et al. 2018).

    The weight of the image itself is drawn from Beta(alpha, alpha) and at least one half.
    """
    n_images = len(images_BCFT)
    weights = generator.beta(alpha, alpha, size=n_images).astype(np.float32)
    weight_B = to_device(np.maximum(weights, 1 - weights), images_BCFT.device)
    partner_B = to_device(generator.permutation(n_images), images_BCFT.device)
    images = torch.lerp(images_BCFT[partner_B], images_BCFT, weight_B[:, None, None, None])
    return images, torch.lerp(targets_BK[partner_B], targets_BK, weight_B[:, None])


def freq_mixstyle(images_BCFT: Tensor, generator: np.random.Generator, *, alpha: float) -> Tensor:
    """Give each image the mean and standard deviation per bin of a mixture of its own and another image's.

    Freq-MixStyle (Schmid et al. 2022, after Zhou et al. 2021 and Kim et al. 2022). The weight of the own statistics is
    drawn from Beta(alpha, alpha), once per image.
    """
    mean = images_BCFT.mean(dim=(1, 3), keepdim=True)
    std = (images_BCFT.var(dim=(1, 3), keepdim=True) + SMALLEST_VARIANCE).sqrt()
    weights = generator.beta(alpha, alpha, size=len(images_BCFT)).astype(np.float32)
    weight = to_device(weights, images_BCFT.device)[:, None, None, None]
    partner = to_device(generator.permutation(len(images_BCFT)), images_BCFT.device)
    mixed_mean, mixed_std = (torch.lerp(own[partner], own, weight) for own in (mean, std))
    return (images_BCFT - mean) / std * mixed_std + mixed_mean


def augment_batch(
    images_BCFT: Tensor, targets_BK: Tensor, config: AugmentConfig, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Apply time roll, random resizing, Freq-MixStyle, SpecAugment and mixup as configured.

    Args:
        images_BCFT: float images in [0, 1].
        targets_BK: target distributions; rows sum to one.
    """
    if config.time_roll:
        images_BCFT = time_roll(images_BCFT, generator)
    if config.resize_ratio:
        images_BCFT = random_resize(images_BCFT, generator, ratio=config.resize_ratio)
    if config.freq_mixstyle_alpha and generator.random() < config.freq_mixstyle_ratio:
        images_BCFT = freq_mixstyle(images_BCFT, generator, alpha=config.freq_mixstyle_alpha)
    if config.freq_masks or config.time_masks:
        images_BCFT = spec_augment(
            images_BCFT,
            generator,
            freq_masks=config.freq_masks,
            freq_mask_bins=config.freq_mask_bins,
            time_masks=config.time_masks,
            time_mask_ratio=config.time_mask_ratio,
        )
    if config.mixup_alpha:
        images_BCFT, targets_BK = mixup(images_BCFT, targets_BK, generator, alpha=config.mixup_alpha)
    return images_BCFT, targets_BK
