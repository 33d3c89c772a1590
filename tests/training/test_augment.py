"""Image augmentation against plain NumPy, one image at a time."""

import dataclasses

import numpy as np
import pytest
import torch

from earmark.config.training import AugmentConfig
from earmark.training.augment import augment_batch, freq_mixstyle, mixup, random_resize, spec_augment, time_roll

MASKS = {"freq_masks": 2, "freq_mask_bins": 8, "time_masks": 2, "time_mask_ratio": 0.2}


@pytest.fixture
def images() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((6, 1, 32, 50), dtype=np.float32))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_time_roll_shifts_each_image_independently(images):
    rolled = time_roll(images, rng()).numpy()
    shifts = []
    for image, result in zip(images.numpy(), rolled, strict=True):
        fitting = [s for s in range(50) if np.array_equal(np.roll(image, -s, axis=2), result)]
        assert len(fitting) == 1
        shifts += fitting
    assert len(set(shifts)) > 2


def test_spec_augment_masks_bands_with_the_mean_of_the_image(images):
    masked = spec_augment(images, rng(), **MASKS)
    hidden = masked != images
    for image, result, changed in zip(images[:, 0], masked[:, 0], hidden[:, 0], strict=True):
        torch.testing.assert_close(result[changed], image.mean().expand(int(changed.sum())))
        bins, frames = changed.all(dim=1), changed.all(dim=0)
        assert torch.equal(changed, bins[:, None] | frames[None, :]), "whole rows and columns only"
        assert int(bins.sum()) <= 2 * 8
        assert int(frames.sum()) <= 2 * 10


def test_spec_augment_uses_all_widths_and_positions():
    images = torch.rand(400, 1, 32, 50)
    changed = (spec_augment(images, rng(), **MASKS | {"freq_masks": 1, "time_masks": 0}) != images)[:, 0]
    widths = changed.all(dim=2).sum(dim=1)
    assert sorted(set(widths.tolist())) == list(range(9))
    assert changed.all(dim=2).any(dim=0).all(), "every bin is masked in some image"


def test_mixup_blends_images_and_targets_with_the_same_weights(images):
    targets = torch.eye(6)
    mixed, mixed_targets = mixup(images, targets, rng(), alpha=0.5)
    torch.testing.assert_close(mixed_targets.sum(dim=1), torch.ones(6))
    torch.testing.assert_close(mixed, torch.einsum("ij,jcft->icft", mixed_targets, images))
    assert (mixed_targets.diagonal() >= 0.5 - 1e-6).all()
    assert (mixed_targets.diagonal() < 1).any()


def test_mixup_weights_follow_the_beta_distribution():
    targets = torch.eye(2).repeat(2000, 1)
    _, mixed = mixup(torch.zeros(4000, 1, 1, 1), targets, rng(), alpha=0.5)
    weights = mixed.max(dim=1).values  # Beta(0.5, 0.5) folded at one half, or 1 where the partner is of the same class
    folded = weights[weights < 1]
    expected = 0.5 + 1 / np.pi  # mean of max(w, 1 - w) under the arcsine distribution
    assert abs(float(folded.mean()) - expected) < 0.01


def test_a_seed_gives_the_same_batch_and_augmentation_can_be_off(images):
    targets = torch.eye(6)
    config = AugmentConfig(freq_mask_bins=8)
    first, again = (augment_batch(images, targets, config, rng(3)) for _ in range(2))
    other = augment_batch(images, targets, config, rng(4))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])

    off = AugmentConfig(time_roll=False, freq_masks=0, time_masks=0, mixup_alpha=0)
    same, same_targets = augment_batch(images, targets, off, rng())
    assert torch.equal(same, images)
    assert torch.equal(same_targets, targets)


