"""What `earmark predict` does: classify files, print the answers, and write them in the formats that were asked for."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TextIO

from earmark.deploy.events import EVENT_THRESHOLD, Event, check_left_out, merge_events, no_events_text
from earmark.deploy.info import DeployError
from earmark.deploy.label_files import LabelFiles
from earmark.deploy.model import WindowAnswer, load
from earmark.deploy.predict import Prediction, find_audio, predict, predict_windows
from earmark.deploy.tables import COLUMNS, UNKNOWN_COLUMNS, CsvTable, JsonLines
from earmark.runtime.console import format_names, print_while_read, printable
from earmark.runtime.files import atomic_write, check_own_table


@dataclass(frozen=True)
class Request:
    """How files are classified, and what is written."""

    windows: bool = False
    """Window by window, with events on standard output; otherwise one answer per file."""
    hop_seconds: float = 0.0
    """From one window to the next; 0 is half a window."""
    top_k: int = 1
    """Classes that are printed for each file."""
    unknown: bool = False
    """Whether `unknown` is an answer."""
    false_alarms: float | None = None
    """Rate that the threshold of `unknown` is set for; None takes the model's own."""
    threshold: float | None = None
    """Minimum probability of an event; None takes `EVENT_THRESHOLD`."""
    min_seconds: float = 0.0
    """Shortest event."""
    csv: Path | None = None
    json: Path | None = None
    audacity: Path | None = None
    raven: Path | None = None
    """Files of events."""
    left_out: tuple[str, ...] = ()
    """Classes that have no events."""
    force: bool = False
    """Whether files of events that are there are overwritten."""

    def outputs(self) -> list[Path]:
        """The files and folders that are written."""
        return [path for path in (self.csv, self.json, self.audacity, self.raven) if path]


OF_WINDOWS = {
    "hop_seconds": "--hop",
    "threshold": "--threshold",
    "min_seconds": "--min-seconds",
    "left_out": "--leave-out",
    "audacity": "--audacity",
    "raven": "--raven",
    "force": "--force",
}
"""What decides or holds events, which are made of windows."""


def classify(path: Path, audio: Iterable[Path], request: Request, device: str = "auto") -> tuple[int, int]:
    """Classify files and folders of files.

    Args:
        path: the model.

    Returns:
        How many files could not be read, and how many there are.

    Raises:
        EarmarkError: the model cannot be used or cannot do what is asked, or there is no audio.
    """
    _check_options(request)
    files = list(dict.fromkeys(find_audio(audio)))
    _check_outputs(request, [path, *files])
    model = load(path, device)
    check_left_out(model, path, request.unknown, request.left_out)
    labels = LabelFiles(request.audacity, request.raven, files, model.sample_rate, request.force)
    if request.false_alarms is not None:
        model = model.at_false_alarms(request.false_alarms)
    hop = request.hop_seconds or None
    predictions = predict_windows(model, files, hop) if request.windows else predict(model, files, "use --windows")
    with ExitStack() as stack:
        writers: list[CsvTable | JsonLines] = []
        if request.csv:
            writers.append(CsvTable(stack.enter_context(_opened(request.csv)), model.class_names, request.unknown))
        if request.json:
            writers.append(JsonLines(stack.enter_context(_opened(request.json)), request.unknown))
        n_errors = _answer(predictions, writers, request, labels)
    return n_errors, len(files)


def _check_options(request: Request) -> None:
    """Raise `DeployError` where an option would have no effect."""
    given = {f.name for f in fields(request) if getattr(request, f.name) != f.default}
    unused = [option for name, option in OF_WINDOWS.items() if name in given]
    if unused and not request.windows:
        raise DeployError(f"{format_names(unused)}: there are no events without --windows; add it, or leave this out")
    if request.windows and request.top_k > 1:
        raise DeployError(f"--top-k {request.top_k}: events have one class; leave it out, or take all from --csv")


def _check_outputs(request: Request, inputs: Iterable[Path]) -> None:
    """Raise `DeployError` where an output would replace a recording, the model, another output or another table."""
    taken = {path.resolve() for path in inputs}
    for output in request.outputs():
        if output.resolve() in taken:
            raise DeployError(f"{output}: would replace an input or another output; give another name")
        taken.add(output.resolve())
    if request.csv:
        check_own_table(request.csv, (*COLUMNS, *UNKNOWN_COLUMNS))


def _answer(
    predictions: Iterator[Prediction],
    writers: Sequence[CsvTable | JsonLines],
    request: Request,
    labels: LabelFiles,
) -> int:
    """Write and print each answer as it comes, write events at the end of a recording; returns the number of errors.

    Files are completed where nobody reads what is printed any more.
    """
    errors: list[str] = []

    def show(text: str, stream: TextIO) -> None:
        if request.outputs():
            print_while_read(text, stream)
        else:
            print(text, file=stream, flush=True)

    threshold = EVENT_THRESHOLD if request.threshold is None else request.threshold

    def written(of_file: Iterator[Prediction]) -> Iterator[WindowAnswer]:
        for prediction in of_file:
            for writer in writers:
                writer.write(prediction)
            if prediction.answer is None:
                show(f"error: {prediction.error}", sys.stderr)
                errors.append(prediction.error)
                continue
            if not request.windows:
                show(_line(prediction, request), sys.stdout)
            yield prediction.answer

    for file, of_file in itertools.groupby(predictions, key=lambda prediction: prediction.path):
        events: list[Event] = []
        n_before = len(errors)
        answers = written(of_file)
        for event in merge_events(answers, threshold, request.min_seconds, request.unknown, request.left_out):
            events.append(event)
            if request.windows:
                times = f"{event.start:.2f}\t{event.end:.2f}"
                show(f"{printable(file)}\t{times}\t{printable(event.label)}\t{event.probability:.4f}", sys.stdout)
        if events or len(errors) == n_before:  # no empty table for a recording that cannot be read
            labels.write(file, events)
        if request.windows and not events and len(errors) == n_before:
            show(f"{printable(file)}: {no_events_text(threshold)}", sys.stderr)
    return len(errors)


def _line(prediction: Prediction, request: Request) -> str:
    """Path, label and probability of a file, further classes, and the unknown score of a model that has one."""
    answer = prediction.answer
    assert answer is not None, "errors are printed elsewhere"
    top = answer.top(request.top_k)
    label, probability = top[0]
    if request.unknown and answer.label_or_unknown() != label:  # the probability is still that of the class
        top[0] = (f"{answer.label_or_unknown()} ({label})", probability)
    cells = [cell for label, probability in top for cell in (printable(label), f"{probability:.4f}")]
    silent = ["silent"] * (answer.silent and not request.unknown)
    score = [] if answer.unknown_score is None else [f"unknown score {max(answer.unknown_score, 0.0):.4f}"]
    return "\t".join([printable(prediction.path), *cells, *silent, *score])


@contextmanager
def _opened(output: Path) -> Iterator[TextIO]:
    """A text file that is written atomically."""
    with atomic_write(output) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        yield file
