"""Waveform variants: altered copies of a clip that stand in for it in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

ORIGINAL = "orig"
Definition = Mapping[str, Any]


class VariantError(ValueError):
    """A waveform variant that is unknown or wrongly defined; the message gives its name and the remedy."""


def definition_of(name: str, definitions: Mapping[str, Definition]) -> Definition:
    if name != ORIGINAL:
        raise VariantError(f"waveform variant {name!r}: no such variant")
    return {}


def vary(waveform: np.ndarray, sample_rate: int, clip_id: str, name: str, definition: Definition) -> np.ndarray:
    return waveform
