"""Settings that change nothing because another one turns off what they set."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, get_type_hints

from earmark.config.training import AugmentConfig, TrainConfig

if TYPE_CHECKING:
    from earmark.config.suite import RunConfig


class _Rule(NamedTuple):
    """Settings that are used only where another one has a certain value."""

    settings: tuple[str, ...]
    used: Callable[[RunConfig], bool]
    needs: str
    """What makes them used."""


def _names(prefix: str, section: type, *but: str) -> tuple[str, ...]:
    return tuple(f"{prefix}.{name}" for name in get_type_hints(section) if name not in but)


OF_TRAINING = (
    "model.train",
    "model.dropout",
    "model.stochastic_depth",
    *_names("augment", AugmentConfig, "waveform_definitions"),
    *_names("train", TrainConfig, "window_seconds"),
)
"""What a probe does not use: it trains no network, and it is fitted to the original clips."""
RULES = (
    _Rule(OF_TRAINING, lambda c: c.probe.kind == "none", "probe.kind = 'none'"),
    _Rule(("probe.shots", "probe.draws"), lambda c: c.probe.kind != "none", "a probe.kind"),
    _Rule(("probe.draws",), lambda c: bool(c.probe.shots), "probe.shots"),
    _Rule(("model.placement",), lambda c: c.model.attention != "none", "a model.attention"),
    _Rule(("train.backbone_lr_ratio",), lambda c: c.model.weights != "none", "pretrained model.weights"),
    _Rule(
        ("augment.freq_mixstyle_ratio",),
        lambda c: c.augment.freq_mixstyle_alpha > 0,
        "augment.freq_mixstyle_alpha above 0",
    ),
    _Rule(("augment.freq_mask_bins",), lambda c: c.augment.freq_masks > 0, "augment.freq_masks above 0"),
    _Rule(("augment.time_mask_ratio",), lambda c: c.augment.time_masks > 0, "augment.time_masks above 0"),
    _Rule(
        ("train.effective_beta",),
        lambda c: c.train.class_weights == "effective_number",
        "train.class_weights = 'effective_number'",
    ),
    _Rule(
        ("train.warmup_epochs",), lambda c: c.train.schedule != "one_cycle", "train.schedule = 'cosine' or 'constant'"
    ),
    _Rule(("train.keep_steps",), lambda c: c.split.train_fraction < 1, "split.train_fraction below 1"),
    _Rule(("front_end.reference_db",), lambda c: c.front_end.reference == "fixed", "front_end.reference = 'fixed'"),
)


def unused_settings(config: RunConfig) -> dict[str, str]:
    """The settings that change nothing in a run, and what each of them needs to be used.

    Only settings are listed without which the predictions are the same to the last bit. Those that a data set, a split
    or a network does not use are not known here.
    """
    return {name: rule.needs for rule in RULES if not rule.used(config) for name in rule.settings}
