"""Commands that bring a model into use: finalize, export, listen, benchmark, serve."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from earmark.cli.arguments import LabelNames, ModelPath, ModelPaths, OptionalInt, OptionalPath, OutputPath, RunsPath
from earmark.runtime.console import Progress, pluralize, printable
from earmark.runtime.errors import EarmarkError, missing_extra

if TYPE_CHECKING:
    from earmark.deploy.export import Exported, Precision
    from earmark.deploy.finalize import Finalized


def export(
    model: ModelPath,
    output: OutputPath,
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
        model: A run folder, a model folder of `earmark finalize`, a checkpoint, or hf:REPO.
        output: A file that ends in .onnx or .html.
        precision: float16 stores weights in half the space; int8 also computes in 8 bits.
        split: Write front end and network as two files.
        clips: A folder of recordings on which the export is compared with PyTorch; for int8 one subfolder per class,
            by default the clips of the run folder.
        runtime: With .html: the package that `npm pack onnxruntime-web@1.30.0` downloads.
        force: With int8: write the file even if it loses more than one point of accuracy on the clips.
    """
    if output.suffix not in (".onnx", ".html"):
        raise EarmarkError(f"output = {str(output)!r}: give a name that ends in .onnx or .html")
    page = output.suffix == ".html"
    if page and runtime is None:
        raise EarmarkError("a page needs --runtime, the file that `npm pack onnxruntime-web@1.30.0` downloads")
    if page and split:
        raise EarmarkError("split: a page is one file; leave it out")
    _check_onnx()
    from earmark.deploy.export import write_onnx
    from earmark.deploy.page import read_runtime, write_page

    browser = read_runtime(runtime) if runtime and page else None
    Progress().line("building the graphs and comparing them with PyTorch")
    exported = _exported(model, precision, clips, force)
    if browser:
        write_page(exported, browser, output)
    for path in [output] if browser else write_onnx(exported, output, split):
        print(f"{path}\t{path.stat().st_size / 1e6:.2f} MB")


def _check_onnx() -> None:
    try:
        import onnx  # noqa: F401 (only whether it is there)
    except ImportError as error:
        raise EarmarkError(missing_extra(str(error.name), "onnx")) from None


def _exported(model: Path, precision: Precision, clips: Path | None, force: bool) -> Exported:
    if precision != "int8":
        return _verified(model, precision, clips)
    from earmark.deploy.quantize import export_int8, refuse_loss

    quantized, before, after = export_int8(model, clips)
    tested = f"{pluralize(before.n_clips, 'clip')} ({before.source.removesuffix(', float32')})"
    print(f"accuracy on {tested}: float32 {100 * before.value:.1f} %, int8 {100 * after.value:.1f} %")
    refuse_loss(before, after, force)
    return quantized


def _verified(model: Path, precision: Precision, clips: Path | None) -> Exported:
    """The graphs, which agree with PyTorch on the clips, or on synthetic ones."""
    from earmark.deploy.export import build_graphs
    from earmark.deploy.torch_engine import load_networks
    from earmark.deploy.verify import check_agreement, some_clips

    loaded = load_networks(model)
    waveforms = some_clips(clips, loaded.info) if clips else ()
    exported = build_graphs(loaded, precision)
    print(check_agreement(exported, loaded, waveforms).sentence("clips" if clips else "synthetic clips"))
    return exported


def finalize(
    runs: RunsPath,
    output: OutputPath,
    variant: str = "",
    on_all_clips: bool = False,
    seeds: int = 1,
    seed: OptionalInt = None,
    unknown: bool = True,
    false_alarms: float = 0.05,
    measure_unknown: bool = False,
    force: bool = False,
    root: str = "",
    work: Path = Path("work"),
    device: str = "auto",
    threads: int = 0,
) -> None:
    """Build the final model from the runs of a suite.

    Combines the networks of all folds, or trains the recipe once more on all clips. The expected score is what the
    suite measured. If it is interrupted, the same command resumes.

    Example: earmark finalize runs/esc10 model --variant base --on-all-clips

    Args:
        runs: A folder of runs.
        output: Folder for the model; `earmark export` and `earmark predict` take it.
        variant: Variant to ship; may be omitted if there is only one.
        on_all_clips: Train on all clips instead of combining the networks of the folds.
        seeds: With --on-all-clips: number of networks, each with another seed.
        seed: Use the runs of this seed only; by default the lowest, with --on-all-clips all.
        unknown: Add the unknown score, for which the recordings are needed.
        false_alarms: Share of clips of known classes that may be reported as unknown.
        measure_unknown: Measure the unknown score by training once more without each class.
        force: Replace a model of other runs or of another variant.
        root: Where the recordings are now; by default data.root of the runs, seen from this folder.
        work: Folder of manifests and spectrograms.
        device: Device to train on: auto, cpu, mps or cuda.
        threads: CPU threads; 0 uses all cores.
    """
    from earmark.config.sections import Options
    from earmark.deploy.choices import Choices, choose_runs

    options = Options(work=work, device=device, threads=threads)
    choices = Choices(seed, on_all_clips, seeds, unknown, false_alarms, measure_unknown, root, force, options)
    records = choose_runs(runs, variant, choices)
    from earmark.deploy.finalize import build_model  # late, because torch takes seconds to import

    _print_finalized(output, build_model(records, output, choices))


