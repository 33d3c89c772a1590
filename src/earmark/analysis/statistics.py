"""Bootstrap intervals and ranks, as functions of arrays; sources in docs/statistics.md."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, stdtrit

from earmark.analysis.paired_model import MIN_GROUPS
from earmark.analysis.step_down import LEVEL

BLOCK_VALUES = 2**22
"""32 MiB in float64."""
RANK_DIGITS = 9
"""Scores that agree to this many decimals are tied: means of the same counts may differ in the last bit."""


class Interval(NamedTuple):
    low: float
    high: float


def resample_groups(n_groups: int, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each group is drawn in each bootstrap resample, uint8 (B, G); rows sum to G."""
    draws = np.empty((n_resamples, n_groups), np.uint8)  # 256 times of one group do not happen
    for row in draws:
        row[:] = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups))
    return draws


def float_blocks(draws: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of (B, G) draws as float64, some at a time: large data sets have many groups."""
    n_rows = max(1, BLOCK_VALUES // draws.shape[1])
    for first in range(0, len(draws), n_rows):
        yield draws[first : first + n_rows].astype(np.float64)


def percentile_interval(values: np.ndarray, n_groups: int) -> Interval | None:
    """The expanded percentile interval (Hesterberg 2015) of a bootstrap over `n_groups` groups.

    The plain percentile interval of few groups is too narrow; its quantiles are moved outwards by as much as
    makes the interval of a mean that of Student's t. None with fewer than `MIN_GROUPS` groups, and where all
    resamples agree (no clip wrong, for example): what was never seen cannot be drawn.

    Args:
        values: (B,) the statistic on each resample; NaN where it is not defined.
    """
    if n_groups < MIN_GROUPS or np.nanmax(values) - np.nanmin(values) < 1e-12:
        return None
    t = stdtrit(n_groups - 1, (1 - LEVEL) / 2)
    tail = ndtr(t * math.sqrt(n_groups / (n_groups - 1)))
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))


def average_ranks(scores: np.ndarray) -> np.ndarray:
    """Mean rank of each variant over folds, (V,); 1 is the highest score, ties share a rank (Demšar 2006).

    Args:
        scores: (J, V) one row per fold.
    """
    rounded = scores.round(RANK_DIGITS)
    ahead_JVV = np.sign(rounded[:, None, :] - rounded[:, :, None])  # 1 where another one is ahead, 0 in a tie
    return ((1 + ahead_JVV.sum(axis=2) + scores.shape[1]) / 2).mean(axis=0)
