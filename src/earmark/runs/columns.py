"""The column of a table that divides the clips of finished runs into slices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from earmark.analysis.records import RunError
from earmark.analysis.slices import LABEL, Column
from earmark.datasets.manifest import clip_of_file
from earmark.datasets.rows import path_column, read_rows
from earmark.runtime.console import format_names, pluralize
from earmark.runtime.errors import suggest

MAX_VALUES = 50
"""Of one column; in more slices there are too few clips each."""


def read_column(name: str, label_of_clip: Mapping[str, str], path: Path | None = None) -> Column:
    """The values of a column for the clips of finished runs.

    Args:
        name: the column; `label` needs no table.
        label_of_clip: the clips and their labels.
        path: a CSV with this column and `clip_id` or `path`, such as a manifest with more columns.

    Raises:
        EarmarkError: the table or the column is missing, a clip has no row or two values, or there are not 2 to
            `MAX_VALUES` values.
    """
    if path is None and name != LABEL:
        raise RunError(f"by = {name!r}: give the table with this column as --clips, such as the manifest")
    values = label_of_clip if path is None else _values(name, set(label_of_clip), path)
    counts = Counter(filter(None, values.values()))
    if len(counts) < 2:
        what = f"is {next(iter(counts))!r} for all clips" if counts else "is empty for all clips"
        raise RunError(f"by = {name!r}: {what}; give a column with two values or more")
    if len(counts) > MAX_VALUES:
        remedy = f"and {MAX_VALUES} is the most; write ranges or kinds into a column"
        raise RunError(f"by = {name!r}: {len(counts)} different values, {remedy}")
    return Column(name, values)


def _values(name: str, clip_ids: set[str], path: Path) -> dict[str, str]:
    """The cells of a column by clip."""
    remedy = "give a CSV with clip_id or path, and the column"
    header = read_rows(path, (), remedy)[0][1].keys()
    key = "clip_id" if "clip_id" in header else path_column(header)
    if key not in header:
        raise RunError(f"{path}: has neither a column 'clip_id' nor 'path'; add one")
    if name not in header:
        raise RunError(f"by = {name!r}: no column of {path}{suggest(name, tuple(header))}")
    values: dict[str, str] = {}
    for line, row in read_rows(path, (key, name), remedy):  # refuses a column that is there twice
        clip_id = row[key] if row[key] in clip_ids else clip_of_file(row[key], clip_ids)
        if clip_id is not None and values.setdefault(clip_id, row[name]) != row[name]:
            other = f"{row[name]!r}, and {values[clip_id]!r} above"
            raise RunError(f"{path}, line {line}: {name} of clip {clip_id} is {other}; correct one")
    lacking = sorted(clip_ids - values.keys())
    if lacking:
        n_clips = pluralize(len(lacking), "clip")
        remedy = f"add one each, with an empty {name} where it is not known"
        raise RunError(f"{path}: no row for {n_clips} of the runs ({format_names(lacking)}); {remedy}")
    return values
