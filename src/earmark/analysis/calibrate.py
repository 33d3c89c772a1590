"""Calibration: a temperature, and a bias per class if it helps, so that probabilities mean what they say.

Fitted on out-of-fold logits, which no network was trained on (Guo et al. 2017; vector bias as in Platt scaling).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.analysis.metrics import SMALLEST_PROBABILITY, expected_calibration_error, negative_log_likelihood
from earmark.analysis.records import RunRecord

LARGEST_FACTOR = 20.0
"""The temperature stays between this and its inverse: perfectly separated predictions would drive it to 0."""
BIAS_PENALTY = 0.01
"""L2 penalty of the bias per clip, which keeps it at 0 where it has nothing to learn from."""


@dataclass(frozen=True)
class Calibration:
    """Probabilities are softmax(logits / temperature + bias)."""

    temperature: float = 1.0
    bias: tuple[float, ...] = ()
    """One per class; empty is none."""

    @property
    def at_limit(self) -> bool:
        """Whether the temperature is the lowest or highest there can be: the clips do not determine it."""
        return not 1.01 / LARGEST_FACTOR < self.temperature < LARGEST_FACTOR / 1.01


def calibrated_probabilities(logits_NK: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Probabilities, float64 (N, K)."""
    scaled = np.asarray(logits_NK, np.float64) / calibration.temperature
    if calibration.bias:
        scaled = scaled + np.array(calibration.bias)
    return _softmax(scaled)


def log_loss(probs_NK: np.ndarray, targets_N: np.ndarray) -> float:
    """Mean negative log-likelihood of the targets."""
    return float(negative_log_likelihood(probs_NK, targets_N).mean())


def fit_calibration(logits_NK: np.ndarray, targets_N: np.ndarray, with_bias: bool = False) -> Calibration:
    """The temperature (and bias) with the least log loss on held-out logits.

    Args:
        logits_NK: (N, K) logits of clips that the network was not trained on.
        targets_N: (N,) class indices.
    """
    from scipy.optimize import minimize

    logits = np.asarray(logits_NK, np.float64)
    n_classes = logits.shape[1]
    one_hot = np.eye(n_classes)[targets_N]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scale, bias = np.exp(-parameters[0]), parameters[1:]
        probs = _softmax(logits * scale + (bias if with_bias else 0))
        error = (probs - one_hot) / len(logits)
        slope = np.zeros_like(parameters)
        slope[0] = -scale * (error * logits).sum()
        penalty = 0.0
        if with_bias:
            slope[1:] = error.sum(axis=0) + 2 * BIAS_PENALTY * bias
            penalty = BIAS_PENALTY * float((bias**2).sum())
        return log_loss(probs, targets_N) + penalty, slope

    limit = np.log(LARGEST_FACTOR)
    bounds = [(-limit, limit)] + [(None, None)] * (n_classes if with_bias else 0)
    best = minimize(loss, np.zeros(len(bounds)), jac=True, method="L-BFGS-B", bounds=bounds).x
    return Calibration(float(np.exp(best[0])), tuple((best[1:] - best[1:].mean()).tolist()) if with_bias else ())


def cross_fitted_probabilities(
    logits_NK: np.ndarray, targets_N: np.ndarray, folds_N: np.ndarray, with_bias: bool = False
) -> np.ndarray:
    """Probabilities (N, K) of each fold under the calibration that was fitted on the other folds."""
    probs = np.empty(np.shape(logits_NK), np.float64)
    for fold in np.unique(folds_N):
        held_out = folds_N == fold
        calibration = fit_calibration(logits_NK[~held_out], targets_N[~held_out], with_bias)
        probs[held_out] = calibrated_probabilities(logits_NK[held_out], calibration)
    return probs


@dataclass(frozen=True)
class CalibrationReport:
    """Log loss and calibration error before and after, cross-fitted so that they do not flatter."""

    calibration: Calibration
    log_loss_before: float
    log_loss_after: float
    error_before: float
    error_after: float


def choose_calibration(logits_NK: np.ndarray, targets_N: np.ndarray, folds_N: np.ndarray) -> CalibrationReport:
    """The calibration of all clips: none, a temperature, or that and a bias, by the cross-fitted log loss."""
    plain = calibrated_probabilities(logits_NK, Calibration())
    tried = {b: cross_fitted_probabilities(logits_NK, targets_N, folds_N, b) for b in (False, True)}
    with_bias = log_loss(tried[True], targets_N) < log_loss(tried[False], targets_N)
    helps = log_loss(tried[with_bias], targets_N) < log_loss(plain, targets_N)
    after = tried[with_bias] if helps else plain
    return CalibrationReport(
        fit_calibration(logits_NK, targets_N, with_bias) if helps else Calibration(),
        log_loss(plain, targets_N),
        log_loss(after, targets_N),
        expected_calibration_error(plain, targets_N),
        expected_calibration_error(after, targets_N),
    )


def calibrate_records(records: Sequence[RunRecord]) -> CalibrationReport | None:
    """The calibration fitted on the out-of-fold predictions of a variant.

    Logarithms of probabilities are logits up to a constant per clip, which the softmax takes away. A clip that repeated
    partitions report several times is always held out together: in the fold of the first partition.

    Returns:
        None where all clips are held out together, which leaves nothing to cross-fit, as with a single fold, and
        where a run has labels without probabilities.
    """
    if not all(record.has_probs for record in records):
        return None
    logits = np.concatenate([np.log(np.maximum(record.probs, SMALLEST_PROBABILITY)) for record in records])
    targets = np.concatenate([record.targets for record in records])
    first_fold: dict[str, int] = {}
    for record in sorted(records, key=lambda r: r.config.fold):
        first_fold = dict.fromkeys(record.clip_ids, record.config.fold) | first_fold
    folds = np.array([first_fold[clip_id] for record in records for clip_id in record.clip_ids])
    return choose_calibration(logits, targets, folds) if len(set(first_fold.values())) > 1 else None


def _softmax(logits_NK: np.ndarray) -> np.ndarray:
    raised = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
