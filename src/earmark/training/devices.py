"""Where a network is trained: the device, its precision, and copies to it that do not wait."""

from __future__ import annotations

import re
import threading

import numpy as np
import torch
from torch import Tensor

from earmark.config.sections import ConfigError
from earmark.runtime.errors import first_line


def select_device(name: str = "auto") -> torch.device:
    """The named device; `auto` is a GPU where there is one: CUDA, else Apple MPS.

    Raises:
        ConfigError: the device is not available.
    """
    if name == "auto":
        mps = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if torch.cuda.is_available() else mps)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        known = re.fullmatch(r"(cpu|cuda|mps)(:\d+)?", name)
        problem = f"not available here ({first_line(error)})" if known else "no such device"
        raise ConfigError(f"device = {name!r}: {problem}; give auto, cpu, cuda or mps") from None
    return device


def resolve_precision(precision: str, device: torch.device) -> str:
    """`float32` or `bfloat16`; `auto` is bfloat16 where the device computes in it."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device.type == "cpu" and _cpu_has_bf16() else "float32"


def _cpu_has_bf16() -> bool:
    # `get_capabilities` is new in PyTorch; without it, float32
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def to_device(values: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """The values on a device. CUDA is not waited for: the copy takes its turn after the steps that are queued."""
    tensor = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    return tensor.to(device, non_blocking=device.type == "cuda")  # on MPS the source would have to be kept


class _ExactFloat32:
    """The setting is one for the whole process: the first thread to enter makes it, the last one to leave undoes it."""

    def __init__(self) -> None:
        self._lock, self._n_inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if self._n_inside == 0:
                self._flags = torch.backends.cudnn.flags(enabled=True, allow_tf32=False, deterministic=True)
                self._flags.__enter__()
                self._products = torch.get_float32_matmul_precision()
                torch.set_float32_matmul_precision("highest")
            self._n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                self._flags.__exit__(None, None, None)
                torch.set_float32_matmul_precision(self._products)


exact_float32 = _ExactFloat32()
"""A context without TensorFloat-32, which some GPUs use for float32 convolutions by default; threads can share it.

Matrix products are exact, too, whatever `torch.set_float32_matmul_precision` says.
"""


def without_autocast(device: torch.device) -> torch.autocast:
    """A context that computes in the precision of the weights, also inside the autocast of a caller."""
    return torch.autocast(device.type, enabled=False)
