"""Commands on results: aggregate, report."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from earmark.cli.arguments import OptionalOutput, OptionalPath, Output, RequiredPath

Metric = Literal["accuracy", "uar"]


def aggregate(
    runs: RequiredPath,
    output: OptionalOutput = None,
    metric: Metric = "accuracy",
    baseline: str = "",
    rope: float = 1.0,
) -> None:
    """Compare the variants of finished runs in tables.

    Writes CSV, Markdown and LaTeX.

    Example: earmark aggregate runs/esc10

    Args:
        runs: A folder of runs.
        output: Folder for results.csv, results.md and results.tex; defaults to the folder of runs.
        metric: Metric that variants are compared by.
        baseline: Compare all variants with this one only, instead of all pairs.
        rope: Differences of at most this many points are practically equal.
    """
    print_tables(runs, output or runs, metric, baseline, rope)


def print_tables(
    runs: Path, output: Path, metric: Metric = "accuracy", baseline: str = "", rope: float = 1.0
) -> None:
    """Aggregate the finished runs below a folder, write the tables to `output` and print them."""
    from earmark.analysis.aggregate import aggregate as aggregate_runs
    from earmark.analysis.records import read_runs
    from earmark.analysis.tables import write_tables

    print(write_tables(aggregate_runs(read_runs(runs), metric, baseline, rope / 100), output))


def report(
    runs: RequiredPath,
    output: Output = Path("report.html"),
    metric: Metric = "accuracy",
    baseline: str = "",
    audit: OptionalPath = None,
    rope: float = 1.0,
) -> None:
    """Write the comparison as one HTML page.

    The page opens from disk, without network.

    Example: earmark report runs/esc10 -o report.html

    Args:
        runs: A folder of runs.
        output: Path of the page.
        metric: Metric that variants are compared by.
        baseline: Compare all variants with this one only, instead of all pairs.
        rope: Differences of at most this many points are practically equal.
        audit: Output of `earmark audit --json`, to include as a section.
    """
    from earmark.analysis.records import read_runs
    from earmark.audit.record import read_audit
    from earmark.report.page import write_report

    write_report(read_runs(runs), output, metric, baseline, read_audit(audit) if audit else None, rope / 100)
    print(output)
