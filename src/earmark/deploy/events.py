"""From the answers for windows to events, and the files in which other programs read them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TextIO

from earmark.deploy.info import DeployError
from earmark.deploy.model import Model, WindowAnswer
from earmark.runtime.console import printable
from earmark.runtime.errors import suggest

EVENT_THRESHOLD = 0.5
"""Minimum probability of an event where no other is given."""


@dataclass(frozen=True)
class Event:
    """A time in which one class was predicted throughout."""

    start: float
    """Seconds from the beginning of the recording."""
    end: float
    label: str
    probability: float
    """The largest of its windows."""


def no_events_text(threshold: float) -> str:
    """What is said of a recording or a stream without events."""
    return "no events" + (f"; --threshold below {threshold:g} finds weaker ones" if threshold else "")


def check_left_out(model: Model, path: Path, unknown: bool, labels: Iterable[str]) -> None:
    """Raise `DeployError` where the model at `path` has no unknown score or lacks a class that is to be left out."""
    if unknown and model.info.unknown is None:
        raise DeployError(f"unknown: {path} has no unknown score; `earmark finalize` makes a model that has")
    for label in labels:
        if label not in model.class_names:
            raise DeployError(f"leave-out = {label!r}: no such class{suggest(label, model.class_names)}")


def merge_events(
    windows: Iterable[WindowAnswer],
    threshold: float = EVENT_THRESHOLD,
    min_seconds: float = 0.0,
    leave_out_unknown: bool = False,
    left_out: Collection[str] = (),
) -> Iterator[Event]:
    """Events of windows in order; each is yielded as soon as the window after it is known.

    A window speaks for the time around its center, up to halfway to the centers of its neighbors. Neighbors with the
    same label become one event.

    Args:
        threshold: windows whose largest probability is below it, and silent ones, have no event.
        min_seconds: shorter events are left out.
        leave_out_unknown: windows that are none of the classes have no event either.
        left_out: classes that have no events, such as background.
    """
    current: Event | None = None
    for start, end, window in _spans(windows):
        unknown = leave_out_unknown and window.unknown
        active = not (window.silent or unknown or window.label in left_out) and window.probability >= threshold
        if current is not None and active and window.label == current.label and start <= current.end + 1e-9:
            current = Event(current.start, end, current.label, max(current.probability, window.probability))
            continue
        if current is not None and current.end - current.start >= min_seconds:
            yield current
        current = Event(start, end, window.label, window.probability) if active else None
    if current is not None and current.end - current.start >= min_seconds:
        yield current


def _spans(windows: Iterable[WindowAnswer]) -> Iterator[tuple[float, float, WindowAnswer]]:
    """The time that each window speaks for."""
    before: float | None = None
    for window, following in pairwise(_with_end(windows)):
        assert window is not None, "only the end is None"
        boundary = window.end if following is None else (_center(window) + _center(following)) / 2
        first = window.start if before is None else max(before, window.start)
        yield first, min(boundary, window.end), window
        before = boundary


def _with_end(windows: Iterable[WindowAnswer]) -> Iterator[WindowAnswer | None]:
    yield from windows
    yield None


def _center(window: WindowAnswer) -> float:
    return (window.start + window.end) / 2


def write_audacity(file: TextIO, events: Iterable[Event]) -> None:
    """A label track as Audacity imports it."""
    for event in events:
        file.write(f"{event.start:.6f}\t{event.end:.6f}\t{_one_line(event.label)}\n")


def write_raven(file: TextIO, events: Iterable[Event], sample_rate: int, recording: str) -> None:
    """A selection table as Raven reads it, of a recording of this name; selections span all frequencies."""
    head = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"]
    file.write("\t".join([*head, "Begin File", "Annotation", "Score"]) + "\n")
    name = printable(recording)
    for i, e in enumerate(events, 1):
        times = f"{e.start:.6f}\t{e.end:.6f}\t0\t{sample_rate / 2:g}"
        file.write(f"{i}\tSpectrogram 1\t1\t{times}\t{name}\t{_one_line(e.label)}\t{e.probability:.4f}\n")


def _one_line(label: str) -> str:
    """A label without tabs and line ends, which separate fields."""
    return " ".join(label.split())
