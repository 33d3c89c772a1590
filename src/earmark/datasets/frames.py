"""Clips from a pandas DataFrame, by the rules for CSV tables."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from earmark.config.sections import DataConfig
from earmark.datasets.manifest import Clip
from earmark.datasets.read import read_dataset
from earmark.datasets.rows import ManifestError
from earmark.runtime.console import format_names


def clips_from_frame(frame: Any, root: str | Path = ".", label_column: str = "", group_column: str = "") -> list[Clip]:
    """The clips that the rows of a DataFrame list.

    Args:
        frame: with a column `path`, one for the label and, where several clips belong together, one for the group.
        root: folder that relative paths start from.
        label_column: empty takes `label`.
        group_column: empty takes `group`, where there is one.

    Raises:
        ManifestError: a column or a recording is missing, or a value cannot be used.
    """
    if "path" not in frame.columns:
        raise ManifestError(f"DataFrame: no column 'path', but {format_names([str(c) for c in frame.columns])}")
    absolute = frame.assign(path=[str((Path(root) / str(path)).resolve()) for path in frame["path"]])
    with tempfile.TemporaryDirectory(prefix="earmark-") as folder:
        table = Path(folder) / "clips.csv"
        absolute.to_csv(table, index=False)
        config = DataConfig("csv", str(table), label_column=label_column, group_column=group_column)
        return read_dataset(config)
