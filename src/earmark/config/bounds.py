"""The range of every number among the settings: beyond it nothing useful can be computed, and much can be wasted."""

from __future__ import annotations

import math

LARGE = 1e9
"""Bound of a number that has no narrower one."""
BOUNDS: dict[str, tuple[float, float]] = {
    "fold": (1, 100_000),
    "seed": (0, 2**32 - 1),
    "data.memory_gib": (0, 1e6),
    "front_end.sample_rate": (0, 768_000),
    "front_end.n_fft": (16, 65_536),
    "front_end.win_length": (0, 65_536),
    "front_end.hop_length": (1, 65_536),
    "front_end.n_mels": (1, 1024),
    "front_end.f_min": (0, 384_000),
    "front_end.f_max": (0, 384_000),
    "front_end.pre_emphasis": (0, 1),
    "front_end.log_offset": (0, 1),
    "front_end.reference_db": (-300, 300),
    "front_end.range_db": (1, 300),
    "split.n_folds": (2, 10_000),
    "split.repeats": (1, 1000),
    "split.seed": (0, 2**32 - 1),
    "split.train_fraction": (1e-6, 1),
    "probe.draws": (1, 1000),
    "probe.sample_rate": (0, 768_000),
    "augment.freq_masks": (0, 100),
    "augment.freq_mask_bins": (0, 1024),
    "augment.time_masks": (0, 100),
    "augment.mixup_alpha": (0, 1000),
    "augment.freq_mixstyle_alpha": (0, 1000),
    "augment.resize_ratio": (0, 1),
    "train.epochs": (1, 100_000),
    "train.batch_size": (2, 65_536),  # batch normalization needs two clips
    "train.lr": (1e-12, 100),
    "train.backbone_lr_ratio": (0, 1000),
    "train.weight_decay": (0, 100),
    "train.warmup_epochs": (0, 100_000),
    "train.clip_grad_norm": (0, 1e6),
    "train.window_seconds": (0, 3600),
    "train.logit_adjustment": (0, 10),
    "train.focal_gamma": (0, 10),
    "train.patience": (0, 100_000),
    "train.n_shifts": (1, 64),
    "search.trials": (2, 100_000),  # trial 0 is the config as it is
    "search.minutes": (0, 1e6),
    "search.inner_folds": (2, 1000),
    "search.seed": (0, 2**32 - 1),
    "search.min_epochs": (1, 100_000),
    "search.reduction": (2, 100),
    "jobs": (0, 4096),
    "threads": (0, 4096),
    "ray_cpus": (0.001, 4096),
    "ray_gpus": (0, 4096),
}
"""Least and most of each setting."""
MAX_DEPTH = 8
"""Of tables and lists in each other."""
MAX_TEXT = 4096
"""Characters of a setting that is text."""


def setting_problem(name: str, value: object) -> str:
    """How to change a setting that is out of bounds; empty if it is not."""
    if isinstance(value, str):
        return f"give at most {MAX_TEXT} characters" if len(value) > MAX_TEXT else ""
    return bound_problem(value, BOUNDS.get(name, (-LARGE, LARGE))) if isinstance(value, int | float) else ""


def bound_problem(value: float, bounds: tuple[float, float]) -> str:
    """How to change a number that is out of bounds or not finite; empty if it is not."""
    low, high = bounds
    if isinstance(value, float) and not math.isfinite(value):
        return f"give a finite number, {low:g} to {high:g}"
    return "" if isinstance(value, bool) or low <= value <= high else f"give {low:.10g} to {high:.10g}"
