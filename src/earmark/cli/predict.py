"""Classify audio files, whole or window by window: predict."""

from __future__ import annotations

import sys

from earmark.cli.arguments import OptionalPath, OptionalRate, Paths, RequiredPath
from earmark.cli.errors import FOUND
from earmark.runtime.console import pluralize


def predict(
    model: RequiredPath,
    paths: Paths,
    windows: bool = False,
    hop: float = 0.0,
    top_k: int = 1,
    unknown: bool = False,
    false_alarms: OptionalRate = None,
    threshold: float = 0.5,
    min_seconds: float = 0.0,
    csv: OptionalPath = None,
    json: OptionalPath = None,
    audacity: OptionalPath = None,
    raven: OptionalPath = None,
    device: str = "auto",
) -> int:
    """Classify audio files.

    Prints path, label and probability of each file, or of each event with --windows. Exit status 1 if a file could not
    be read.

    Example: earmark predict runs/esc10/base-fold1-seed42 recordings/ --csv predictions.csv

    Args:
        model: A run folder, whose id may be left out, a model folder, a checkpoint or an .onnx file.
        paths: Audio files or folders of them.
        windows: Classify window by window; memory does not grow with the length of a recording.
        hop: With --windows: seconds from one window to the next; 0 uses half a window.
        top_k: How many classes are printed for each file.
        unknown: Answer unknown for silence and for sounds that are none of the classes.
        false_alarms: Set the threshold of unknown for this rate of false alarms; implies --unknown.
        threshold: With --windows: minimum probability of an event.
        min_seconds: With --windows: shortest event.
        csv: Write all answers with all probabilities to this CSV file.
        json: Write the same as lines of JSON.
        audacity: Write the events of one recording as an Audacity label track.
        raven: Write the events of one recording as a Raven selection table.
        device: Device to run on: auto, cpu or cuda; an .onnx file always takes the processor.
    """
    from earmark.deploy.classify import Request, classify

    unknown = unknown or false_alarms is not None
    request = Request(windows, hop, top_k, unknown, false_alarms, threshold, min_seconds, csv, json, audacity, raven)
    errors, n_files = classify(model, paths, request, device)
    if not errors:
        return 0
    print(f"earmark predict: {errors} of {pluralize(n_files, 'file')} could not be read", file=sys.stderr)
    return FOUND