def test_freq_mixstyle_mixes_the_statistics_of_bins_and_keeps_the_rest():
    generator = np.random.default_rng(1)
    contrast = generator.uniform(0.1, 0.3, (6, 1, 32, 1))
    images = generator.uniform(0.3, 0.6, (6, 1, 32, 1)) + contrast * generator.uniform(-1, 1, (6, 1, 32, 50))
    images = images.astype(np.float32)
    mixed = freq_mixstyle(torch.from_numpy(images), rng(), alpha=0.4).numpy()

    def statistics(x):
        return x.mean(axis=3)[:, 0], np.sqrt(x.var(axis=3, ddof=1) + 1e-6)[:, 0]

    (mean, std), (new_mean, new_std) = statistics(images), statistics(mixed)
    for i in range(6):
        fits = []
        for j in set(range(6)) - {i}:  # a partner and a weight that explain the new means explain the new deviations
            weight = ((new_mean[i] - mean[j]) / (mean[i] - mean[j])).mean()
            expected = weight * mean[i] + (1 - weight) * mean[j], weight * std[i] + (1 - weight) * std[j]
            if -1e-4 <= weight <= 1 + 1e-4 and np.allclose(new_mean[i], expected[0], atol=1e-4):
                fits.append(np.allclose(new_std[i], expected[1], rtol=1e-3))
        assert fits and all(fits)  # all of them where the weight is 1
        shape, new_shape = (x[i, 0] - x[i, 0].mean(axis=1, keepdims=True) for x in (images, mixed))
        np.testing.assert_allclose(new_shape / new_std[i][:, None], shape / std[i][:, None], atol=1e-3)


def test_freq_mixstyle_is_applied_to_the_given_fraction_of_batches(images):
    config = AugmentConfig(
        time_roll=False, freq_masks=0, time_masks=0, mixup_alpha=0, freq_mixstyle_alpha=0.4, freq_mixstyle_ratio=0.3
    )
    changed = [not torch.equal(augment_batch(images, torch.eye(6), config, rng(i))[0], images) for i in range(300)]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize("axis", [2, 3])
def test_random_resize_scales_by_factors_uniform_in_their_logarithm_and_stays_over_the_image(axis):
    shape = (2000, 1, 40, 60)
    position = (torch.arange(shape[axis]) + 0.5) / shape[axis] * 2 - 1  # -1 to 1 over the image
    ramp = (position + 3).reshape([-1 if i == axis else 1 for i in range(4)]).expand(shape)  # 2 to 4: never 0
    resized = random_resize(ramp, rng(), ratio=0.5).transpose(axis, 3)[:, 0, 20, :].double()

    inside = (resized > 2) & (resized < 4)
    inside &= torch.roll(inside, 1, 1) & torch.roll(inside, -1, 1)  # away from the edge of the silence
    slopes = torch.diff(resized, dim=1)[:, 20 if axis == 2 else 30] * shape[axis] / 2
    assert inside[:, 20].all()
    assert slopes.min() > 1 / 1.5 - 1e-3 and slopes.max() < 1.5 + 1e-3
    assert abs(float(torch.log(slopes).mean())) < 0.02
    assert float(torch.log(slopes).std()) == pytest.approx(np.log(1.5) / np.sqrt(3), rel=0.05)
    silent = (resized == 0).any(dim=1)
    assert not silent[slopes < 0.98].any()  # larger than the image: cropped
    assert silent[slopes > 1.1].float().mean() > 0.9  # smaller: silence around it
    assert 0.4 < silent.float().mean() < 0.6


def test_random_resize_is_applied_only_if_configured(images):
    off = AugmentConfig(time_roll=False, freq_masks=0, time_masks=0, mixup_alpha=0)
    on = dataclasses.replace(off, resize_ratio=0.2)
    assert torch.equal(augment_batch(images, torch.eye(6), off, rng())[0], images)
    changed, targets = augment_batch(images, torch.eye(6), on, rng())
    assert not torch.equal(changed, images)
    assert torch.equal(targets, torch.eye(6))
    assert changed.shape == images.shape and changed.min() >= 0 and changed.max() <= images.max() + 1e-6
