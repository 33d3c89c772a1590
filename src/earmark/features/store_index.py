"""The index of a spectrogram store: a CSV that says what each image was made from."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from earmark.runtime.files import write_csv


@dataclass(frozen=True)
class Entry:
    """What the index knows about one image."""

    clip_id: str
    waveform: str
    recipe: str
    """Hash of the front end and the waveform variant."""
    content: str
    """Hash of the audio file."""
    size: int
    """Of the audio file, in bytes."""
    mtime_ns: int
    """When the audio file was last changed, in nanoseconds."""


COLUMNS = tuple(f.name for f in dataclasses.fields(Entry))
Index = dict[tuple[str, str], Entry]
"""By clip id and waveform variant."""


def append_entries(entries: Iterable[Entry], file: TextIO) -> None:
    """Write finished entries down at once, so that a kill does not lose them."""
    csv.writer(file).writerows(map(dataclasses.astuple, entries))
    file.flush()


def read_index(path: Path) -> Index:
    """The entries by name, the last one counts; a line that was cut off by a kill is left out."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS) and row[-1].isdecimal()]
    return {(row[0], row[1]): Entry(*row[:4], int(row[4]), int(row[5])) for row in rows}


def write_index(index: Index, path: Path) -> None:
    """Write the index sorted by name."""
    write_csv(path, [COLUMNS, *(dataclasses.astuple(index[name]) for name in sorted(index))])
