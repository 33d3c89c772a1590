"""The sections `[augment]` and `[train]` of a config: what happens to training clips, how a network is fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from earmark.config.sections import check_setting, check_values, shown

MIN_WINDOW_SECONDS = 0.05
"""Shortest training window."""
BALANCE = {"class_weights": "none", "sampler": "shuffle", "logit_adjustment": 0.0}
"""The settings that correct an imbalance of the classes, and their values for none."""


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of the training clips; valid and test always use the original clips."""

    waveform: tuple[str, ...] = ()
    """Augmentations of the waveform, one of which replaces a clip at random: noisy, pitchUp2, stretch0.9 ..."""
    waveform_definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Custom augmentations of the waveform: name = { function = ..., its arguments ... }."""
    time_roll: bool = True
    """Roll the window circularly by a random number of frames."""
    resize_ratio: float = 0.0
    """Random resized crop: scale each image along frequency and along time by 1 / (1 + this) to 1 + this;
    0 turns it off."""
    freq_masks: int = 2
    """SpecAugment: number of frequency masks."""
    freq_mask_bins: int = 16
    """SpecAugment: maximum height of a frequency mask in bins."""
    time_masks: int = 2
    """SpecAugment: number of time masks."""
    time_mask_ratio: float = 0.1
    """SpecAugment: maximum width of a time mask as a fraction of the window."""
    mixup_alpha: float = 0.5
    """Mixup: parameter of the Beta distribution of the mixing weight; 0 turns it off."""
    freq_mixstyle_alpha: float = 0.0
    """Freq-MixStyle: parameter of the Beta distribution of the weight of a clip's own statistics; 0 turns it off."""
    freq_mixstyle_ratio: float = 0.5
    """Freq-MixStyle: fraction of the batches that it is applied to."""

    def __post_init__(self) -> None:
        check_values(self, "augment.")
        names = self.waveform
        remedy = "name each augmentation once, without orig: the original is always one of the choices"
        check_setting("orig" not in names and len(set(names)) == len(names), "augment.waveform", list(names), remedy)
        ratio = self.time_mask_ratio
        check_setting(0 <= ratio <= 1, "augment.time_mask_ratio", ratio, "give 0 (off) to 1 (the whole window)")
        ratio = self.freq_mixstyle_ratio
        check_setting(0 < ratio <= 1, "augment.freq_mixstyle_ratio", ratio, "give more than 0, at most 1 (all batches)")


def steps_per_epoch(n_clips: int, batch_size: int) -> int:
    """Steps of one epoch: an incomplete batch is left out, unless it is the only one."""
    return max(n_clips // batch_size, 1)


@dataclass(frozen=True)
class TrainConfig:
    """How the network is trained and scored."""

    epochs: int = 50
    """Passes over the training clips."""
    batch_size: int = 32
    """Clips per step."""
    lr: float = 3e-3
    """Peak learning rate of AdamW."""
    backbone_lr_ratio: float = 1.0
    """Learning rate of pretrained layers as a fraction of `lr`."""
    weight_decay: float = 0.05
    """Decoupled weight decay of AdamW; biases and normalization layers are not decayed."""
    schedule: Literal["one_cycle", "cosine", "constant"] = "one_cycle"
    """One-cycle (30 % up, cosine down), linear warm-up then cosine, or a constant rate after warm-up."""
    warmup_epochs: float = 1.0
    """Epochs of linear warm-up with `cosine` and `constant`."""
    label_smoothing: float = 0.1
    """Fraction of the target that is spread evenly over all classes."""
    clip_grad_norm: float = 0.0
    """Maximum norm of the gradient; 0 turns clipping off."""
    window_seconds: float = 0.0
    """Length of a training window in seconds; 0 uses the median length of the training clips."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of training: `auto` uses bfloat16 autocast where the hardware supports it; scoring is in float32."""
    compile: bool = False
    """Compile the network with `torch.compile`, which trains more slowly wherever it was measured (docs/suites.md)."""
    class_weights: Literal["none", "balanced", "effective_number"] = "none"
    """Weights of the classes in the loss: inverse frequency, or the inverse effective number of clips."""
    effective_beta: float = 0.99
    """With `effective_number`: 0 weighs all classes equally, 1 would be `balanced`."""
    sampler: Literal["shuffle", "class_balanced", "class_group_balanced"] = "shuffle"
    """Each clip once per epoch; or classes equally often; or classes, and groups within a class, equally often."""
    logit_adjustment: float = 0.0
    """Adds this times the log frequency of each class to the logits in the loss; 1 is usual, 0 turns it off."""
    focal_gamma: float = 0.0
    """Exponent of the focal loss; 2 is usual, 0 is the cross-entropy."""
    ema_decay: float = 0.0
    """Keep an exponential moving average of the weights with this decay per step, and score it; 0 turns it off."""
    patience: int = 0
    """Stop after this many epochs without a better one on valid; 0 trains all epochs."""
    keep_steps: bool = False
    """With `split.train_fraction`: epochs, warm-up and patience grow until the steps are those of all groups."""
    n_shifts: int = 1
    """Score each window as the mean over this many circular time shifts; 1 scores it as it is."""

    def __post_init__(self) -> None:
        def check(ok: bool, name: str, remedy: str) -> None:
            check_setting(ok, f"train.{name}", getattr(self, name), remedy)

        check_values(self, "train.")
        check(0 <= self.label_smoothing < 1, "label_smoothing", "give 0 to below 1")
        long_enough = self.window_seconds == 0 or self.window_seconds >= MIN_WINDOW_SECONDS
        check(long_enough, "window_seconds", f"give 0 (median length) or {MIN_WINDOW_SECONDS:g} or more")
        check(0 <= self.effective_beta < 1, "effective_beta", "give 0 to below 1")
        check(0 <= self.ema_decay < 1, "ema_decay", "give 0 (off) to below 1, for example 0.99")
        self._check_balance()

    def for_part(self, n_kept: int, n_clips: int) -> TrainConfig:
        """How a part of the training clips is trained: with `keep_steps` for as many steps as all of them.

        Epochs are whole, so that there are up to one epoch more steps, and never fewer.
        """
        if not self.keep_steps:
            return self
        ratio = self.steps_ratio(n_kept, n_clips)
        return self.with_epochs(math.ceil(self.epochs * ratio), ratio)

    def steps_ratio(self, n_clips: int, of_clips: int) -> float:
        """How many times the epochs on `n_clips` take for as many steps as on `of_clips`."""
        ours, theirs = (steps_per_epoch(n, self.batch_size) for n in (n_clips, of_clips))
        return theirs / ours

    def with_epochs(self, epochs: int, ratio: float) -> TrainConfig:
        """As many epochs; what else is counted in epochs times `ratio`."""
        patience = math.ceil(self.patience * ratio)
        return replace(self, epochs=epochs, warmup_epochs=self.warmup_epochs * ratio, patience=patience)

    def _check_balance(self) -> None:
        """Refuse two corrections of the same imbalance."""
        found = [name for name in BALANCE if getattr(self, name) != BALANCE[name]]
        if len(found) > 1:
            first, *_, second = found
            remedy = f"{first} = {shown(getattr(self, first))} corrects the same imbalance; give one of them"
            check_setting(False, f"train.{second}", getattr(self, second), remedy)
