"""The command on looks at test clips: ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from earmark.cli.arguments import RunsPath

if TYPE_CHECKING:
    from collections.abc import Sequence

    from earmark.analysis.ledger import Look


def ledger(runs: RunsPath) -> None:
    """List how many configurations were scored on each test set.

    Suites of other names and imported runs are included.

    Example: earmark ledger runs

    Args:
        runs: The folder of all runs, which has ledger.csv.
    """
    from earmark.analysis.ledger import FILE, LedgerError, find_ledger, read_ledger
    from earmark.analysis.looks import group_by_test_set
    from earmark.runtime.text_tables import align_columns

    path = find_ledger(runs)
    if path is None:
        raise LedgerError(f"ledger {runs / FILE}: not found; give a folder in which runs have been scored")
    header = ["test set", "clips", "configurations", "runs", "suites", "first", "last"]
    print(align_columns([header, *map(_row, group_by_test_set(read_ledger(path)))]))


def _row(looks: Sequence[Look]) -> list[str]:
    """One test set."""
    from earmark.analysis.looks import count_configurations
    from earmark.runtime.console import format_names

    times = sorted(look.time[:10] for look in looks)
    numbers = (looks[-1].n_test, count_configurations(looks), len({look.run for look in looks}))
    suites = format_names(sorted({look.suite for look in looks}))
    return [looks[-1].test_clips[:8], *map(str, numbers), suites, times[0], times[-1]]
