"""Cut labeled segments of long recordings into files with a manifest."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from earmark.audio.io import audio_info, check_complete, open_audio, to_mono
from earmark.datasets.manifest import Clip, safe_id, unique_ids, write_manifest
from earmark.datasets.overwrite import check_files, writing_files
from earmark.datasets.rows import ManifestError
from earmark.datasets.write_augmented import float_wav
from earmark.runtime.connected import connected_sets
from earmark.runtime.console import format_names, pluralize, printable, progress_bar
from earmark.runtime.files import write_bytes
from earmark.runtime.names import nfc

LOG = logging.getLogger("earmark")

TOLERANCE = 0.1
"""Seconds by which a segment may end after its recording, since tables round times; it then ends with it."""

ROUNDING = 1e-6
"""Seconds, less than a sample, by which segments overlap that were computed to follow each other."""


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


def cut_segments(
    segments: Sequence[Segment],
    folder: str | Path,
    seconds: float = 0.0,
    background: str = "",
    force: bool = False,
) -> list[Clip]:
    """Write each segment as a WAV (mono, 32-bit float, the recording's own rate) and `clips.csv` that lists them.

    With `seconds`, each file has this length around the middle of its segment. With a label as `background`, further
    files of it are cut from the time between the segments of each recording, at most as many as it has segments and
    evenly spread. Clip ids are the recording's name and the number of the segment in it. Everything is checked before
    the first file is written. Segments that overlap share sound: where their labels differ, a warning names them; where
    their groups differ, these groups become one, with a warning. A segment that is listed twice is cut once. Files that
    are there are overwritten where the `clips.csv` there lists them and was not edited, or with `force`.

    Raises:
        AudioError: a recording cannot be read.
        ManifestError: a segment does not lie within its recording or has no length, a recording is shorter than
            `seconds`, `background` is given without `seconds`, or a file of somebody else would be overwritten.
    """
    folder = Path(folder)
    checked = _checked(_each_once(segments), seconds, background)
    paths = list(checked)
    names = unique_ids([p.stem for p in paths], _folders_below_common(paths))
    by_recording = _grouped(checked, names)
    planned = {path: _plan(by_recording[path], name, folder) for path, name in zip(paths, names, strict=True)}
    every = [clip for clips in planned.values() for clip in clips]
    check_files(every, folder, paths, force)
    with writing_files(every, folder):
        written = []
        for path in progress_bar(paths, "cut", len(paths), "file"):
            written += _cut(path, by_recording[path], planned[path])
        write_manifest(written, folder / "clips.csv", force=force)
    return written


def _folders_below_common(paths: Sequence[Path]) -> list[str]:
    """The folder of each recording, below the one that all are in."""
    folders = [path.absolute().parent for path in paths]
    common = os.path.commonpath(folders) if folders else ""
    return [folder.relative_to(common).as_posix() for folder in folders]


def _checked(segments: Sequence[Segment], seconds: float, background: str) -> dict[Path, list[Segment]]:
    """The segments of each recording, of the wanted length and with those of the background."""
    if not 0 <= seconds < math.inf:
        raise ManifestError(f"seconds = {seconds}: give a length above 0, or 0 to keep that of each segment")
    if background and not seconds:
        raise ManifestError(f"background = {background!r}: give the length of these files with --seconds")
    ordered = sorted(segments, key=lambda s: (s.recording.as_posix(), s.start, s.end, s.label))
    by_recording = {path: list(inside) for path, inside in groupby(ordered, key=lambda s: s.recording)}
    for path, inside in by_recording.items():
        info = audio_info(path)
        for segment in inside:
            _check(segment, info.duration, info.channels)
            if not seconds and segment.end - segment.start < 0.5 / info.sample_rate:
                length = "a point" if segment.end == segment.start else "shorter than one sample"
                raise ManifestError(f"{segment.where}: is {length}; give a length with --seconds, or correct the times")
        if seconds:
            by_recording[path] = [_of_length(seconds, s, info.duration, info.sample_rate) for s in inside]
        if background:
            taken = [(s.start, min(s.end, info.duration)) for s in (*inside, *by_recording[path])]
            by_recording[path] += _between(by_recording[path], taken, background, seconds, info.duration)
    if background:
        _warn_of_little_background(by_recording, background)
    return by_recording


def _check(segment: Segment, duration: float, n_channels: int) -> None:
    start, end, name = segment.start, segment.end, printable(segment.recording.name)
    late = end > duration + TOLERANCE and end != math.inf
    if end < start:
        raise ManifestError(f"{segment.where}: ends at {end:g} s, before its start at {start:g} s; correct the times")
    if not 0 <= start < duration or late:
        raise ManifestError(
            f"{segment.where}: {start:g} to {end:g} s, but {name} lasts {duration:g} s; correct the times"
        )
    if segment.channel > n_channels:
        raise ManifestError(f"{segment.where}: channel {segment.channel}, but {name} has {n_channels}; correct it")


def _of_length(seconds: float, segment: Segment, duration: float, sample_rate: int) -> Segment:
    """The segment with this length around its middle, moved into the recording where it would leave it."""
    n_samples = round(seconds * sample_rate)
    if not 0 < n_samples <= round(duration * sample_rate):
        name = printable(segment.recording.name)
        raise ManifestError(
            f"{segment.where}: seconds = {seconds:g}, but {name} lasts {duration:g} s; give a length in it"
        )
    middle = (segment.start + min(segment.end, duration)) / 2
    latest = round(duration * sample_rate) - n_samples
    first = min(max(round(middle * sample_rate - n_samples / 2), 0), latest)
    return replace(segment, start=first / sample_rate, end=(first + n_samples) / sample_rate)


def _between(
    segments: Sequence[Segment], taken: Sequence[tuple[float, float]], label: str, seconds: float, duration: float
) -> list[Segment]:
    """Segments of one length outside of what is taken, evenly spread, at most as many as there are segments."""
    starts, free = list[float](), 0.0
    for begin, end in [*sorted(taken), (duration, duration)]:
        starts += [free + i * seconds for i in range(int((begin - free) / seconds))]
        free = max(free, end)
    n = min(len(starts), len(segments))
    group = segments[0].group if len({s.group for s in segments}) == 1 else ""
    chosen = [starts[(2 * i + 1) * len(starts) // (2 * n)] for i in range(n)]
    return [Segment(segments[0].recording, at, at + seconds, label, group, segments[0].where) for at in chosen]


def _warn_of_little_background(recordings: Mapping[Path, Sequence[Segment]], label: str) -> None:
    """Name recordings that are full of segments, which then have no background."""
    full = [path.name for path, segments in recordings.items() if all(s.label != label for s in segments)]
    if full:
        what = pluralize(len(full), "recording")
        LOG.warning("%s without room for %s between the segments: %s", what, label, printable(format_names(full)))


def _each_once(segments: Sequence[Segment]) -> list[Segment]:
    """The segments without those that are listed a second time, which a warning counts."""
    first: dict[Segment, Segment] = {}
    twice = [s for s in segments if first.setdefault(replace(s, where=""), s) is not s]
    if twice:
        message = "%s listed a second time, cut once; the first: %s, as %s"
        original = first[replace(twice[0], where="")].where
        LOG.warning(message, pluralize(len(twice), "segment"), twice[0].where, original)
    return list(first.values())


def _grouped(segments: Mapping[Path, Sequence[Segment]], names: Sequence[str]) -> dict[Path, list[Segment]]:
    """The segments with their groups, which are one where segments overlap; warns of these and of different labels."""
    recordings = {
        path: [replace(s, group=nfc(s.group or name)) for s in inside]
        for (path, inside), name in zip(segments.items(), names, strict=True)
    }
    found = [pair for inside in recordings.values() for pair in _overlaps(inside)]
    _warn([(a, b) for a, b in found if a.label != b.label], "labels", "one sound is in files of two classes")
    shared = [(a, b) for a, b in found if a.group != b.group]
    united = connected_sets((a.group, b.group) for a, b in shared)
    together = printable(format_names([" and ".join(sorted(groups)) for groups in united]))
    _warn(shared, "groups", f"these become one group: {together}")
    name_of = {group: min(groups) for groups in united for group in groups}
    return {
        path: [replace(s, group=name_of.get(s.group, s.group)) for s in inside] for path, inside in recordings.items()
    }


def _warn(pairs: Sequence[tuple[Segment, Segment]], what: str, so: str) -> None:
    if pairs:
        number, (one, other) = pluralize(len(pairs), "pair"), pairs[0]
        message = "%s of different %s overlap, so that %s; the first: %s and %s"
        LOG.warning(message, number, what, so, one.where, other.where)


def _overlaps(segments: Iterable[Segment]) -> Iterator[tuple[Segment, Segment]]:
    """All pairs of segments of a recording that share sound."""
    current: list[Segment] = []
    for segment in sorted(segments, key=lambda s: (s.start, s.end)):
        current = [earlier for earlier in current if earlier.end - segment.start > ROUNDING]
        for earlier in current:
            if earlier.channel == segment.channel or not earlier.channel * segment.channel:
                yield earlier, segment
        current.append(segment)


def _plan(segments: Sequence[Segment], name: str, folder: Path) -> list[Clip]:
    """What will be written of one recording, without durations."""
    ids = [safe_id(f"{name}_{number:04d}") for number in range(1, len(segments) + 1)]
    return [
        Clip(clip_id, folder / f"{clip_id}.wav", segment.label, segment.group)
        for clip_id, segment in zip(ids, segments, strict=True)
    ]


def _cut(path: Path, segments: Sequence[Segment], planned: Sequence[Clip]) -> list[Clip]:
    clips = []
    with open_audio(path) as file:
        for segment, clip in zip(segments, planned, strict=True):
            first = min(round(segment.start * file.samplerate), file.frames - 1)
            last = file.frames if segment.end == math.inf else round(segment.end * file.samplerate)
            file.seek(first)
            samples_NC = file.read(max(1, last - first), dtype="float32", always_2d=True)
            check_complete(path, len(samples_NC), min(last, file.frames) - first)
            waveform = samples_NC[:, segment.channel - 1] if segment.channel else to_mono(samples_NC)
            write_bytes(clip.path, float_wav(waveform, file.samplerate))
            clips.append(replace(clip, duration=len(waveform) / file.samplerate))
    return clips
