"""What all readers share: find the recordings, say what is there instead, measure their durations, count them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from earmark.audio.io import AudioError, audio_info
from earmark.datasets.manifest import Clip
from earmark.datasets.rows import ManifestError, find_column
from earmark.runtime.console import format_names, pluralize, printable

LOG = logging.getLogger("earmark")

SEGMENTED = "the rows are segments of recordings; cut them into files with `earmark cut` and use its clips.csv"
_TIMES = (
    ("start", "end"),
    ("start_time", "end_time"),
    ("onset", "offset"),
    ("Start (s)", "End (s)"),
    ("Begin Time (s)", "End Time (s)"),
)
"""Columns of the times of segments: of audformat and your own, OpenSoundscape, DCASE, BirdNET, Raven."""


def find_data(path: str | Path, setting: str = "data.root", remedy: str = "") -> Path:
    """The file or folder at `path` as given, else below the folder that $EARMARK_DATA names.

    Raises:
        ManifestError: it is at neither place; the message names `setting`, both places and, if given, `remedy`.
    """
    base = os.environ.get("EARMARK_DATA")
    given = Path(path).expanduser()
    tried = [given.absolute(), *([Path(base, path).absolute()] if base else [])]
    for place in tried:
        if place.exists():
            return given if place == tried[0] else place
    places = " nor at ".join(map(str, tried)) + ("" if base else " (and EARMARK_DATA is not set)")
    fetch = ", or fetch a public set with `earmark download esc50` or `earmark download emodb`"
    remedy = remedy or f"give the right path{fetch * (setting == 'data.root')}"
    raise ManifestError(f"{setting} = {str(path)!r}: not found at {places}; {remedy}")


def contents(root: Path) -> str:
    """What a folder holds, in a few words, for a message that says what was not found there."""
    if not root.is_dir():
        return "is a file"
    names = sorted(path.name + "/" * path.is_dir() for path in root.iterdir() if not path.name.startswith("."))
    return f"holds {printable(format_names(names))}" if names else "is empty"


def warn_of_skipped(names: Sequence[str], root: str | Path, why: str) -> None:
    """Warn that files are skipped, with their number and the first name."""
    if names:
        LOG.warning("%s: skipped %s %s; the first: %s", root, pluralize(len(names), "file"), why, names[0])


def time_columns(columns: Iterable[str]) -> tuple[str, str] | None:
    """The columns with start and end of segments, in seconds and in any case; None where there are none."""
    columns = list(columns)
    found = ((find_column(columns, [start]), find_column(columns, [end])) for start, end in _TIMES)
    return next((times for times in found if all(times)), None)


def with_durations(clips: Sequence[Clip], source: str | Path) -> list[Clip]:
    """The clips with their durations in seconds, read from the files' headers in parallel.

    Files that cannot be read keep duration 0 and are reported by a warning (`earmark validate` lists them).

    Raises:
        ManifestError: none of the files can be read.
    """
    with ThreadPoolExecutor(max_workers=8) as pool:
        durations = list(pool.map(_duration, clips))
    errors = [d for d in durations if isinstance(d, AudioError)]
    if errors and len(errors) == len(clips):
        raise ManifestError(f"{source}: none of its {len(clips)} recordings can be read; the first: {errors[0]}")
    if errors:
        message = "%s: %d of %d recordings cannot be read, `earmark validate` lists them; the first: %s"
        LOG.warning(message, source, len(errors), len(clips), errors[0])
    return [
        replace(clip, duration=0.0 if isinstance(duration, AudioError) else duration)
        for clip, duration in zip(clips, durations, strict=True)
    ]


def _duration(clip: Clip) -> float | AudioError:
    try:
        return audio_info(clip.path).duration
    except AudioError as error:
        return error


def count_differences(found: dict[str, int], expected: dict[str, int]) -> list[str]:
    """One line for each name that does not occur as often as expected."""
    return [
        f"{name}: {found.get(name, 0)} clips instead of {expected.get(name, 0)}"
        for name in sorted(expected.keys() | found.keys())
        if found.get(name, 0) != expected.get(name, 0)
    ]
