"""Commands that bring a model into use: export, listen, embed, windows, benchmark, serve."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import tyro

from earmark.cli.arguments import OptionalInt, OptionalOutput, OptionalPath, Output, Paths, RequiredPath
from earmark.runtime.errors import EarmarkError

if TYPE_CHECKING:
    import numpy as np

    from earmark.deploy.export import Exported, Precision

Target = Annotated[Path, tyro.conf.Positional]
"""A file to write."""


def export(
    model: RequiredPath,
    output: Target,
    precision: Literal["float32", "float16", "int8"] = "float32",
    split: bool = False,
    clips: OptionalPath = None,
    runtime: OptionalPath = None,
    force: bool = False,
) -> None:
    """Export a model to ONNX, or to a web page that runs it.

    The page is one HTML file that classifies sound in a browser, without network.

    Example: earmark export runs/esc10/base-fold1-seed42 model.onnx

    Args:
        model: A run folder or a checkpoint.
        output: A file that ends in .onnx or .html.
        precision: float16 stores weights in half the space; int8 also computes in 8 bits and needs --clips.
        split: Write front end and network as two files.
        clips: With int8: a folder with one subfolder of recordings per class.
        runtime: With .html: the package that `npm pack onnxruntime-web@1.30.0` downloads.
        force: With int8: write the file even if it loses more than one point of accuracy on the clips.
    """
    from earmark.deploy.export import write_onnx

    if output.suffix not in (".onnx", ".html"):
        raise EarmarkError(f"output = {str(output)!r}: give a name that ends in .onnx or .html")
    if output.suffix == ".html" and runtime is None:
        raise EarmarkError("runtime: a page needs the package that `npm pack onnxruntime-web@1.30.0` downloads")
    exported = _exported(model, precision, clips, force)
    if output.suffix == ".onnx":
        written = write_onnx(exported, output, split)
    else:
        from earmark.deploy.page import read_runtime, write_page

        assert runtime is not None, "checked above"
        write_page(exported, read_runtime(runtime), output)
        written = [output]
    for path in written:
        print(f"{path}\t{path.stat().st_size / 1e6:.2f} MB")


def _exported(model: Path, precision: Precision, clips: Path | None, force: bool) -> Exported:
    try:
        from earmark.deploy.export import export_model
    except ImportError as error:
        raise EarmarkError(f"{error.name} is not installed; `pip install earmark[onnx]` gets it") from None
    if precision != "int8":
        return export_model(model, precision)
    from earmark.deploy.quantize import export_int8, refuse_loss

    if clips is None:
        raise EarmarkError("clips: int8 needs recordings to measure value ranges on; name a folder")
    quantized, before, after = export_int8(model, clips)
    print(f"accuracy on {before.n_clips} clips: float32 {100 * before.value:.1f} %, int8 {100 * after.value:.1f} %")
    refuse_loss(before, after, force)
    return quantized


def finalize(
    runs: RequiredPath,
    output: Target,
    variant: str = "",
    seed: OptionalInt = None,
) -> None:
    """Combine the networks of all folds into one calibrated model.

    Each network is calibrated on the clips that it was not trained on.

    Example: earmark finalize runs/esc10 model --variant base

    Args:
        runs: A folder of runs.
        output: Folder for the model; `earmark export` and `earmark windows` take it.
        variant: Variant to combine; may be omitted if there is only one.
        seed: Seed to use; defaults to the lowest.
    """
    from earmark.deploy.finalize import finalize_ensemble

    done = finalize_ensemble(runs, output, variant, seed)
    assert done.info.expected_score is not None, "runs are scored"
    print(f"{output}: {done.info.architecture}; expected {done.info.expected_score.sentence()}")
    if done.calibration:
        c = done.calibration
        losses = f"log loss {c.log_loss_before:.3f} -> {c.log_loss_after:.3f}"
        errors = f"calibration error {100 * c.error_before:.1f} -> {100 * c.error_after:.1f} %"
        print(f"temperature {c.calibration.temperature:.2f}; cross-fitted {losses}, {errors}")


def windows(
    model: RequiredPath,
    recording: RequiredPath,
    output: OptionalOutput = None,
    hop: float = 0.0,
    format: Literal["csv", "json", "audacity", "raven"] = "csv",  # noqa: A002 (the name of the option)
    threshold: float = 0.5,
    min_seconds: float = 0.0,
) -> None:
    """Classify a long recording window by window.

    Memory does not grow with the length of the recording.

    Example: earmark windows model.onnx hours.wav --hop 0.5 --format audacity -o labels.txt

    Args:
        model: A run folder, a checkpoint or an .onnx file.
        recording: An audio file.
        output: File to write; defaults to standard output.
        hop: Seconds from one window to the next; 0 uses half a window.
        format: All windows as csv or json (lines), or merged events as audacity (labels) or raven (selection table).
        threshold: Minimum probability of an event.
        min_seconds: Shortest event.
    """
    from earmark.deploy import events
    from earmark.deploy.model import load

    if hop < 0 or min_seconds < 0 or not 0 <= threshold <= 1:
        raise EarmarkError("hop and min-seconds are 0 or more, threshold is from 0 to 1")
    loaded = load(model)
    answers = loaded.predict_windows(recording, hop_seconds=hop or None)
    merged = events.merge_events(answers, threshold, min_seconds)
    with _opened(output) as file:
        if format == "csv":
            events.write_windows_csv(file, answers, loaded.class_names)
        elif format == "json":
            events.write_windows_json(file, answers)
        elif format == "audacity":
            events.write_audacity(file, merged)
        else:
            events.write_raven(file, merged, loaded.sample_rate)


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """The file, written atomically, or standard output."""
    if output is None:
        yield sys.stdout
        return
    from earmark.runtime.files import atomic_write

    with atomic_write(output) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        yield file


def listen(
    model: RequiredPath,
    sample_rate: int,
    channels: int = 1,
    format: Literal["f32le", "s16le"] = "f32le",  # noqa: A002 (the name of the option)
    hop: float = 0.5,
    threshold: float = 0.5,
    min_seconds: float = 0.0,
    json: bool = False,
) -> None:
    """Print the events in a live stream of raw samples.

    The samples are read from standard input.

    Example: earmark listen model.onnx --sample-rate 16000 < stream.f32

    From a camera: ffmpeg -i rtsp://camera -f f32le -ac 1 -ar 16000 - | earmark listen model.onnx --sample-rate 16000

    Args:
        model: A run folder, a checkpoint or an .onnx file.
        sample_rate: Rate of the stream in Hz.
        channels: Channels of the stream; they are averaged.
        format: Encoding of the samples, as ffmpeg names it.
        hop: Seconds from one window to the next.
        threshold: Minimum probability of an event.
        min_seconds: Shortest event.
        json: Print a line of JSON for each window instead of events.
    """
    from earmark.deploy import listen as stream
    from earmark.deploy.events import merge_events, window_json
    from earmark.deploy.model import load

    if hop <= 0:
        raise EarmarkError(f"hop = {hop}: give more than 0 seconds")
    blocks = stream.stream_blocks(sys.stdin.buffer, channels, format)
    answers = stream.listen(load(model), blocks, sample_rate, hop)
    if json:
        for answer in answers:
            print(window_json(answer), flush=True)
        return
    for event in merge_events(answers, threshold, min_seconds):
        print(f"{event.start:.2f}\t{event.end:.2f}\t{event.label}\t{event.probability:.4f}", flush=True)


def embed(
    model: RequiredPath,
    paths: Paths,
    output: Output,
    weights: str = "",
    sample_rate: int = 0,
    model_output: str = "",
) -> None:
    """Write the embeddings of recordings.

    One row per file, for search, clustering or another classifier.

    Example: earmark embed model.onnx recordings/ -o embeddings.csv

    Args:
        model: A run folder, a checkpoint, an .onnx file of earmark, a network with published weights for audio (mn04),
            or a backbone of another tool: onnx:FILE or hf:FOLDER.
        weights: For a network: a file of weights instead of the published ones.
        sample_rate: For onnx: where the file does not say it: the rate in Hz of the waveform that it takes.
        model_output: For onnx: name of the output with the embedding, where the file has several.
        paths: Audio files, or folders of them.
        output: A .csv, or a .npz with `paths` and `embeddings`.
    """
    import numpy as np

    from earmark.deploy.predict import find_audio
    from earmark.runtime.files import atomic_write, write_csv

    if output.suffix not in (".csv", ".npz"):
        raise EarmarkError(f"output = {str(output)!r}: give a name that ends in .csv or .npz")
    files = find_audio(paths)
    embed_file = _load_embedding(model, weights, sample_rate, model_output)
    embeddings = np.stack([embed_file(file) for file in files])
    if output.suffix == ".csv":
        rows = ([file.as_posix(), *row] for file, row in zip(files, embeddings.tolist(), strict=True))
        write_csv(output, [["path", *(f"e{i}" for i in range(embeddings.shape[1]))], *rows])
        return
    with atomic_write(output) as temporary, temporary.open("wb") as file:
        np.savez(file, paths=[path.as_posix() for path in files], embeddings=embeddings)


def _load_embedding(model: Path, weights: str, sample_rate: int, model_output: str) -> Callable[[Path], np.ndarray]:
    """What maps the path of a recording to its embedding (D,)."""
    from earmark.models.backbone import load_backbone, takes_waveform

    if takes_waveform(str(model)):
        from earmark.runs.waveform_embeddings import embed_file

        return partial(embed_file, load_backbone(str(model), sample_rate, model_output))
    if len(model.parts) == 1 and not model.suffix and not model.exists():
        from earmark.deploy.embed import load_embedder

        return load_embedder(str(model), weights).embed
    from earmark.deploy.model import load

    return load(model).embed


def benchmark(models: Paths, clips: Path, json: OptionalPath = None, threads: int = 1) -> None:
    """Measure latency, throughput, memory and size of models.

    Example: earmark benchmark runs/esc10/base-fold1-seed42 model.onnx --clips recordings/

    Args:
        models: Run folders, checkpoints or .onnx files.
        clips: Audio files; accuracy is measured too if their folders are named after classes.
        json: Write the table to this file.
        threads: Processor threads.
    """
    from earmark.deploy.measure import format_costs, measure_costs, write_costs

    if not models:
        raise EarmarkError("models: name at least one run folder or file")
    costs = measure_costs(models, [clips], threads)
    print(format_costs(costs))
    if json:
        write_costs(json, costs, threads)


def serve(
    models: Paths,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str = "",
    page: OptionalPath = None,
    max_megabytes: float = 64.0,
    max_seconds: float = 3600.0,
    timeout_seconds: float = 60.0,
    concurrency: int = 2,
    queue: int = 64,
) -> None:
    """Serve exported models over HTTP.

    POST audio to /predict; also /healthz, /metrics and /openapi.json.

    Example: earmark serve model.onnx --port 8000

    Args:
        models: Exported .onnx files; requests select one with ?model=NAME.
        host: Address to listen on; 0.0.0.0 accepts other machines.
        port: Port to listen on.
        token: Token that requests must send; better set as $EARMARK_TOKEN.
        page: A page of `earmark export MODEL page.html`, shown at /.
        max_megabytes: Largest upload.
        max_seconds: Longest recording.
        timeout_seconds: Longest time for an upload or an answer.
        concurrency: Requests processed at the same time.
        queue: Requests that may wait.
    """
    from earmark.deploy.serve import run_server
    from earmark.deploy.server import Limits

    limits = Limits(max_megabytes, max_seconds, timeout_seconds, concurrency, queue)
    run_server(models, limits, host, port, token, page)
