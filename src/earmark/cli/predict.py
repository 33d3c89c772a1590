"""Commands that take audio files: predict, embed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from earmark.cli.arguments import AudioPaths, LabelNames, ModelPath, OptionalPath, OptionalRate, Output
from earmark.cli.errors import FOUND
from earmark.runtime.console import pluralize
from earmark.runtime.errors import EarmarkError
from earmark.training.checkpoint_files import run_folder

if TYPE_CHECKING:
    import numpy as np


def predict(
    model: ModelPath,
    paths: AudioPaths,
    windows: bool = False,
    hop: float = 0.0,
    top_k: int = 1,
    unknown: bool = False,
    false_alarms: OptionalRate = None,
    threshold: OptionalRate = None,
    min_seconds: float = 0.0,
    csv: OptionalPath = None,
    json: OptionalPath = None,
    audacity: OptionalPath = None,
    raven: OptionalPath = None,
    leave_out: LabelNames = (),
    force: bool = False,
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
        top_k: Without --windows: how many classes are printed for each file.
        unknown: Answer unknown for silence and for sounds that are none of the classes.
        false_alarms: Set the threshold of unknown for this rate of false alarms; implies --unknown.
        threshold: With --windows: minimum probability of an event; by default 0.5.
        min_seconds: With --windows: shortest event.
        csv: Write all answers with all probabilities to this CSV file.
        json: Write the same as lines of JSON.
        audacity: With --windows: write the events as an Audacity label track; for several recordings a folder of them.
        raven: With --windows: write the events as a Raven selection table; for several recordings a folder of them.
        leave_out: With --windows: classes that are no events, such as background.
        force: With --audacity and --raven: overwrite label files.
        device: Device to run on: auto, cpu or cuda; an .onnx file always takes the processor.
    """
    from earmark.deploy.classify import Request, classify

    unknown = unknown or false_alarms is not None
    request = Request(
        windows, hop, top_k, unknown, false_alarms, threshold, min_seconds, csv, json, audacity, raven, leave_out, force
    )
    return _status("predict", *classify(model, paths, request, device))


def embed(
    model: ModelPath,
    paths: AudioPaths,
    output: Output,
    weights: str = "",
    sample_rate: int = 0,
    model_output: str = "",
) -> int:
    """Write the embeddings of recordings.

    One row per file, for search, clustering or another classifier. Exit status 1 if a file could not be read.

    Example: earmark embed model.onnx recordings/ -o embeddings.csv

    Args:
        model: A run folder, a checkpoint, an .onnx file of earmark, a network with published weights for audio (mn04),
            hf:REPO, or a backbone of another tool: onnx:FILE or transformers:FOLDER.
        weights: For a network: a file of weights instead of the published ones.
        sample_rate: For onnx: where the file does not say it: the rate in Hz of the waveform that it takes.
        model_output: For onnx: name of the output with the embedding, where the file has several.
        paths: Audio files, or folders of them.
        output: A .csv, or a .npz with `paths` and `embeddings`.
    """
    from earmark.deploy.embed import check_own_vectors, embed_files, write_embeddings
    from earmark.deploy.predict import find_audio

    if output.suffix not in (".csv", ".npz"):
        raise EarmarkError(f"output = {str(output)!r}: give a name that ends in .csv or .npz")
    check_own_vectors(output)
    files = list(dict.fromkeys(find_audio(paths)))
    embedding, recordings = _load_embedding(model, weights, sample_rate, model_output)
    found = {}
    for file, vector, error in embed_files(embedding, files):
        if vector is None:
            print(f"error: {error}", file=sys.stderr)
        else:
            found[file] = vector
    if found:
        write_embeddings(found, output, recordings)
        n_values = len(next(iter(found.values())))
        print(f"{output}: {pluralize(len(found), 'vector')} of {pluralize(n_values, 'value')}")
    return _status("embed", len(files) - len(found), len(files))


def _load_embedding(
    model: Path, weights: str, sample_rate: int, model_output: str
) -> tuple[Callable[[Path], np.ndarray], Sequence[str]]:
    """What maps the path of a recording to its embedding (D,), and the digests of what earmark has trained it on."""
    from earmark.models.backbone import load_backbone
    from earmark.models.onnx_backbone import recordings_of_onnx
    from earmark.models.prefixes import ONNX, takes_waveform

    if takes_waveform(str(model)):
        from earmark.runs.waveform_embeddings import embed_file

        recordings = recordings_of_onnx(str(model)) if str(model).startswith(ONNX) else ()
        return partial(embed_file, load_backbone(str(model), sample_rate, model_output)), recordings or ()
    if len(model.parts) == 1 and not model.suffix and not run_folder(model).exists():
        from earmark.deploy.embed import load_embedder

        return load_embedder(str(model), weights).embed, ()
    from earmark.deploy.model import load

    loaded = load(model)
    return loaded.embed, loaded.info.recordings


def _status(command: str, n_errors: int, n_files: int) -> int:
    if not n_errors:
        return 0
    print(f"earmark {command}: {n_errors} of {pluralize(n_files, 'file')} could not be read", file=sys.stderr)
    return FOUND
