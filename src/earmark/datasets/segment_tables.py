"""Tables of labeled segments of long recordings: of Raven, BirdNET, OpenSoundscape, Audacity, audformat, plain CSVs.

A Raven selection table is tab-separated and has one row for each selection and view (Raven Pro User's Manual,
chapter 6). BirdNET writes the same format, and CSVs with columns of its own. An Audacity label track has no header, and
for each label a line ``start<tab>end<tab>label``.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from earmark.datasets.folder import groups_of_paths
from earmark.datasets.recordings import contents, time_columns
from earmark.datasets.rows import ManifestError, find_column, not_utf8, read_rows
from earmark.datasets.segment_recordings import Recordings
from earmark.datasets.segments import Segment
from earmark.runtime.console import brief, format_names, pluralize
from earmark.runtime.errors import suggest
from earmark.runtime.names import nfc
from earmark.runtime.schema import SchemaError, check_size, decimal_number

LOG = logging.getLogger("earmark")

LABEL_COLUMNS = (
    "Annotation", "Annotations", "annotation", "Species", "Common Name", "Common name", "Label", "label", "Class",
    "emotion", "event_label",
)  # fmt: skip
"""Columns that are taken as the label where none is named, see `find_column`."""
BEGIN, END, OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
FILES = ("Begin Path", "Begin File", "file", "path", "filename", "audio_file", "File")
"""Columns of the recording, in any case; the first that is not empty."""
_AUDACITY = re.compile(r"\d+[.,]?\d*\t\d+[.,]?\d*\t")
"""How a line of an Audacity label track begins."""
_CLOCK = re.compile(r"(?:(\d+) days? \+?)?(?:(\d+):)?(\d+):(\d\d(?:[.,]\d+)?)")
"""A time as ``1:02.5``, ``0:01:02,5``, or as audformat writes it: ``0 days 00:00:01.500000``."""

Cells = dict[str, str]


def read_segments(
    table: str | Path, recordings: str | Path | None = None, label: str = "", group: str = "", group_pattern: str = ""
) -> list[Segment]:
    """Read the segments of a table, or of those in a folder: all Raven tables, else all CSVs, else all label tracks.

    A table is a Raven selection table, an Audacity label track, or a CSV with the columns ``file`` or ``path``,
    ``start`` and ``end`` (seconds, or audformat's ``0 days 00:00:01.5``) or with those of BirdNET or OpenSoundscape. In
    a folder, tables without selections are skipped with a warning.

    Args:
        table: the file or folder.
        recordings: folder of the recordings; None is that of the table. A recording is found by the path in the table
            or by its name, see `Recordings.find`.
        label: column of the label; empty takes the first of `LABEL_COLUMNS`.
        group: column of the group; empty takes the recording.
        group_pattern: instead, a regular expression that finds the group in the name of each recording, or, with a
            slash in it, in the path below the folder of the recordings.

    Raises:
        ManifestError: a table cannot be read or used, a recording is missing or ambiguous, or found for two paths, or
            the pattern is invalid or finds no group.
    """
    if group and group_pattern:
        raise ManifestError("--group-column and --group-pattern: both name the group; give one of them")
    table = Path(table)
    folder = Path(recordings) if recordings else table if table.is_dir() else table.parent
    places = Recordings(folder, table if table.is_dir() else table.parent)
    segments: list[Segment] = []
    empty = []
    for path in _tables(table):
        rows = _rows(path)
        if not rows:
            empty.append(path.name)
            continue
        chosen = _label_column(label, group, list(rows[0][1]), path)
        segments += [_segment(cells, f"{path}, line {line}", chosen, group, path, places) for line, cells in rows]
    if not segments:
        raise ManifestError(f"{table}: has no selections; {_COLUMNS}")
    places.check()
    if empty:
        LOG.warning(
            "%s: %s without selections, skipped: %s", table, pluralize(len(empty), "table"), format_names(empty)
        )
    return _grouped(segments, group_pattern, folder) if group_pattern else segments


def _label_column(label: str, group: str, columns: Sequence[str], path: Path) -> str:
    """The column of the label; refuses what is not there."""
    for setting, column in (("--label-column", label), ("--group-column", group)):
        if column and column not in columns:
            raise ManifestError(f"{path}: {setting} {column!r}: no such column{suggest(column, columns)}")
    found = label or find_column(columns, LABEL_COLUMNS)
    if not found:
        names = brief(", ".join(columns))
        raise ManifestError(f"{path}: no column of the label; name it with --label-column, one of {names}")
    return found


def _grouped(segments: Sequence[Segment], pattern: str, folder: Path) -> list[Segment]:
    paths = list(dict.fromkeys(segment.recording for segment in segments))
    inside = [path.relative_to(folder) if path.is_relative_to(folder) else path for path in paths]
    groups = dict(zip(paths, groups_of_paths(inside, pattern), strict=True))
    return [replace(segment, group=groups[segment.recording]) for segment in segments]


_COLUMNS = "give a Raven selection table, an Audacity label track, or a CSV with the columns file,start,end and a label"


def _tables(table: Path) -> list[Path]:
    if not table.is_dir():
        return [table]
    files = sorted(path for path in table.rglob("*") if path.suffix.lower() in (".txt", ".csv"))
    texts = [(path, _first_line(path)) for path in files if path.suffix.lower() == ".txt"]
    tables = [path for path, line in texts if BEGIN in line.split("\t")]
    tables = tables or [p for p in files if p.suffix.lower() == ".csv" and _time_columns(_first_line(p))]
    tables = tables or [path for path, line in texts if _AUDACITY.match(line)]
    if not tables:
        wanted = "no Raven table or label track (*.txt) and no table of segments (*.csv)"
        raise ManifestError(f"{table}: holds {wanted}, but {contents(table)}; {_COLUMNS}")
    return tables


def _rows(path: Path) -> list[tuple[int, Cells]]:
    """The rows of a table of any kind by line."""
    line = _first_line(path)
    if BEGIN in line.split("\t"):
        return _each_once(_raven_rows(path))
    if _AUDACITY.match(line):
        return _audacity_rows(path)
    start, end = _time_columns(line) or ("start", "end")
    if start in line and not _text(path)[len(line) :].strip():
        return []
    rows = [(i, {**row, "start": row[start], "end": row[end]}) for i, row in read_rows(path, (start, end), _COLUMNS)]
    return _each_once(rows) if start == BEGIN else rows


def _time_columns(header: str) -> tuple[str, str] | None:
    """The columns of start and end in the header line of a CSV; None where it has none."""
    return time_columns(name.strip().strip('"') for name in re.split("[,;\t]", header))


def _first_line(path: Path) -> str:
    try:
        check_size(path)
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.readline(10_000)
    except (OSError, SchemaError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ManifestError(f"{path}: cannot be read ({reason}); {_COLUMNS}") from None


def _text(path: Path) -> str:
    """The text of a table whose size was checked with its first line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: {not_utf8(error)}") from None


def _audacity_rows(path: Path) -> list[tuple[int, Cells]]:
    """The labels of a track by line; a line that begins with a backslash has the frequencies of the one before it."""
    lines = enumerate(_text(path).splitlines(), start=1)
    cells = [(i, [*(cell.strip() for cell in line.split("\t")), "", ""]) for i, line in lines if line.strip()]
    return [(i, dict(zip(("start", "end", "label"), row, strict=False))) for i, row in cells if row[0] != "\\"]


def _raven_rows(path: Path) -> list[tuple[int, Cells]]:
    """The rows of a selection table by line, a selection once for each of its views."""
    lines = io.StringIO(_text(path), newline="")
    try:
        rows = [(i, row) for i, row in enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), start=1)]
    except csv.Error as error:
        raise ManifestError(f"{path}: cannot be read ({brief(str(error))}); save it again as text") from None
    header = [name.strip() for name in rows[0][1]]
    return [
        (line, dict(zip(header, [*(v.strip() for v in values), *[""] * len(header)], strict=False)))
        for line, values in rows[1:]
    ]


