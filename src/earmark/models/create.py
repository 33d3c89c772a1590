"""Networks by name: `create_model("baseline_cnn", n_classes=10, n_mels=128, attention="se")`.

A name is one of `MODELS`, `timm/<name>` for any convolutional network of timm, or `module:function` for your own.
Attention blocks are in `ATTENTION`, their placements in `PLACEMENTS`; docs/models.md describes networks, attention,
weights and fine-tuning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from earmark.models.attention import ATTENTION
from earmark.models.complexity import count_parameters_and_macs
from earmark.models.network import PLACEMENTS, ModelError, ModelOptions, Network
from earmark.models.registry import MODELS, Architecture, architecture_of, check_name
from earmark.models.weights import TRAIN, Weights, WeightsError, freeze, load_weights, read_weights


def create_model(
    name: str,
    n_classes: int,
    n_mels: int,
    *,
    attention: str = "none",
    placement: str = "block",
    weights: str = "none",
    train: str = "all",
    dropout: float = 0.3,
    db_range: tuple[float, float] | None = None,
    stochastic_depth: float = 0.0,
) -> Network:
    """Create a network that maps images (B, 1, F, T) in [0, 1], row 0 the highest bin, to logits (B, K).

    Args:
        weights: `none`, a name (`imagenet`, `audioset`) or the path of a file; `load_weights` says what must fit.
        train: what stays trainable: `all`, `last_stage` (and the head) or `head`; attention blocks always do.
        db_range: the levels in dB that 0 and 1 stand for; None if they differ between clips.
        stochastic_depth: probability that training drops the last residual block of an image.

    Raises:
        ModelError: a name is unknown, or the options cannot be combined.
        WeightsError: the weights are not available or do not fit.
    """
    architecture = architecture_of(name)
    check_name("model.attention", attention, ATTENTION)
    check_name("model.placement", placement, PLACEMENTS)
    check_name("model.train", train, TRAIN)
    pretrained = weights != "none"
    if pretrained and architecture.front_end.get("reference") == "fixed" and db_range is None:
        raise WeightsError(
            f"model.weights = {weights!r}: {name} needs images of known level; set front_end.reference = 'fixed' and "
            "the other settings of its front end as in docs/models.md"
        )
    options = ModelOptions(attention, placement, dropout, pretrained, db_range, stochastic_depth)
    network = architecture.create(n_classes, n_mels, options)
    if stochastic_depth and not network.has_residual_blocks:
        raise ModelError(
            f"model.stochastic_depth = {stochastic_depth}: {name} has no residual blocks; give 0, or a network that has"
        )
    if pretrained:
        load_weights(network, _weights_of(name, architecture, weights), weights)
    freeze(network, train)
    return network


def _weights_of(name: str, architecture: Architecture, weights: str) -> Weights:
    if weights in architecture.weights:
        return architecture.weights[weights]()
    if weights in ("imagenet", "audioset"):
        choices = ", ".join(["none", *architecture.weights])
        raise WeightsError(f"model.weights = {weights!r}: not available for {name}; give {choices} or a path")
    return read_weights(weights)


@dataclass(frozen=True)
class ModelRow:
    """One line of `earmark models`."""

    name: str
    summary: str
    weights: tuple[str, ...]
    """Its named weights, besides `none` and a path."""
    n_parameters: int
    macs: int


def model_table(
    names: Iterable[str] = tuple(MODELS), n_classes: int = 50, *, attention: str = "none", placement: str = "block"
) -> list[ModelRow]:
    """Size and cost of networks for one image of 128 x 431; the arguments are those of `create_model`."""
    rows = []
    for name in names:
        architecture = architecture_of(name)
        with torch.device("meta"):
            network = create_model(name, n_classes, 128, attention=attention, placement=placement)
        cost = count_parameters_and_macs(network, 128, 431)
        rows.append(ModelRow(name, architecture.summary, tuple(architecture.weights), *cost))
    return rows
