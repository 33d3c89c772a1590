"""Points of a learning curve: every variant of a suite on fractions of the training groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from earmark.config.suite import RunConfig


def curve_variants(
    variants: Mapping[str, dict[str, Any]], fractions: Sequence[float], epochs: int
) -> dict[str, dict[str, Any]]:
    """What each point changes, by its name `<variant>-train<fraction>`; epochs grow so that the steps stay equal.

    Args:
        variants: what each variant changes.
        fractions: of the training groups.
        epochs: of a variant that does not change them.
    """
    points = {}
    for fraction in fractions:
        for name, changes in variants.items():
            split, train = changes.get("split", {}), changes.get("train", {})
            more = round(train.get("epochs", epochs) / fraction)
            smaller = {"split": {**split, "train_fraction": fraction}, "train": {**train, "epochs": more}}
            points[name + _suffix(fraction)] = changes | smaller
    return points


def is_curve_point(config: RunConfig) -> bool:
    """Whether a run is a point of a learning curve, and no contestant."""
    fraction = config.split.train_fraction
    return fraction < 1 and config.variant.endswith(_suffix(fraction))


def variant_of_point(config: RunConfig) -> str:
    """The variant whose learning curve a point belongs to."""
    return config.variant.removesuffix(_suffix(config.split.train_fraction))


def _suffix(fraction: float) -> str:
    return f"-train{fraction:g}"
