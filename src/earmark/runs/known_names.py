"""Clips and groups with names of those that trained a network: digests of files miss edited copies and other clips."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from earmark.config.sections import ModelConfig
from earmark.datasets.manifest import Clip, has_groups
from earmark.models.prefixes import ONNX
from earmark.runtime.console import format_names, pluralize
from earmark.splits.io import read_split, read_split_rows
from earmark.splits.split import Split
from earmark.training.checkpoint_files import run_folder

LOG = logging.getLogger("earmark")


def warn_of_known_names(path: Path, clips: Sequence[Clip]) -> None:
    """Warn of clips, or groups of them, with the names of those that trained a network.

    Args:
        path: of the network: a run folder or a file in one. Others do not know the names.
        clips: that are to be scored.
    """
    folder = path.parent if path.is_file() else run_folder(path)
    if not (folder / "split.csv").is_file():
        return
    split = read_split(folder)
    ids = set(split.train)
    groups = {row["group"] for row in read_split_rows(folder) if row["clip_id"] in ids}
    found = {"clip": sorted({clip.clip_id for clip in clips} & ids)}
    if split.groups == "declared" and has_groups(clips):
        found["group"] = sorted({clip.group for clip in clips} & groups)
    named = [f"{pluralize(len(names), what)} ({format_names(names)})" for what, names in found.items() if names]
    if named:
        LOG.warning(
            "%s was trained on %s of the same name; if they are the same recordings, speakers or places, its score is "
            "too high",
            path,
            " and ".join(named),
        )


def warn_of_known_starts(runs: Iterable[tuple[ModelConfig, Split, Sequence[Clip]]]) -> None:
    """Warn of clips and groups that runs hold out, and whose names are those that trained the network they start from.

    Args:
        runs: for each, what it starts from, its split and all clips of the data set.
    """
    from earmark.models.weights import weights_path

    held_out: dict[Path, dict[str, Clip]] = defaultdict(dict)
    for model, split, clips in runs:
        of_onnx = Path(model.name.removeprefix(ONNX)).expanduser() if model.name.startswith(ONNX) else None
        start = of_onnx or weights_path(model.weights)
        if start is not None and start.exists():
            ids = {*split.valid, *split.test}
            held_out[start] |= {clip.clip_id: clip for clip in clips if clip.clip_id in ids}
    for start, clip_of in held_out.items():
        warn_of_known_names(start, list(clip_of.values()))
