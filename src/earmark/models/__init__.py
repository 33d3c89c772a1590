"""Networks by name: `create_model("baseline_cnn", n_classes=10, n_mels=128, attention="se")`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from earmark.models.attention import ATTENTION
from earmark.models.baseline_cnn import BaselineCnn
from earmark.models.complexity import describe
from earmark.models.network import Network

MODELS: dict[str, Callable[..., Network]] = {
    "baseline_cnn": BaselineCnn,
}
PLACEMENTS = ("block", "stage")

__all__ = ["ATTENTION", "MODELS", "PLACEMENTS", "ModelError", "Network", "create_model", "describe", "pretrained_names"]


class ModelError(ValueError):
    """A network that cannot be made; the message names the setting, its value and the remedy."""


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
) -> Network:
    """Create a network that maps images (B, 1, F, T) in [0, 1], row 0 the highest bin, to logits (B, K).

    Raises:
        ModelError: a name is unknown.
    """
    _check_name("model.name", name, MODELS)
    _check_name("model.attention", attention, ATTENTION)
    _check_name("model.placement", placement, PLACEMENTS)
    return MODELS[name](n_classes, n_mels, attention=attention, placement=placement, dropout=dropout)


def pretrained_names(model: Network) -> frozenset[str]:
    """Names of the parameters that came from pretrained weights; they want a lower learning rate."""
    return model.pretrained


def _check_name(setting: str, value: str, names: Iterable[str]) -> None:
    names = list(names)
    if value in names:
        return
    close = difflib.get_close_matches(value, names, n=1)
    remedy = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"
    raise ModelError(f"{setting} = {value!r}: no such name; {remedy}")
