"""The tables of a comparison as files: CSV for programs, Markdown for people, LaTeX for papers (`latex`).

Fractions are written as such in the CSV files and as percentages in the others.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from earmark.analysis import rows
from earmark.analysis.aggregate import Aggregate
from earmark.analysis.compare import Judgment
from earmark.analysis.confidence import Threshold, threshold_records
from earmark.analysis.floor import REFERENCE_LEGEND
from earmark.analysis.headline import headline, unbeaten_text, uncompared_text
from earmark.analysis.latex import results_latex
from earmark.analysis.paired_model import Components
from earmark.analysis.rows import Table
from earmark.analysis.slice_tables import contrast_table, slice_rows, slice_table, slice_texts
from earmark.analysis.verdicts import (
    assumption_text,
    basis_of_equal,
    best_text,
    covered,
    curve_text,
    floor_text,
    group_power_text,
    power_text,
    probabilities_text,
    rope_text,
    verdict_text,
)
from earmark.runtime.console import pluralize
from earmark.runtime.files import check_own_table, write_text
from earmark.runtime.text_tables import align_columns, escape_markdown, markdown_table, spreadsheet_cell

MANY_GROUPS = 40
"""Up to this many groups are listed one by one."""
JUDGMENT = tuple(field.name for field in fields(Judgment))
VARIANCE = tuple(field.name for field in fields(Components))
SPLIT_KINDS = {
    "folds": "published folds",
    "group_kfold": "stratified folds that keep groups together",
    "leave_one_group_out": "one group left out at a time",
    "holdout": "one held-out test subset",
    "files": "your own files or folds",
    "random_clips": "folds of single clips that separate groups",
    "epoch_on_test": "folds whose epoch was selected on test",
    "copies_across_subsets": "folds with copies of test clips in train",
}
"""Kinds of split in words, those of `earmark optimism` among them."""
KEPT = {
    ("none",): "the last epoch",
    ("none", "valid"): "the last epoch or the best one on valid",
}
"""The epoch that is kept, by what epochs were selected on."""
_POOLED = "the metric of the clips of all folds together, averaged over seeds (ROC-AUC: averaged over folds and seeds)"


def column_legend(fixed: bool) -> str:
    """What the columns of the tables are; `fixed` as in `Aggregate`."""
    return (
        f"All folds: {_POOLED}. {_intervals(fixed)}, and the calibration error has none. Mean: of the runs, with the "
        "standard deviation over folds (each the mean of its seeds) and over seeds (each the mean of its folds)."
    )


def paper_legend(fixed: bool) -> str:
    """The same for the table in LaTeX, which has fewer columns."""
    return f"T{_POOLED[1:]}. {_intervals(fixed)}."


def _intervals(fixed: bool) -> str:
    return (
        f"The 95 % interval of accuracy and average recall covers {covered(fixed)}; that of the other metrics is a "
        "bootstrap over groups of clips"
    )


def write_tables(aggregate: Aggregate, folder: str | Path) -> str:
    """Write results.csv, comparisons.csv, groups.csv, confusion.csv, results.md, results.tex and slices.csv, if any.

    Returns:
        A summary for a terminal: see `terminal_text`.

    Raises:
        EarmarkError: a table of somebody else has the name of one of these.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "results.csv": results_csv(aggregate),
        "comparisons.csv": comparisons_csv(aggregate),
        "groups.csv": groups_csv(aggregate),
        "confusion.csv": confusion_csv(aggregate),
        "results.md": results_markdown(aggregate),
        "results.tex": results_latex(aggregate, f"{protocol(aggregate)} {paper_legend(aggregate.fixed)}"),
    }
    if aggregate.slices:
        contents["slices.csv"] = slices_csv(aggregate)
    for name, text in contents.items():
        if name.endswith(".csv"):
            _check_own(folder / name, text)
    for name, text in contents.items():
        write_text(folder / name, text)
    return terminal_text(aggregate)


def terminal_text(aggregate: Aggregate) -> str:
    """The headline table in aligned columns, verdicts and notes."""
    table = align_columns(rows.headline_table(aggregate).texts())
    notes = [f"Note: {note}" for note in aggregate.notes]
    marks = rows.mark_legend(aggregate)
    verdicts = [*_pairs(aggregate), *_remarks(aggregate)] if len(aggregate.verdicts) > 1 else _verdicts(aggregate)
    return "\n".join([table, *marks, "", *verdicts, *_slices(aggregate), *notes, protocol(aggregate)])


