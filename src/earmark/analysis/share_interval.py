"""Intervals of scores, and of differences that are so large that they vary as scores do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from earmark.analysis.paired_model import Evidence, infer


def share_interval(evidence: Evidence, tail: float = 0.05, log_weight: np.ndarray | float = 0.0) -> tuple[float, float]:
    """Interval of a share between 0 and 1: the score interval of a binomial share (Wilson 1927), for any design.

    It holds the shares p that the estimate is within the half width of, where the half width goes with
    sqrt(p (1 - p)). An estimate of 0 or 1 shows no variance: each group then counts as one draw, and seeds and training
    sets as runs and prior say. Nor does the floor of the variance exceed that: two clips are much next to 0 and 1.

    Args:
        evidence: from `weigh`.
        tail: probability that the truth is outside.
        log_weight: see `infer`.
    """
    share, moments = evidence.estimate, evidence.moments
    spread = share * (1 - share)
    one_draw_each = moments.group_share * (spread or 1)
    v = evidence.v if spread else np.full(len(evidence.v), one_draw_each)
    floor = min(moments.floor, one_draw_each)
    posterior = infer(replace(evidence, v=v, moments=replace(moments, floor=floor)), log_weight)
    ratio = posterior.half_width(tail) ** 2 / (spread or 1)
    center, reach = share + ratio / 2, math.sqrt(ratio * spread + ratio**2 / 4)
    low, high = np.clip(np.array([center - reach, center + reach]) / (1 + ratio), 0, 1)
    return float(low), float(high)


def smallest_size(evidence: Evidence, tail: float = 0.05, log_weight: np.ndarray | float = 0.0) -> float:
    """Lower end of the interval of the size of a difference, as that of a share; 1 for sizes up to 1/2.

    A difference of two shares varies less the nearer it is to 1, where it shows no variance: there, its interval is
    too narrow on the side of 0 unless it is made like that of a share. Arguments: see `share_interval`.
    """
    size = abs(evidence.estimate)
    return share_interval(replace(evidence, estimate=min(size, 1.0)), tail, log_weight)[0] if size > 0.5 else 1.0
