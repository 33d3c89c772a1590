"""The loss of a training step, with corrections for classes of different size.

Targets are distributions over the classes, so that label smoothing and mixup work with each of them. Class counts are
those of the training subset.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from earmark.config.training import TrainConfig

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, K) and target distributions (B, K) to a scalar."""
SMALLEST_ERROR = 1e-6
"""Least 1 - q in the focal loss, whose gradient has no limit at 0 with an exponent below 1."""


def create_loss(config: TrainConfig, counts_K: np.ndarray, device: torch.device | str = "cpu") -> Loss:
    """The loss that the settings describe, a mean over the clips of a batch.

    Args:
        config: `class_weights`, `logit_adjustment` and `focal_gamma` matter.
        counts_K: training clips of each class.
        device: of the logits.
    """
    weight_K = class_weights(config.class_weights, counts_K, config.effective_beta)
    weight = None if weight_K is None else torch.from_numpy(weight_K).float().to(device)
    loss: Loss = partial(F.cross_entropy, weight=weight)  # of distributions: a mean over clips, not over weights
    if config.focal_gamma:
        loss = partial(focal_loss, gamma=config.focal_gamma, weight_K=weight)
    if config.logit_adjustment:
        shift_K = config.logit_adjustment * log_priors(counts_K)
        loss = partial(_adjusted, loss, torch.from_numpy(shift_K).float().to(device))
    return loss


def class_weights(kind: str, counts_K: np.ndarray, beta: float = 0.99) -> np.ndarray | None:
    """Weights of the classes, whose mean over the training clips is 1; None where all are equal.

    `balanced` is n / (K n_k), as in scikit-learn; `effective_number` is proportional to (1 - beta) / (1 - beta^n_k)
    (Cui et al. 2019). A class without clips has the weight 0 and is not counted.
    """
    if kind == "none":
        return None
    counts = np.maximum(counts_K, 1).astype(np.float64)
    inverse = 1 / counts if kind == "balanced" else (1 - beta) / (1 - beta**counts)
    inverse[counts_K == 0] = 0
    return inverse * counts_K.sum() / (inverse * counts_K).sum()


def log_priors(counts_K: np.ndarray) -> np.ndarray:
    """Logarithms of the class frequencies; a class without clips counts as one with a single clip."""
    return np.log(np.maximum(counts_K, 1) / counts_K.sum())


def focal_loss(logits: Tensor, targets: Tensor, *, gamma: float, weight_K: Tensor | None = None) -> Tensor:
    """Focal loss (Lin et al. 2017) for target distributions p: the mean of -sum_k w_k p_k (1 - q_k)^gamma log q_k."""
    log_q = logits.log_softmax(dim=1)
    error = (-torch.expm1(log_q)).clamp_min(SMALLEST_ERROR)
    terms = targets * error**gamma * log_q
    return -(terms if weight_K is None else terms * weight_K).sum(dim=1).mean()


def _adjusted(loss: Loss, shift_K: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """The loss of logits plus tau times the log priors (Menon et al. 2021); scoring takes the logits as they are."""
    return loss(logits + shift_K, targets)
