"""Points of a learning curve: every variant of a suite on fractions of the training groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from earmark.config.sections import check_setting

if TYPE_CHECKING:
    from earmark.config.suite import RunConfig


def curve_variants(variants: Mapping[str, dict[str, Any]], fractions: Sequence[float]) -> dict[str, dict[str, Any]]:
    """What each point changes, by its name `<variant>-train<fraction>`; it has as many steps as the variant.

    Args:
        variants: what each variant changes.
        fractions: of the training groups.

    Raises:
        ConfigError: a point has the name of another one or of a variant.
    """
    points = {}
    for fraction in fractions:
        for name, changes in variants.items():
            split = {**changes.get("split", {}), "train_fraction": fraction}
            train = {**changes.get("train", {}), "keep_steps": True}
            points[name + _suffix(fraction)] = {**changes, "split": split, "train": train}
    distinct = len({*points, *variants}) == len(variants) * (1 + len(fractions))
    remedy = "two variants or points have one name; give other fractions, or rename the variant"
    check_setting(distinct, "train_fractions", list(fractions), remedy)
    return points


def is_curve_point(config: RunConfig) -> bool:
    """Whether a run is a point of a learning curve, and no contestant."""
    fraction = config.split.train_fraction
    return fraction < 1 and config.variant.endswith(_suffix(fraction))


def variant_of_point(config: RunConfig) -> str:
    """The variant whose learning curve a point belongs to; that of the run itself, where it is no point."""
    return (
        config.variant.removesuffix(_suffix(config.split.train_fraction)) if is_curve_point(config) else config.variant
    )


def _suffix(fraction: float) -> str:
    return f"-train{fraction:g}"