def _pairs(aggregate: Aggregate) -> list[str]:
    """The answer, and below it a table of the pairs."""
    judged = [c for c in aggregate.verdicts if c.judgment is not None]
    if not judged:
        return [headline(aggregate)]
    table = rows.pair_table(aggregate)
    family = f"The intervals are for all {len(judged)} comparisons together. " if len(judged) > 1 else ""
    legend = (
        f"{family}Better, equal, worse: the probability, of each "
        f"pair alone, of a difference above {rope_text(judged[0])}, up to it either way, and below it. Detectable: the "
        "minimum detectable effect at 80 % power."
    )
    power = group_power_text(judged)
    bases = [f"{c.variant} − {c.baseline}: {text}" for c in judged if (text := basis_of_equal(c))]
    answer = [headline(aggregate), "", f"{table.title}:", align_columns(table.texts()), legend]
    return [*answer, *(["", power] if power else []), *bases]


def _slices(aggregate: Aggregate) -> list[str]:
    """The slices, between empty lines."""
    if aggregate.slices is None:
        return []
    table = slice_table(aggregate.slices)
    return ["", table.title, align_columns(table.texts()), *slice_texts(aggregate.slices), ""]


def _verdicts(aggregate: Aggregate) -> list[str]:
    """The answer, and below it every pair where there are several."""
    texts = [
        " ".join(filter(None, [verdict_text(c), probabilities_text(c), power_text(c)])) for c in aggregate.verdicts
    ]
    several = [headline(aggregate)] if len(texts) != 1 else []
    texts += filter(None, [uncompared_text(aggregate), unbeaten_text(aggregate)]) if len(texts) == 1 else []
    if len(texts) > 1 and all(c.judgment is None for c in aggregate.verdicts):
        texts = []  # the answer says it of all pairs
    return [*several, *texts, *_remarks(aggregate)]


def _remarks(aggregate: Aggregate) -> list[str]:
    """What holds for the verdicts of all pairs, and the answers of learning curves."""
    texts = [best_text(aggregate), assumption_text(aggregate), floor_text(aggregate)]
    return [*filter(None, texts), *map(curve_text, aggregate.curves)]


def write_thresholds(found: Sequence[Threshold], folder: str | Path) -> None:
    """Write thresholds.csv: a row per variant, or per class of a single one.

    Raises:
        EarmarkError: a table of somebody else has this name.
    """
    path, text = Path(folder) / "thresholds.csv", _csv(threshold_records(found))
    _check_own(path, text)
    write_text(path, text)


def _check_own(path: Path, text: str) -> None:
    """Refuse to replace a table that does not begin with the first two columns of this one."""
    check_own_table(path, text.split(",")[:2])


def slices_csv(aggregate: Aggregate) -> str:
    """A row per estimate in a slice; empty where the clips were not divided."""
    return _csv([] if aggregate.slices is None else slice_rows(aggregate.slices), ("kind", "value", "variant"))


def results_csv(aggregate: Aggregate) -> str:
    """A row per variant and metric."""
    return _csv(
        [
            {"variant": v.variant, "metric": metric, **asdict(summary), "n_runs": v.n_runs, "mark": rows.mark(v)}
            for v in aggregate.variants
            for metric, summary in v.metrics.items()
        ]
    )


def comparisons_csv(aggregate: Aggregate) -> str:
    """A row per comparison and metric; a header alone for a single variant."""
    found = []
    for c in aggregate.comparisons:
        judgment = dict.fromkeys(JUDGMENT) if c.judgment is None else asdict(c.judgment)
        variance = judgment.pop("variance") or dict.fromkeys(VARIANCE)
        row = {**asdict(c), **judgment, **{f"variance_{name}": v for name, v in variance.items()}}
        del row["judgment"]
        found.append({**row, "verdict": c.verdict})
    return _csv(found, ("variant", "baseline", "metric"))


def groups_csv(aggregate: Aggregate) -> str:
    """A row per variant and group: a speaker, a source recording."""
    return _csv(
        [
            {"variant": v.variant, "group": group, **asdict(summary)}
            for v in aggregate.variants
            for group, summary in v.groups.items()
        ]
    )