def _print_finalized(output: Path, done: Finalized) -> None:
    """What was made, and what to expect of it."""
    from earmark.analysis.unknown_tables import threshold_text, unknown_table_rows
    from earmark.runtime.text_tables import align_columns

    assert done.info.expected_score is not None, "runs are scored"
    print(f"{output}: {done.info.architecture}; expected {done.info.expected_score.sentence()}")
    if done.calibration:
        c = done.calibration
        losses = f"log loss {c.log_loss_before:.3f} -> {c.log_loss_after:.3f}"
        errors = f"calibration error {100 * c.error_before:.1f} -> {100 * c.error_after:.1f} %"
        print(f"temperature {c.calibration.temperature:.2f}; cross-fitted {losses}, {errors}")
        if c.calibration.at_limit:
            print(
                "the temperature is at its limit: the held-out clips do not determine it; do not rely on probabilities"
            )
    if done.info.unknown:
        print(f"unknown above {threshold_text(**asdict(done.info.unknown))}")
    if done.unknown_table:
        print(align_columns(unknown_table_rows(done.unknown_table)))


def listen(
    model: ModelPath,
    sample_rate: int,
    channels: int = 1,
    format: Literal["f32le", "s16le"] = "f32le",  # noqa: A002 (the name of the option)
    hop: float = 0.0,
    threshold: float = 0.5,
    min_seconds: float = 0.0,
    unknown: bool = False,
    leave_out: LabelNames = (),
    json: bool = False,
) -> None:
    """Print the events in a live stream of raw samples.

    The samples are read from standard input. For a file: earmark predict MODEL FILE --windows

    Example: earmark listen model.onnx --sample-rate 16000 < stream.f32

    From a camera: ffmpeg -i rtsp://camera -f f32le -ac 1 -ar 16000 - | earmark listen model.onnx --sample-rate 16000

    Args:
        model: A run folder, a model folder, a checkpoint or an .onnx file.
        sample_rate: Rate of the stream in Hz.
        channels: Channels of the stream; they are averaged.
        format: Encoding of the samples, as ffmpeg names it.
        hop: Seconds from one window to the next; 0 uses 0.5, or half of a shorter window.
        threshold: Minimum probability of an event.
        min_seconds: Shortest event.
        unknown: Leave out sounds that are none of the classes; the model must come from `earmark finalize`.
        leave_out: Classes that are no events, such as background.
        json: Print a line of JSON for each window instead of events.
    """
    from earmark.deploy import listen as stream
    from earmark.deploy.events import check_left_out, merge_events, no_events_text
    from earmark.deploy.model import load
    from earmark.deploy.tables import window_json

    loaded, stopped = load(model), list[KeyboardInterrupt]()
    blocks = stream.until_interrupted(stream.stream_blocks(_standard_input(), channels, format), stopped.append)
    check_left_out(loaded, model, unknown, leave_out)
    answers = stream.listen(loaded, blocks, sample_rate, hop or None)
    if json:
        lines = (window_json(answer, unknown) for answer in answers)
    else:
        events = merge_events(answers, threshold, min_seconds, unknown, leave_out)
        lines = (f"{e.start:.2f}\t{e.end:.2f}\t{printable(e.label)}\t{e.probability:.4f}" for e in events)
    Progress().line(f"listening at {sample_rate} Hz; Ctrl-C stops")
    _print_lines(lines, no_events_text(threshold))
    if stopped:  # after the last event
        raise stopped[0]


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise EarmarkError("standard input is closed; send raw samples to it, as with `< stream.f32`")
    return sys.stdin.buffer


def _print_lines(lines: Iterable[str], none: str) -> None:
    """Print each line as it comes, or what is said where there is none."""
    any_line = False
    for line in lines:
        print(line, flush=True)
        any_line = True
    if not any_line:
        Progress().line(none)


def refuse_recordings(argv: Sequence[str]) -> None:
    """Raise `EarmarkError` where `earmark listen` is given a recording, which is what `predict` takes."""
    from earmark.audio.io import is_audio_name

    for argument in argv:
        if is_audio_name(Path(argument).name):
            raise EarmarkError(
                f"{argument}: listen takes raw samples from standard input; for a file: earmark predict MODEL "
                f"{shlex.quote(argument)} --windows"
            )


def benchmark(models: ModelPaths, clips: Path, json: OptionalPath = None, threads: int = 1) -> None:
    """Measure latency, throughput, memory and size of models.

    Example: earmark benchmark runs/esc10/base-fold1-seed42 model.onnx --clips recordings/

    Args:
        models: Run folders, model folders, checkpoints or .onnx files.
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
    models: ModelPaths,
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
        models: Exported .onnx files, which need no PyTorch, or folders of runs and models; requests select one with
            ?model=NAME.
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
