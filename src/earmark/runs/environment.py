"""What a run was trained with: versions, processor, device, threads. The same of all of these gives the same bytes."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

import torch

import earmark
from earmark.runtime.machine import processor_name
from earmark.training.distributed import rank_and_world

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "soundfile", "soxr", "pillow")
"""Packages that compute something on the way from a recording to a prediction."""


def environment(device: torch.device) -> dict[str, Any]:
    """Platform, processor, device, threads, processes and versions of this process."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return {
        "device": f"{device} {name}".strip(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "processes": rank_and_world()[1],
        "versions": {"earmark": earmark.__version__, "python": platform.python_version(), **dict(_packages())},
    }


def _packages() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, torch.__version__ if name == "torch" else metadata.version(name)
        except metadata.PackageNotFoundError:  # an extra that is not installed
            continue


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs between the environments of two runs: ``torch 2.9.0, was 2.8.0``."""
    old, new = _flat(before), _flat(now)
    keys = [key for key in new if old.get(key) != new[key]]
    return tuple(f"{key} {new[key]}, was {old.get(key, 'not recorded')}" for key in keys)


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("device", "platform", "processor", "threads", "processes", "precision")
    versions = content.get("versions")
    found = {key: content[key] for key in keys if key in content}
    return found | (dict(versions) if isinstance(versions, dict) else {})
