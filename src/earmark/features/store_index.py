"""The index of a spectrogram store: a CSV that says what each image was made from."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from earmark.runtime.files import write_csv


@dataclass(frozen=True)
class Entry:
    """What the index knows about one image."""

    clip_id: str
    augmentation: str
    """Its name; `orig` for the clip itself."""
    recipe: str
    """Hash of the front end and the augmentation."""
    content: str
    """Hash of the audio file."""
    size: int
    """Of the audio file, in bytes."""
    mtime_ns: int
    """When the audio file was last modified, in nanoseconds; programs can set it."""
    ctime_ns: int = 0
    """When the file system last noted a change, in nanoseconds, which programs cannot set; 0 in older stores."""

    @property
    def stamp(self) -> tuple[int, int, int]:
        """What changes with the audio file and can be known without reading it."""
        return self.size, self.mtime_ns, self.ctime_ns


COLUMNS = tuple(f.name for f in dataclasses.fields(Entry))
NUMBER = re.compile(r"[0-9]{1,19}")
Index = dict[tuple[str, str], Entry]
"""By clip id and augmentation."""


def append_entries(entries: Iterable[Entry], file: TextIO) -> None:
    """Write finished entries at once, so that a kill does not lose them."""
    csv.writer(file).writerows(map(dataclasses.astuple, entries))
    file.flush()


def read_index(path: Path) -> Index:
    """The entries by name, the last one of a name; a line that a kill has cut off, or that is damaged, is left out."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        lines = csv.reader(file)
        columns = _upgrade(next(lines, []))
        if {*columns} | {"ctime_ns"} != {*COLUMNS} or len(columns) != len({*columns}):
            return {}
        rows = [row for row in _whole_lines(lines) if len(row) == len(columns)]
    named: list[dict[str, Any]] = [dict(zip(columns, row, strict=True)) for row in rows]
    numbers = [name for name in ("size", "mtime_ns", "ctime_ns") if name in columns]
    whole = [row for row in named if all(NUMBER.fullmatch(row[name]) for name in numbers)]
    entries = [Entry(**row | {name: int(row[name]) for name in numbers}) for row in whole]
    return {(entry.clip_id, entry.augmentation): entry for entry in entries}


def _whole_lines(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    """The rows up to the first that is no CSV; the images of the others are made again."""
    with contextlib.suppress(csv.Error):
        yield from lines


def _upgrade(columns: list[str]) -> list[str]:
    """Format version 1 called the column of the augmentation `waveform`."""
    return ["augmentation" if name == "waveform" else name for name in columns]


def write_index(index: Index, path: Path) -> None:
    """Write the index sorted by name."""
    write_csv(path, [COLUMNS, *(dataclasses.astuple(index[name]) for name in sorted(index))])
