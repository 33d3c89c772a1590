"""Cut labeled segments of long recordings into files: tables of Raven, Audacity and audformat, plain CSVs.

A Raven selection table is tab-separated and has one row for each selection and view (Raven Pro User's Manual,
chapter 6). BirdNET writes the same format. An Audacity label track has no header, and for each label a line
``start<tab>end<tab>label``.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PureWindowsPath

from earmark.audio.io import audio_files, audio_info, open_audio, to_mono
from earmark.datasets.manifest import Clip, ManifestError, read_rows, safe_id, unique_ids, write_manifest
from earmark.datasets.recordings import contents
from earmark.datasets.write_augmented import float_wav
from earmark.runtime.console import brief, format_names, printable, progress_bar
from earmark.runtime.errors import suggest
from earmark.runtime.files import write_bytes
from earmark.runtime.schema import SchemaError, check_size, decimal_number, read_text

LABEL_COLUMNS = ("Annotation", "Annotations", "Species", "Common Name", "Label", "label", "Class", "emotion")
"""Columns that are taken as the label where none is named; the first that there is."""
BEGIN, END, OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
TOLERANCE = 0.1
"""Seconds by which a segment may end after its recording, since tables round times; it then ends with it."""
_AUDACITY = re.compile(r"\d+[.,]?\d*\t\d+[.,]?\d*\t")
"""How a line of an Audacity label track begins."""
_CLOCK = re.compile(r"(?:(\d+) days? \+?)?(\d+):(\d\d):(\d\d(?:\.\d+)?)")
"""How audformat writes a time: ``0 days 00:00:01.500000``."""

Cells = dict[str, str]


@dataclass(frozen=True)
class Segment:
    """A labeled segment of a recording."""

    recording: Path
    start: float
    """Seconds from the beginning of the recording."""
    end: float
    """Seconds; infinite where the segment lasts until the end of the recording."""
    label: str
    group: str
    """Empty: the recording."""
    where: str
    """File and line of the table, for messages."""
    channel: int = 0
    """The channel that the selection is in, from 1; 0 is the mean of all."""


def cut_segments(segments: Sequence[Segment], folder: str | Path, show_progress: bool = True) -> list[Clip]:
    """Write each segment as a WAV (mono, 32-bit float, the recording's own rate) and `clips.csv` that lists them.

    Clip ids are the recording's name and the number of the segment in it. Everything is checked before the first file
    is written.

    Raises:
        AudioError: a recording cannot be read.
        ManifestError: a segment does not lie within its recording, or has no length.
    """
    folder = Path(folder)
    ordered = sorted(segments, key=lambda s: (s.recording.as_posix(), s.start, s.end, s.label))
    by_recording = {path: list(inside) for path, inside in groupby(ordered, key=lambda s: s.recording)}
    for path, inside in by_recording.items():
        info = audio_info(path)
        for segment in inside:
            _check(segment, info.duration, info.channels)
            if segment.end - segment.start < 0.5 / info.sample_rate:
                raise ManifestError(f"{segment.where}: is shorter than one sample; correct the times")
    paths = list(by_recording)
    names = dict(zip(paths, unique_ids([p.stem for p in paths], [p.parent.name for p in paths]), strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for path in progress_bar(paths, "cut", len(paths), "file", show=show_progress):
        clips += _cut(path, by_recording[path], names[path], folder)
    write_manifest(clips, folder / "clips.csv")
    return clips


def _check(segment: Segment, duration: float, n_channels: int) -> None:
    start, end, name = segment.start, segment.end, printable(segment.recording.name)
    late = end > duration + TOLERANCE and end != math.inf
    if not 0 <= start < min(end, duration) or late:
        raise ManifestError(
            f"{segment.where}: {start:g} to {end:g} s, but {name} lasts {duration:g} s; correct the times"
        )
    if segment.channel > n_channels:
        raise ManifestError(f"{segment.where}: channel {segment.channel}, but {name} has {n_channels}; correct it")


def _cut(path: Path, segments: Sequence[Segment], name: str, folder: Path) -> list[Clip]:
    clips = []
    with open_audio(path) as file:
        for number, segment in enumerate(segments, start=1):
            first = min(round(segment.start * file.samplerate), file.frames - 1)
            last = file.frames if segment.end == math.inf else round(segment.end * file.samplerate)
            file.seek(first)
            samples_NC = file.read(max(1, last - first), dtype="float32", always_2d=True)
            waveform = samples_NC[:, segment.channel - 1] if segment.channel else to_mono(samples_NC)
            clip_id = safe_id(f"{name}_{number:04d}")
            target = folder / f"{clip_id}.wav"
            write_bytes(target, float_wav(waveform, file.samplerate))
            seconds = len(waveform) / file.samplerate
            clips.append(Clip(clip_id, target, segment.label, segment.group or name, duration=seconds))
    return clips


# ------------------------------------------------------------------------------------------------------ tables


def read_segments(
    table: str | Path, recordings: str | Path | None = None, label: str = "", group: str = ""
) -> list[Segment]:
    """Read the segments of a table, or of all Raven tables (``*.txt``) in a folder, or else of all its label tracks.

    A table is a Raven selection table, an Audacity label track, or a CSV with the columns ``file`` or ``path``,
    ``start`` and ``end`` (seconds, or audformat's ``0 days 00:00:01.5``).

    Args:
        table: the file or folder.
        recordings: folder of the recordings; None is that of the table. A recording is found by the path in the table
            or by its name; where the table names none, its own name begins with that of the recording.
        label: column of the label; empty takes the first of `LABEL_COLUMNS`.
        group: column of the group; empty takes the recording.

    Raises:
        ManifestError: a table cannot be read or used, or a recording is missing or ambiguous.
    """
    table = Path(table)
    folder = Path(recordings) if recordings else table if table.is_dir() else table.parent
    places = _Recordings(folder, audio_files(folder))
    segments = []
    for path in _tables(table):
        rows = _rows(path)
        columns = list(rows[0][1])
        chosen = label or next((name for name in LABEL_COLUMNS if name in columns), "label")
        for setting, column in (("--label-column", chosen), ("--group-column", group)):
            if column and column not in columns:
                raise ManifestError(f"{path}: {setting} {column!r}: no such column{suggest(column, columns)}")
        segments += [_segment(cells, f"{path}, line {line}", chosen, group, path, places) for line, cells in rows]
    return segments


_COLUMNS = "give a Raven selection table, an Audacity label track, or a CSV with the columns file,start,end and a label"


def _tables(table: Path) -> list[Path]:
    if not table.is_dir():
        return [table]
    texts = [(path, _first_line(path)) for path in sorted(table.rglob("*.txt"))]
    tables = [path for path, line in texts if BEGIN in line.split("\t")]
    tables = tables or [path for path, line in texts if _AUDACITY.match(line)]
    if not tables:
        raise ManifestError(f"{table}: holds no Raven table or label track (*.txt), but {contents(table)}; {_COLUMNS}")
    return tables


def _rows(path: Path) -> list[tuple[int, Cells]]:
    """The rows of a table of any kind by line."""
    line = _first_line(path)
    if BEGIN in line.split("\t"):
        return _raven_rows(path)
    return _audacity_rows(path) if _AUDACITY.match(line) else read_rows(path, ("start", "end"), _COLUMNS)


def _first_line(path: Path) -> str:
    try:
        check_size(path)
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.readline(10_000)
    except (OSError, SchemaError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ManifestError(f"{path}: cannot be read ({reason}); {_COLUMNS}") from None


def _audacity_rows(path: Path) -> list[tuple[int, Cells]]:
    """The labels of a track by line; a line that begins with a backslash has the frequencies of the one before it."""
    lines = enumerate(read_text(path).splitlines(), start=1)
    cells = [(i, [*(cell.strip() for cell in line.split("\t")), "", ""]) for i, line in lines if line.strip()]
    return [(i, dict(zip(("start", "end", "label"), row, strict=False))) for i, row in cells if row[0] != "\\"]


def _raven_rows(path: Path) -> list[tuple[int, Cells]]:
    """The selections of a table by line, each once: in its spectrogram view where it has several views."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(i, row) for i, row in enumerate(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), start=1)]
    except (ValueError, csv.Error) as error:
        raise ManifestError(f"{path}: cannot be read ({brief(str(error))}); save it as text in UTF-8") from None
    header = [name.strip() for name in rows[0][1]]
    selections: dict[tuple[str, ...], tuple[int, Cells]] = {}
    for line, values in rows[1:]:
        cells = dict(zip(header, [*(v.strip() for v in values), *[""] * len(header)], strict=False))
        key = tuple(cells.get(name, "") for name in ("Selection", BEGIN, END, "Begin Path", "Begin File"))
        if any(cells.values()) and (key not in selections or cells.get("View", "").startswith("Spectrogram")):
            selections[key] = (line, cells)
    if not selections:
        raise ManifestError(f"{path}: has no selections; {_COLUMNS}")
    return list(selections.values())


@dataclass(frozen=True)
class _Recordings:
    """Where recordings are looked for."""

    folder: Path
    files: list[Path]
    """All audio files below the folder."""


def _segment(cells: Cells, where: str, label: str, group: str, table: Path, places: _Recordings) -> Segment:
    for column in (label, group):
        if column and not cells[column]:
            raise ManifestError(f"{where}: {column} is empty; fill it in or delete the line")
    named = next((cells[name] for name in ("Begin Path", "Begin File", "file", "path") if cells.get(name)), "")
    try:
        recording = _find_recording(named, cells.get("Begin File", ""), table, places)
    except ManifestError as error:
        raise ManifestError(f"{where}: {error}") from None
    start = _seconds(cells.get(BEGIN, cells.get("start", "")), where)
    end = _seconds(cells.get(END, cells.get("end", "")), where, last=True)
    offset = _seconds(cells[OFFSET], where) if cells.get(OFFSET) else start
    channel = _channel(cells.get("Channel", ""), where)
    source = cells[group] if group else ""
    return Segment(recording, offset, end + offset - start, cells[label], source, where, channel)


def _channel(text: str, where: str) -> int:
    """The number of a channel, from 1; 0 where none is given."""
    if not text:
        return 0
    if not (text.isdecimal() and len(text) <= 9 and int(text) >= 1):
        raise ManifestError(f"{where}: Channel {brief(text)!r}; give a whole number from 1, or leave it empty")
    return int(text)


def _find_recording(named: str, name: str, table: Path, places: _Recordings) -> Path:
    """The recording that a row names, or that the table is named after."""
    for given in (places.folder / named, table.parent / named) if named else ():
        with suppress(OSError):  # a name that is too long
            if given.is_file():
                return given
    name = name or PureWindowsPath(named).name
    found = [path for path in places.files if path.name == name] if name else _namesakes(table, places.files)
    if len(found) == 1:
        return found[0]
    wanted = f"the recording {name!r}" if name else "a recording that the table is named after"
    several = f"is there {len(found)} times ({format_names([printable(path) for path in found])})"
    problem = several if found else f"is not below {places.folder}"
    raise ManifestError(f"{wanted} {problem}; give the folder of the recordings with --recordings")


def _namesakes(table: Path, audio: Sequence[Path]) -> list[Path]:
    """The recordings with the longest name that the name of a table begins with."""
    found = [path for path in audio if table.name.startswith(f"{path.stem}.")]
    longest = max((len(path.stem) for path in found), default=0)
    return [path for path in found if len(path.stem) == longest]


def _seconds(text: str, where: str, last: bool = False) -> float:
    """A time in seconds; with `last`, an empty one is the end of the recording."""
    if last and text in ("", "NaT"):
        return math.inf
    clock = _CLOCK.fullmatch(text)
    if clock:
        days, hours, minutes, seconds = (float(part or 0) for part in clock.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    try:
        seconds = decimal_number(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise ManifestError(f"{where}: time {brief(text)!r}; give seconds from the beginning of the recording")
    return seconds
