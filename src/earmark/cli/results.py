"""Commands on results: aggregate, report."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from earmark.cli.arguments import (
    OptionalName,
    OptionalOutput,
    OptionalPath,
    OptionalRate,
    Output,
    RunsPaths,
    optional_choice,
)
from earmark.runtime.console import print_wrapped
from earmark.runtime.errors import EarmarkError

if TYPE_CHECKING:
    from earmark.analysis.aggregate import Aggregate
    from earmark.analysis.records import RunRecord
    from earmark.analysis.slices import Column

Metric = Literal["accuracy", "uar"]
OptionalMetric = Annotated[Metric | None, optional_choice(get_args(Metric))]
"""A metric, or None for that of the plan."""


def aggregate(
    runs: RunsPaths,
    output: OptionalOutput = None,
    json: OptionalPath = None,
    metric: OptionalMetric = None,
    baseline: OptionalName = None,
    rope: float = 1.0,
    by: OptionalName = None,
    clips: OptionalPath = None,
    precision: OptionalRate = None,
) -> None:
    """Compare the variants of finished runs in tables.

    Writes CSV, Markdown and LaTeX, and JSON on request.

    Example: earmark aggregate runs/esc10

    Args:
        runs: A folder of runs; for several, there is `earmark compare`.
        output: Folder for results.csv, results.md and results.tex; defaults to the folder of runs.
        json: Write variants, intervals and verdicts to this JSON file.
        metric: Metric that variants are compared by; defaults to that of the plan, or else accuracy.
        baseline: Compare all variants with this one only, '' for all pairs; defaults to the plan, or else all pairs.
        rope: Differences of at most this many points are practically equal.
        by: Score and compare slices of the clips, too: a column of --clips, such as site, or label.
        clips: Table with the column of --by and clip_id or path, such as the manifest.
        precision: Find the confidence from which on this fraction of the answers is right, such as 0.95.
    """
    if len(runs) != 1:
        several = f"takes one folder of runs; for {len(runs)}: earmark compare {shlex.join(map(str, runs))}"
        raise EarmarkError(several if runs else "no folder of runs; give one, such as runs/esc10")
    (folder,) = runs
    if output is None and folder.is_dir() and not os.access(folder, os.W_OK):
        raise EarmarkError(f"{folder}: is not writable; give -o FOLDER for the tables, or use `earmark compare`")
    print_comparison(runs, output or folder, json, metric, baseline, rope, by, clips, precision)


def print_comparison(
    runs: Sequence[Path],
    output: Path | None,
    json: Path | None = None,
    metric: str | None = None,
    baseline: str | None = None,
    rope: float = 1.0,
    by: str | None = None,
    clips: Path | None = None,
    precision: float | None = None,
) -> Aggregate:
    """Aggregate the finished runs below folders, print the tables and write them to `output` and `json`."""
    from earmark.analysis.aggregate import aggregate as aggregate_runs
    from earmark.analysis.confidence import find_thresholds, threshold_text
    from earmark.analysis.json_results import write_results_json
    from earmark.analysis.merge import read_folders
    from earmark.analysis.tables import terminal_text, write_tables, write_thresholds

    records = read_folders(runs)
    column = read_slices(records, by, clips)
    thresholds = [] if precision is None else find_thresholds(records, precision)
    summary = aggregate_runs(records, metric or "", baseline, rope / 100, column)
    print_wrapped(write_tables(summary, output) if output else terminal_text(summary))
    if precision is not None:
        print_wrapped(threshold_text(thresholds, precision))
        if output:
            write_thresholds(thresholds, output)
    if json:
        write_results_json(summary, json, thresholds)
    return summary


def read_slices(records: Sequence[RunRecord], by: str | None, clips: Path | None) -> Column | None:
    """What --by and --clips stand for."""
    from earmark.analysis.slices import labels_of
    from earmark.runs.columns import read_column

    if by is None and clips is not None:
        raise EarmarkError(f"--clips {clips}: give --by, the column that divides the clips")
    return None if by is None else read_column(by, labels_of(records), clips)


def report(
    runs: RunsPaths,
    output: Output = Path("report.html"),
    metric: OptionalMetric = None,
    baseline: OptionalName = None,
    audit: OptionalPath = None,
    model: OptionalPath = None,
    rope: float = 1.0,
    title: str = "",
    by: OptionalName = None,
    clips: OptionalPath = None,
) -> None:
    """Write the comparison as one HTML page.

    The page opens from disk, without network.

    Example: earmark report runs/esc10 -o report.html

    Args:
        runs: A folder of runs; several are compared as by `earmark compare`.
        output: Path of the page.
        metric: Metric that variants are compared by; defaults to that of the plan, or else accuracy.
        baseline: Compare all variants with this one only, '' for all pairs; defaults to the plan, or else all pairs.
        rope: Differences of at most this many points are practically equal.
        audit: Output of `earmark audit --json`, to include as a section.
        model: Model folder that `earmark finalize` made from the runs, to include as a section.
        title: Heading of the page; defaults to the name of the suite, or the names of the folders.
        by: Score and compare slices of the clips, too: a column of --clips, such as site, or label.
        clips: Table with the column of --by and clip_id or path, such as the manifest.
    """
    from earmark.analysis.merge import read_folders
    from earmark.audit.record import read_audit
    from earmark.report.page import write_report

    audited = read_audit(audit) if audit else None
    records = read_folders(runs)
    column = read_slices(records, by, clips)
    write_report(records, output, metric or "", baseline, audited, rope / 100, model, title, column)
    print(output)