def _each_once(rows: Sequence[tuple[int, Cells]]) -> list[tuple[int, Cells]]:
    """The selections by line, each once: in its spectrogram view where it has several views."""
    selections: dict[tuple[str, ...], tuple[int, Cells]] = {}
    for line, cells in rows:
        key = tuple(cells.get(name, "") for name in ("Selection", BEGIN, END, "Begin Path", "Begin File"))
        if any(cells.values()) and (key not in selections or cells.get("View", "").startswith("Spectrogram")):
            selections[key] = (line, cells)
    return list(selections.values())


def _segment(cells: Cells, where: str, label: str, group: str, table: Path, places: Recordings) -> Segment:
    for column in (label, group):
        if column and not cells[column]:
            raise ManifestError(f"{where}: {column} is empty; fill it in or delete the line")
    named = cells.get(find_column((name for name, cell in cells.items() if cell), FILES), "")
    recording = places.find(named, cells.get("Begin File", ""), table, where)
    start = _seconds(cells.get(BEGIN, cells.get("start", "")), where)
    end = _seconds(cells.get(END, cells.get("end", "")), where, last=True)
    if cells.get(OFFSET):  # the other times are those in a list of recordings
        offset = _seconds(cells[OFFSET], where)
        start, end = offset, offset + (end - start)
    channel = _channel(cells.get("Channel", ""), where)
    source = cells[group] if group else ""
    return Segment(recording, start, end, nfc(cells[label]), source, where, channel)


def _channel(text: str, where: str) -> int:
    """The number of a channel, from 1; 0 where none is given."""
    if not text:
        return 0
    if not (text.isdecimal() and len(text) <= 9 and int(text) >= 1):
        raise ManifestError(f"{where}: Channel {brief(text)!r}; give a whole number from 1, or leave it empty")
    return int(text)


def _seconds(text: str, where: str, last: bool = False) -> float:
    """A time in seconds; with `last`, an empty one is the end of the recording."""
    if last and text in ("", "NaT"):
        return math.inf
    clock = _CLOCK.fullmatch(text)
    if clock:
        days, hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in clock.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    try:
        seconds = decimal_number(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise ManifestError(f"{where}: time {brief(text)!r}; give seconds from the beginning of the recording")
    return seconds