def confusion_csv(aggregate: Aggregate) -> str:
    """A row per variant, true class and predicted class: clips, summed over runs, and their fraction of the class."""
    names = aggregate.class_names
    found = []
    for v in aggregate.variants:
        for label, row in zip(names, v.confusion, strict=True):
            for prediction, n in zip(names, row, strict=True):
                fraction = n / sum(row) if sum(row) else None
                key = {"variant": v.variant, "label": label, "prediction": prediction}
                found.append({**key, "n_clips": n, "fraction": fraction})
    return _csv(found)


def _csv(content: Sequence[dict[str, Any]], header: Sequence[str] = ()) -> str:
    """The rows below their keys, or without rows below `header`."""
    file = io.StringIO()
    writer = csv.DictWriter(file, content[0].keys() if content else header, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: spreadsheet_cell(value) for key, value in row.items()} for row in content)
    return file.getvalue()


def protocol(aggregate: Aggregate) -> str:
    """What was done, in a sentence: data, split, runs, selection."""
    kind = SPLIT_KINDS.get(aggregate.split_kind, aggregate.split_kind)
    return (
        f"{pluralize(aggregate.n_clips, 'clip')} in {pluralize(aggregate.n_groups, 'group')} and "
        f"{pluralize(len(aggregate.class_names), 'class')} "
        f"({aggregate.dataset}); {kind}; {pluralize(aggregate.n_runs, 'run')}: "
        f"{pluralize(len(aggregate.variants), 'variant')}, {_of_each([v.folds for v in aggregate.variants], 'fold')}, "
        f"{_of_each([v.seeds for v in aggregate.variants], 'seed')}{_kept(aggregate)}."
    )


def _of_each(numbers: Sequence[tuple[int, ...]], noun: str) -> str:
    """How many folds or seeds the variants have: all the same ones, as many each, or from the fewest to the most."""
    counts = sorted(map(len, numbers))
    if counts[0] < counts[-1]:
        return f"{counts[0]} to {pluralize(counts[-1], noun)}"
    return pluralize(counts[0], noun) + " each" * (len(set(numbers)) > 1)


def _kept(aggregate: Aggregate) -> str:
    """Which epoch was kept, where there are any: what other tools have kept is not known."""
    if not aggregate.selected_on:
        return ""
    kept = KEPT.get(aggregate.selected_on, "the best epoch on valid")
    imported = any(not v.settings for v in aggregate.variants)
    return f"; {'of the variants that earmark trained, ' * imported}{kept} is kept"


def results_markdown(aggregate: Aggregate) -> str:
    """Protocol, notes, verdicts and tables for reading."""
    of_slices = slice_texts(aggregate.slices) if aggregate.slices else []
    verdicts = [f"- {escape_markdown(text)}" for text in [*_verdicts(aggregate), *of_slices]]
    notes = [f"> **Note.** {escape_markdown(note)}" for note in aggregate.notes]
    parts = [f"# {escape_markdown(aggregate.name)}", protocol(aggregate), "\n".join(notes), "\n".join(verdicts)]
    for table in all_tables(aggregate):
        parts += [f"## {table.title}", markdown_table(table.texts())]
    marks = [escape_markdown(line) for line in rows.mark_legend(aggregate)]
    marks += [REFERENCE_LEGEND] * bool(aggregate.references.references)
    return "\n\n".join(filter(None, [*parts, *marks, column_legend(aggregate.fixed)])) + "\n"


def all_tables(aggregate: Aggregate) -> list[Table]:
    """The tables of the Markdown file, in order."""
    found = [rows.metric_table(aggregate, metric) for metric in ("accuracy", "uar")]
    found += [rows.metrics_table(aggregate), rows.cost_table(aggregate)]
    if rows.settings_table(aggregate).rows:
        found.append(rows.settings_table(aggregate))
    if aggregate.comparisons:
        found.append(rows.difference_table(aggregate))
    if len(aggregate.ranks) > 1:
        found.append(rows.rank_table(aggregate))
    if aggregate.curves:
        found.append(rows.curve_table(aggregate))
    if aggregate.n_groups <= MANY_GROUPS:
        found.append(rows.group_table(aggregate))
    if aggregate.slices:
        found += [slice_table(aggregate.slices)] + [contrast_table(aggregate.slices)] * bool(
            aggregate.slices.differences
        )
    return found
