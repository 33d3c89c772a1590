"""Detections of BirdNET-Analyzer as one answer for each clip.

It writes a file for each recording, as `*.results.csv` or as a Raven selection table, `*.selection.table.txt`: a row
for each window and species, with a confidence, and the path of the recording on the machine where it ran.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from earmark.datasets.manifest import Clip, class_names
from earmark.datasets.recordings import contents
from earmark.runs.prediction_table import PredictionTableError
from earmark.runtime.console import brief, format_names, pluralize, printable
from earmark.runtime.names import nfc
from earmark.runtime.schema import SchemaError, decimal_number, read_table

LOG = logging.getLogger("earmark")
RESULTS = ("*.results.csv", "*.selection.table.txt")
RECORDING = ("File", "Begin Path", "Begin File")
SPECIES = ("Common name", "Common Name", "Scientific name", "Scientific Name")


class _Detection(NamedTuple):
    recording: str
    species: tuple[str, ...]
    """Common name, scientific name, or both."""
    confidence: float


def read_detections(
    paths: Sequence[Path],
    clips: Sequence[Clip],
    names: Sequence[str] = (),
    tested: Collection[str] = (),
    missing: str = "",
) -> dict[str, list[str]]:
    """The label of the most confident detection of each clip, as columns `clip_id` and `prediction` of a table.

    Detections of species that are no classes are left out; a clip without any other has an empty prediction.

    Args:
        paths: files, or folders with `RESULTS` at any depth.
        clips: the manifest. A recording is its clip by the name of the file, and by the folders where names are equal.
        names: the classes, where the clips are not of all of them.
        tested: ids of the clips that have a row; empty takes all.
        missing: the class of clips without a detection, which is not missed among the detections.

    Raises:
        PredictionTableError: a file cannot be read, a recording is no clip or may be several, two are one clip, or no
            detection is of a class.
    """
    names = names or class_names(clips)
    detections = [found for path in paths for file in _files(path) for found in _read(file)]
    clip_of = _clips_of(dict.fromkeys(d.recording for d in detections), clips)
    best: dict[str, tuple[float, str]] = {}
    for detection in detections:
        label = next((name for name in detection.species if name in names), None)
        clip_id = clip_of[detection.recording]
        if label is not None and (clip_id not in best or detection.confidence > best[clip_id][0]):
            best[clip_id] = detection.confidence, label
    _check_species(detections, names, nfc(missing))
    ids = [clip.clip_id for clip in clips if not tested or clip.clip_id in tested]
    return {"clip_id": ids, "prediction": [best[i][1] if i in best else "" for i in ids]}


def _check_species(detections: Sequence[_Detection], names: Sequence[str], missing: str) -> None:
    """Refuse detections of other species only, and name the classes that are never detected."""
    found = {species for detection in detections for species in detection.species}
    others = Counter(d.species[0] for d in detections if not set(d.species) & set(names))
    shown = format_names([f"{name} ({n})" for name, n in others.most_common()]) or "none"
    absent = [name for name in names if name not in found and name != missing]
    if not found & set(names):
        remedy = "name the classes as BirdNET does, by common or scientific names"
        raise PredictionTableError(
            f"birdnet: no detection is of a class ({format_names(names)}), the detected species: {shown}; {remedy}"
        )
    if absent:
        LOG.warning("birdnet: no detection of %s; detected, but no class: %s", format_names(absent), shown)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for pattern in RESULTS for file in path.rglob(pattern))
    if not found:
        raise PredictionTableError(f"{path}: has no {' or '.join(RESULTS)}, but {contents(path)}; give another folder")
    return found


def _read(path: Path) -> list[_Detection]:
    """The detections in a file; none where it has its head only."""
    try:
        return [_detection(row, line) for line, row in enumerate(read_table(path, ("Confidence",)), start=2)]
    except SchemaError as error:
        remedy = f"give results of BirdNET-Analyzer, {' or '.join(RESULTS)}"
        raise PredictionTableError(f"birdnet {path}: cannot be read ({error}); {remedy}") from None


def _detection(row: dict[str, str], line: int) -> _Detection:
    cells = {column: nfc(text.strip()) for column, text in row.items()}
    recording = next((cells[column] for column in RECORDING if cells.get(column)), "")
    species = tuple(dict.fromkeys(cells[column] for column in SPECIES if cells.get(column)))
    if not (recording and species):
        raise SchemaError(f"line {line} has no {'species' if recording else 'recording, File or Begin Path'}")
    try:
        confidence = decimal_number(cells["Confidence"])
    except ValueError:
        confidence = math.nan
    if not math.isfinite(confidence):
        raise SchemaError(f"line {line}: Confidence {brief(cells['Confidence'])!r} is not a number")
    return _Detection(recording, species, confidence)


def _clips_of(recordings: Iterable[str], clips: Sequence[Clip]) -> dict[str, str]:
    """The id of the clip that each recording is, by its name and as many of its folders as needed."""
    by_name: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
    for clip in clips:
        parts = _parts(str(clip.path.absolute()))
        by_name[parts[0]].append((parts, clip.clip_id))
    clip_of: dict[str, str] = {}
    recording_of: dict[str, str] = {}
    unknown = []
    for recording in recordings:
        parts = _parts(recording)
        n_equal = {clip_id: _n_equal(parts, own) for own, clip_id in by_name[parts[0]]}
        most = max(n_equal.values(), default=0)
        found = [clip_id for clip_id, n in n_equal.items() if n == most]
        if not found:
            unknown.append(recording)
            continue
        other = recording_of.setdefault(found[0], recording)
        if len(found) > 1 or other != recording:
            problem = f"may be {format_names(found)}" if len(found) > 1 else f"and {other} are {found[0]} by their name"
            raise PredictionTableError(
                f"birdnet: {printable(recording)} {printable(problem)}; analyze the folder of the manifest again, "
                "so that results and manifest have the same folders"
            )
        clip_of[recording] = found[0]
    if unknown:
        raise PredictionTableError(
            f"birdnet: {pluralize(len(unknown), 'recording')} with detections that the manifest lacks "
            f"({printable(format_names(unknown))}); give the results of its clips alone, or add them to it"
        )
    return clip_of


def _n_equal(parts: Sequence[str], others: Sequence[str]) -> int:
    """How many names at the beginning are equal."""
    return next((i for i, (a, b) in enumerate(zip(parts, others, strict=False)) if a != b), len(parts))


def _parts(path: str) -> tuple[str, ...]:
    """Name and folders of a path of any system, the name first."""
    return PureWindowsPath(nfc(path)).parts[::-1] or ("",)
