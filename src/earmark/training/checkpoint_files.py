"""Where the checkpoint of a run is; without PyTorch."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from earmark.runtime.errors import EarmarkError, did_you_mean

CHECKPOINTS = ("best.safetensors", "last.safetensors")
"""Files of a run folder; `best` where a valid subset selects the epoch."""
MODEL_FORMS = "give a run folder, a model folder, a .safetensors or an .onnx file"


class CheckpointError(EarmarkError):
    """A file that is not a checkpoint of earmark, or does not fit."""


def checkpoint_of(path: Path) -> Path:
    """The selected checkpoint of a run folder (`best` if there is one, else `last`), or the file itself.

    Args:
        path: a file, a run folder, or a run folder without its id (``runs/own/se-fold1-seed42``).

    Raises:
        CheckpointError: there is none, or several run folders match.
    """
    path = run_folder(path)
    if path.is_dir():
        for name in CHECKPOINTS:
            if (path / name).is_file():
                return path / name
        inside = sorted(file.parent for file in path.glob("*/last.safetensors"))
        remedy = f"; give a run in it, such as {inside[0]}" if inside else ""
        if (path / "result.json").is_file() or list(path.glob("*/result.json")):
            remedy = remedy or "; probes and imported predictions have no network, give a run that trained one"
        raise CheckpointError(f"checkpoint {path}: holds neither best.safetensors nor last.safetensors{remedy}")
    if not path.is_file():
        remedy = did_you_mean(path.name, [other.name for other in path.parent.glob("*")]) or f"; {MODEL_FORMS}"
        raise CheckpointError(f"checkpoint {path}: not found{remedy}")
    return path


def run_folder(path: Path) -> Path:
    """The path itself if it exists or no other fits, else the run folder called ``<path>-<id>``.

    Its fold and seed may be left out with the id where only one run fits.

    Raises:
        CheckpointError: several run folders match.
    """
    if path.exists():
        return path
    found = sorted(p for p in path.parent.glob(f"{glob.escape(path.name)}-*") if p.is_dir() and _is_rest(path, p))
    if len(found) > 1:
        raise CheckpointError(f"run {path}: {len(found)} runs match, such as {found[0]}; give one")
    return found[0] if found else path


def _is_rest(path: Path, run: Path) -> bool:
    """Whether the name of a run is that of the path with an id, and at most fold and seed before it."""
    return bool(re.fullmatch(r"-(fold[0-9]+-)?(seed[0-9]+-)?[0-9a-f]{10}", run.name.removeprefix(path.name)))
