"""The losses against their published formulas in NumPy, with targets as mixup and label smoothing make them."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from earmark.config.sections import ConfigError
from earmark.config.training import TrainConfig
from earmark.training.losses import class_weights, create_loss

COUNTS = np.array([40, 5, 0, 15])


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    targets = rng.dirichlet(np.full(4, 0.3), size=6)
    return torch.from_numpy(rng.normal(0, 3, (6, 4))), torch.from_numpy(targets)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def test_balanced_weights_are_those_of_scikit_learn():
    targets = np.repeat(np.arange(4), COUNTS)
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=targets)
    np.testing.assert_allclose(class_weights("balanced", COUNTS), [*expected[:2], 0, expected[2]])


def test_the_effective_number_is_that_of_its_series_and_ends_in_balanced_weights():
    present = COUNTS > 0
    effective = np.array([sum(0.9**i for i in range(n)) for n in COUNTS[present]])  # 1 + beta + ... + beta^(n - 1)
    weights = class_weights("effective_number", COUNTS, beta=0.9)
    np.testing.assert_allclose(weights[present] * effective / (weights[0] * effective[0]), np.ones(3))
    assert (weights * COUNTS).sum() == pytest.approx(COUNTS.sum()), "their mean over the clips is 1"
    for beta, same in ((0.0, present.astype(float)), (1 - 1e-9, class_weights("balanced", COUNTS))):
        np.testing.assert_allclose(class_weights("effective_number", COUNTS, beta), same, rtol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"class_weights": "balanced"},
        {"class_weights": "effective_number", "effective_beta": 0.9},
        {"focal_gamma": 2.0},
        {"focal_gamma": 0.5, "class_weights": "balanced"},
        {"logit_adjustment": 1.5},
        {"logit_adjustment": 1.0, "focal_gamma": 2.0},
    ],
)
def test_the_loss_is_that_of_the_formula(batch, settings):
    logits, targets = (values.numpy() for values in batch)
    prior = np.maximum(COUNTS, 1) / COUNTS.sum()
    log_q = log_softmax(logits + settings.get("logit_adjustment", 0) * np.log(prior))
    weights = class_weights(settings.get("class_weights", "none"), COUNTS, settings.get("effective_beta", 0))
    focus = (1 - np.exp(log_q)) ** settings.get("focal_gamma", 0)
    expected = -((1 if weights is None else weights) * targets * focus * log_q).sum(axis=1).mean()
    loss = create_loss(TrainConfig(**settings), COUNTS)(*(values.float() for values in batch))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_by_default_it_is_the_cross_entropy_bit_by_bit(batch):
    assert torch.equal(create_loss(TrainConfig(), COUNTS)(*batch), F.cross_entropy(*batch))


def test_logit_adjustment_of_the_priors_alone_costs_nothing_more():
    """A network that knows nothing but has learned balanced logits predicts the priors in training."""
    targets = torch.eye(4).repeat_interleave(torch.tensor([40, 5, 1, 15]), dim=0)
    counts = targets.sum(dim=0).numpy()
    loss = create_loss(TrainConfig(logit_adjustment=1.0), counts)
    entropy = -(counts / counts.sum() * np.log(counts / counts.sum())).sum()
    assert float(loss(torch.zeros_like(targets), targets)) == pytest.approx(entropy, rel=1e-5)


def test_the_gradient_of_the_focal_loss_is_finite_where_the_network_is_certain():
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    create_loss(TrainConfig(focal_gamma=0.5), np.array([1, 1]))(logits, torch.eye(2)).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"class_weights": "balanced", "logit_adjustment": 1.0},
            "train.logit_adjustment = 1.0: class_weights = 'balanced' corrects the same imbalance; give one of them",
        ),
        (
            {"class_weights": "effective_number", "sampler": "class_balanced"},
            "train.sampler = 'class_balanced': class_weights = 'effective_number' corrects the same imbalance",
        ),
        ({"sampler": "class_group_balanced", "logit_adjustment": 0.5}, "train.logit_adjustment = 0.5: sampler = "),
    ],
)
def test_an_imbalance_is_not_corrected_twice(settings, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**settings)
