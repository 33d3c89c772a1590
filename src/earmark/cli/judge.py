"""Commands that judge what is already trained, by any tool: evaluate, import, floor, compare."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import tyro

from earmark.cli.arguments import (
    ClipsPath,
    ModelPath,
    OptionalInt,
    OptionalName,
    OptionalOutput,
    OptionalPath,
    OptionalRate,
    RunsPath,
    RunsPaths,
    TablePaths,
    optional_choice,
)
from earmark.cli.errors import FOUND
from earmark.cli.results import OptionalMetric, print_comparison
from earmark.runtime.console import pluralize
from earmark.runtime.errors import EarmarkError

if TYPE_CHECKING:
    from earmark.analysis.compare import Comparison
    from earmark.datasets.manifest import Clip
    from earmark.deploy.evaluate import Evaluated
    from earmark.splits.split import Split

AtLeast = Literal["better", "equal", "undecided"]
OptionalVerdict = Annotated[AtLeast | None, optional_choice(get_args(AtLeast))]
RunsFolder = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


def evaluate(
    model: ModelPath,
    clips: ClipsPath,
    output: RunsFolder,
    variant: str = "",
    metric: OptionalMetric = None,
    known: Literal["refuse", "skip", "flag"] = "refuse",
    json: OptionalPath = None,
    by: OptionalName = None,
    precision: OptionalRate = None,
    device: str = "auto",
) -> None:
    """Score a model on new labeled recordings.

    The run is written beside others of the same recordings, and all are compared. Recordings that trained the model are
    refused.

    Example: earmark evaluate model.onnx field.csv -o runs/field

    Args:
        model: A run folder, a model folder, a checkpoint, an .onnx file or hf:REPO.
        clips: Their manifest, from `earmark manifest`.
        output: Folder of runs to write into; the look is recorded in ledger.csv beside that folder.
        variant: Name of the model in tables; defaults to the variant of a run folder, or the name of the file.
        metric: Metric that models are compared by; defaults to that of the model's own score, or else accuracy.
        known: Recordings that trained the model: refuse them, skip them and score the others, or score all and flag
            the result.
        json: Write scores, intervals and verdicts to this JSON file.
        by: Score and compare slices of the recordings, too: a column of the manifest, such as site, or label.
        precision: Find the confidence from which on this fraction of the answers is right, such as 0.95.
        device: Device to run on: auto, cpu or cuda; an .onnx file always takes the processor.
    """
    from earmark.datasets.manifest import read_manifest
    from earmark.deploy.evaluate import evaluate as evaluate_model
    from earmark.runs.columns import read_column

    field = read_manifest(clips)
    if by is not None:
        read_column(by, {clip.clip_id: clip.label for clip in field}, clips)  # what is wrong is said before the work
    done = evaluate_model(model, field, output, variant, known=known, device=device)
    print_comparison(
        [output], output, json, metric or done.metric, by=by, clips=clips if by else None, precision=precision
    )
    _print_evaluated(done)


def _print_evaluated(done: Evaluated) -> None:
    """What is said of the model alone."""
    from earmark.analysis.classes import class_rows
    from earmark.analysis.records import read_runs
    from earmark.deploy.evaluate import compare_with_expected
    from earmark.runtime.text_tables import align_columns

    (record,) = read_runs(done.run)
    print(f"\n{record.variant}, {done.run}\n{align_columns(class_rows(record))}")
    if done.skipped:
        print(f"Left out, as they trained the model: {pluralize(len(done.skipped), 'recording')}.")
    if done.expected:
        print(compare_with_expected(done.expected, record))


def import_(
    predictions: TablePaths,
    clips: Path,
    output: RunsFolder,
    variant: str = "",
    split: OptionalPath = None,
    fold: OptionalInt = None,
    seed: OptionalInt = None,
    selected_on: Literal["none", "valid", "unknown"] = "unknown",
    waiver: str = "",
    source: Annotated[Literal["table", "birdnet"], tyro.conf.arg(name="format")] = "table",
    missing: str = "",
    as_it_is: bool = False,
) -> None:
    """Import predictions of any tool as finished runs.

    A table has the columns clip_id (or path) and prob:<class> for each class, or prediction; variant, fold and seed
    may be columns, too. Without --split, a clip is tested in the published fold, or in the fold of its row.

    Example: earmark import svm.csv --clips clips.csv --variant svm --selected-on none -o runs/svm

    Args:
        predictions: Tables of predictions (CSV); for birdnet, its results or folders of them.
        clips: The manifest, from `earmark manifest`.
        output: Folder of runs to write into; the look is recorded in ledger.csv beside that folder.
        variant: Variant of all rows; defaults to the column variant, or the name of the table.
        split: Folder of runs whose folds are meant, such as runs/own, or of one split from `earmark split`.
        fold: Fold of all rows; defaults to the column fold, the fold that tests the clip, or the published fold.
        seed: Seed of all rows; defaults to the column seed, or 0.
        selected_on: What the tool chose its epoch or hyperparameters on; unknown is marked in every table.
        waiver: Name of a published exception to group-disjointness.
        source: birdnet takes the best detection of each clip in *.results.csv and *.selection.table.txt.
        missing: Class that test clips without a prediction count as, such as background; by default they are refused.
        as_it_is: Finished models, all clips test them: intervals cover other clips, not other training sets or seeds.
    """
    from earmark.datasets.manifest import read_manifest
    from earmark.runs.import_folds import check_one_run_each, folds_of_import
    from earmark.runs.import_predictions import import_predictions
    from earmark.runs.prediction_table import read_prediction_table

    manifest = read_manifest(clips)
    splits, clips_of, names, fold = folds_of_import(manifest, split, fold, waiver, as_it_is)
    tables = _tables(source, predictions, manifest, names, splits or {}, missing)
    read = partial(read_prediction_table, variant=variant, fold=fold, seed=seed, names=names, missing=missing)
    runs = [run for path, table in tables.items() for run in read(table, clips_of, unnamed=path.stem)]
    check_one_run_each(runs, as_it_is)
    written = import_predictions(
        runs, manifest, output, splits=splits, waiver=waiver, selected_on=selected_on, names=names, missing=missing
    )
    _print_imported(written, output)


def _tables(
    source: str,
    paths: Sequence[Path],
    clips: Sequence[Clip],
    names: Sequence[str],
    splits: Mapping[int, Split],
    missing: str,
) -> Mapping[Path, Any]:
    """The tables, or that of what BirdNET detects in the clips which the splits test (without a split, in all)."""
    from earmark.runs.birdnet import read_detections
    from earmark.runs.prediction_table import PredictionTableError

    if not paths:
        raise PredictionTableError("no table of predictions; give one or more CSV files")
    if source == "table":
        return {path: path for path in paths}
    tested = {clip_id for split in splits.values() for clip_id in split.reported}
    return {Path(source): read_detections(paths, clips, names, tested, missing)}


def _print_imported(written: Sequence[Path], output: Path) -> None:
    """What each variant has, as it was written, and what comes next."""
    from earmark.runtime.schema import read_json

    schema = {"variant": str, "n_clips": int, "metrics": {"accuracy": float}}
    results = [read_json(folder / "result.json", schema) for folder in written]
    for variant in dict.fromkeys(result["variant"] for result in results):
        own = [result for result in results if result["variant"] == variant]
        n_clips = sum(result["n_clips"] for result in own)
        right = sum(result["n_clips"] * result["metrics"]["accuracy"] for result in own)
        counts = f"{pluralize(len(own), 'run')} of {variant}, {pluralize(n_clips, 'test clip')}"
        print(f"{output}: {counts}, accuracy {100 * right / n_clips:.1f} %")
    print(f"next: earmark compare {output} OTHER_RUNS")


def floor(
    runs: RunsPath, clips: OptionalPath = None, work: Path = Path("work"), jobs: int = 0, sample_rate: int = 0
) -> None:
    """Score references without a network on the folds of finished runs.

    Suites do this themselves; imported runs need it once. Tables and reports then say which variants beat the floor.

    Example: earmark floor runs/svm --clips clips.csv

    Args:
        runs: Folder of the runs of one comparison; floor.csv is written there.
        clips: Their manifest; imported runs need it, others are read from where they were trained.
        work: Where the images are kept.
        jobs: Number of parallel jobs; 0 uses one per core.
        sample_rate: For imported runs of recordings with several rates: the rate of their images in Hz.
    """
    from earmark.runs.floor import plan_of_runs, update_floor

    plan = plan_of_runs(runs, clips, work, sample_rate)
    folder = plan.runs[0].folder.parent
    for name, reason in update_floor(plan, folder, jobs).items():
        print(f"not scored: {name} ({reason})")
    print(f"{folder / 'floor.csv'}: references of {pluralize(len({run.config.fold for run in plan.runs}), 'fold')}")


def meets(comparison: Comparison | None, at_least: AtLeast) -> bool:
    """Whether a variant is better than the baseline, not worse by more than is practically equal, or not worse."""
    if comparison is None or comparison.judgment is None:
        return False
    verdict = comparison.verdict
    if at_least == "equal":
        return comparison.not_inferior or verdict == "practically equal"
    return verdict == "better" or (at_least == "undecided" and verdict != "worse")


def compare(
    runs: RunsPaths,
    output: OptionalOutput = None,
    json: OptionalPath = None,
    metric: OptionalMetric = None,
    baseline: OptionalName = None,
    rope: float = 1.0,
    at_least: OptionalVerdict = None,
    by: OptionalName = None,
    clips: OptionalPath = None,
    precision: OptionalRate = None,
) -> int:
    """Compare folders of runs from different days, tools or configs.

    The folders must agree in clips, groups, labels and folds. A variant name that occurs in two of them is prefixed by
    the folder's name. With --at-least, exit status 1 if a verdict is not reached.

    Example: earmark compare runs/mine results/esc10-probes --json verdict.json

    Args:
        runs: Folders of runs.
        output: Folder for results.csv, results.md and results.tex; without it, no table is written.
        json: Write variants, intervals and verdicts to this JSON file.
        metric: Metric that variants are compared by; defaults to that of the plan, or else accuracy.
        baseline: Compare all variants with this one only, '' for all pairs; defaults to the plan, or else all pairs.
        rope: Differences of at most this many points are practically equal.
        at_least: Exit status 1 unless every variant is better than --baseline; or equal: at most --rope points worse;
            or undecided: not shown to be worse.
        by: Score and compare slices of the clips, too: a column of --clips, such as site, or label.
        clips: Table with the column of --by and clip_id or path, such as the manifest.
        precision: Find the confidence from which on this fraction of the answers is right, such as 0.95.
    """
    if at_least and not baseline:
        raise EarmarkError("--at-least: give --baseline NAME, the variant that the others are compared with")
    summary = print_comparison(runs, output, json, metric, baseline, rope, by, clips, precision)
    if at_least is None:
        return 0
    found = {c.variant: c for c in summary.verdicts}
    others = [v.variant for v in summary.variants if v.variant != baseline]
    failed = [name for name in others if not meets(found.get(name), at_least)]
    points = f"{rope:g} point{'s' * (rope != 1)}"
    wanted = {"better": "better", "equal": f"at most {points} worse", "undecided": "not worse"}[at_least]
    for name in failed:
        verdict = found[name].verdict if name in found else "not compared"
        text = f"{name} against {baseline}: {verdict}; --at-least {at_least} asks for {wanted}"
        print(f"earmark compare: {text}", file=sys.stderr)
    if not others:
        print(f"earmark compare: there is no variant besides {baseline}", file=sys.stderr)
    return FOUND if failed or not others else 0
