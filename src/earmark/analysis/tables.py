"""The tables of a comparison as files: CSV for programs, Markdown for people, LaTeX for papers.

Shares are written as fractions in the CSV files and as percentages in the others.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from earmark.analysis.summary import METRICS, Aggregate, MetricSummary, VariantSummary
from earmark.analysis.verdicts import METRIC_NAMES, p_text, points, power_text, verdict_text
from earmark.runtime.console import pluralize
from earmark.runtime.files import write_text

LEAK_MARK, WAIVER_MARK = "‡", "†"
MANY_GROUPS = 40
"""Up to this many groups are listed one by one."""


def write_tables(aggregate: Aggregate, folder: str | Path) -> str:
    """Write results.csv, comparisons.csv, groups.csv, results.md and results.tex into a folder.

    Returns:
        The gist of them for a terminal: see `terminal_text`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "results.csv": results_csv(aggregate),
        "comparisons.csv": comparisons_csv(aggregate),
        "groups.csv": groups_csv(aggregate),
        "results.md": results_markdown(aggregate),
        "results.tex": results_latex(aggregate),
    }
    for name, text in contents.items():
        write_text(folder / name, text)
    return terminal_text(aggregate)


def terminal_text(aggregate: Aggregate) -> str:
    """The headline table in aligned columns, verdicts and notes."""
    rows = list(_headline_rows(aggregate))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    texts = [*_verdicts(aggregate), *(f"Note: {note}" for note in aggregate.notes)]
    return "\n".join([*lines, "", *texts, protocol(aggregate)])


def _verdicts(aggregate: Aggregate) -> list[str]:
    return [f"{verdict_text(c)} {power_text(c)}".strip() for c in aggregate.verdicts]


def _headline_rows(aggregate: Aggregate) -> Iterable[Sequence[str]]:
    yield "in %", "accuracy", "95 % interval", "std folds (n)", "std seeds (n)", "UAR", "95 % interval", "runs"
    for v in aggregate.variants:
        accuracy, uar = v.metrics["accuracy"], v.metrics["uar"]
        spreads = (f"{percent(s)} ({n})" for s, n in _spreads(accuracy))
        pairs = (percent(accuracy.pooled), _interval(accuracy), *spreads, percent(uar.pooled), _interval(uar))
        yield f"{v.variant} {mark(v)}".strip(), *pairs, str(v.n_runs)


def _interval(summary: MetricSummary) -> str:
    return "–" if summary.low is None else f"{percent(summary.low)} to {percent(summary.high)}"


def _spreads(summary: MetricSummary) -> tuple[tuple[float | None, int], tuple[float | None, int]]:
    return (summary.std_folds, summary.n_folds), (summary.std_seeds, summary.n_seeds)


def results_csv(aggregate: Aggregate) -> str:
    """A row per variant and metric."""
    rows = [
        {"variant": v.variant, "metric": metric, **asdict(summary), "n_runs": v.n_runs, "mark": mark(v)}
        for v in aggregate.variants
        for metric, summary in v.metrics.items()
    ]
    return _csv(rows)


def comparisons_csv(aggregate: Aggregate) -> str:
    """A row per comparison and metric; a header alone for a single variant."""
    rows = []
    for c in aggregate.comparisons:
        row = {**asdict(c), "verdict": c.verdict}
        for name in ("clip_interval", "fold_interval"):
            low, high = row.pop(name) or (None, None)
            row |= {f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return _csv(rows or [{"variant": None, "baseline": None, "metric": None}])


def groups_csv(aggregate: Aggregate) -> str:
    """A row per variant and group: a speaker, a source recording."""
    rows = [
        {"variant": v.variant, "group": group, **asdict(summary)}
        for v in aggregate.variants
        for group, summary in v.groups.items()
    ]
    return _csv(rows)


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def mark(variant: VariantSummary) -> str:
    """``‡`` where training has seen what is tested, ``†`` where groups cross parts by a published exception."""
    return LEAK_MARK * bool(variant.leaks) + WAIVER_MARK * bool(variant.waived_groups)


def percent(value: float | None) -> str:
    """A share as a percentage to one decimal, without the sign; a dash for None."""
    return "–" if value is None else f"{100 * value:.1f}"


def number(metric: str, value: float | None) -> str:
    """A metric as it is printed: log-loss in nats, the others in percent."""
    if metric == "nll" and value is not None:
        return f"{value:.3f}"
    return percent(value)


def protocol(aggregate: Aggregate) -> str:
    """What was done, in a sentence: data, split, runs, selection."""
    folds = {fold for v in aggregate.variants for fold in v.folds}
    seeds = {seed for v in aggregate.variants for seed in v.seeds}
    kinds = {
        "folds": "published folds",
        "group_kfold": "stratified folds that keep groups together",
        "leave_one_group_out": "one group left out at a time",
        "holdout": "one held-out part",
        "files": "the user's own split files",
    }
    chosen = "the last epoch kept" if aggregate.selected_on == ("none",) else "the epoch chosen on valid"
    return (
        f"{pluralize(aggregate.n_clips, 'clip')} in {pluralize(aggregate.n_groups, 'group')} and "
        f"{pluralize(len(aggregate.class_names), 'class')} "
        f"({aggregate.dataset}); {kinds[aggregate.split_kind]}; {pluralize(aggregate.n_runs, 'run')}: "
        f"{pluralize(len(aggregate.variants), 'variant')}, {pluralize(len(folds), 'fold')}, {pluralize(len(seeds), 'seed')}; "
        f"{chosen}; each run scores its test part once."
    )


LEGEND = (
    "All folds: the metric of the clips of all folds taken together, averaged over seeds, with a 95 % bootstrap "
    "interval over groups of clips (none where no resample differs). Mean: of the runs, with the standard deviation "
    "over folds (each the mean of its seeds) and over seeds (each the mean of its folds), which are not the same."
)


def results_markdown(aggregate: Aggregate) -> str:
    """Protocol, notes, verdicts and tables for reading."""
    parts = [f"# {_md(aggregate.name)}", protocol(aggregate)]
    parts += ["\n".join(f"> **Note.** {_md(note)}" for note in aggregate.notes)] * bool(aggregate.notes)
    parts += ["\n".join(f"- {_md(text)}" for text in _verdicts(aggregate))] * bool(aggregate.verdicts)
    for metric in ("accuracy", "uar"):
        title = f"## {METRIC_NAMES[metric][0].upper()}{METRIC_NAMES[metric][1:]}, %"
        parts += [title, _markdown_table(_metric_rows(aggregate, metric))]
    parts += ["## Other metrics", _markdown_table(_other_rows(aggregate))]
    if aggregate.comparisons:
        parts += ["## Paired differences, points", _markdown_table(_difference_rows(aggregate))]
    if len(aggregate.ranks) > 1:
        parts += [f"## Average rank over {aggregate.n_ranked_folds} folds", _markdown_table(_rank_rows(aggregate))]
    if aggregate.n_groups <= MANY_GROUPS:
        parts += ["## By group: accuracy / UAR, %", _markdown_table(_group_rows(aggregate))]
    return "\n\n".join([*parts, LEGEND]) + "\n"


def _metric_rows(aggregate: Aggregate, metric: str) -> Iterable[Sequence[str]]:
    yield "variant", "all folds", "95 % interval", "mean", "std over folds (n)", "std over seeds (n)", "runs"
    for v in aggregate.variants:
        m = v.metrics[metric]
        yield (
            f"{v.variant} {mark(v)}".strip(),
            percent(m.pooled),
            _interval(m),
            percent(m.mean),
            *(f"{percent(std)} ({n})" for std, n in _spreads(m)),
            str(v.n_runs),
        )


def _other_rows(aggregate: Aggregate) -> Iterable[Sequence[str]]:
    others = METRICS[2:]
    yield "variant", *(METRIC_NAMES[m] for m in others), "parameters", "multiply-adds", "training, s"
    for v in aggregate.variants:
        seconds = "–" if v.train_seconds is None else f"{v.train_seconds:.0f}"
        values = (number(m, v.metrics[m].pooled) for m in others)
        yield v.variant, *values, f"{v.n_parameters:,}", f"{v.multiply_adds:,}", seconds


def _difference_rows(aggregate: Aggregate) -> Iterable[Sequence[str]]:
    tests = ("t-test", "permutation", "McNemar", "Holm")
    yield "difference", "metric", "points", "95 % interval", "pairs", *tests, "verdict"
    for c in aggregate.comparisons:
        interval = "–" if c.low is None else f"{points(c.low, True)} to {points(c.high, True)}"
        p_values = ("–" if p is None else p_text(p) for p in (c.t_p, c.permutation_p, c.mcnemar_p, c.p_holm))
        size = points(c.difference, signed=True)
        yield f"{c.variant} − {c.baseline}", c.metric, size, interval, str(c.n_pairs), *p_values, c.verdict


def _rank_rows(aggregate: Aggregate) -> Iterable[Sequence[str]]:
    yield "variant", f"average rank ({METRIC_NAMES[aggregate.metric]})"
    for name, rank in sorted(aggregate.ranks.items(), key=lambda item: item[1]):
        yield name, f"{rank:.2f}"


def _group_rows(aggregate: Aggregate) -> Iterable[Sequence[str]]:
    yield "group", "clips", *(v.variant for v in aggregate.variants)
    groups = {group: s.n_clips for v in aggregate.variants for group, s in v.groups.items()}
    for group, n_clips in sorted(groups.items()):
        cells = (v.groups.get(group) for v in aggregate.variants)
        yield group, str(n_clips), *(f"{percent(s.accuracy)} / {percent(s.uar)}" if s else "–" for s in cells)


def _markdown_table(rows: Iterable[Sequence[str]]) -> str:
    header, *body = ([_md(cell) for cell in row] for row in rows)
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _md(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)


def results_latex(aggregate: Aggregate) -> str:
    """A booktabs table of all metrics; what the numbers are stands in its caption."""
    shown = ("accuracy", "uar", "macro_f1", "top3_accuracy", "roc_auc")
    caption = f"{aggregate.name}, in %. {protocol(aggregate)} {LEGEND} {_marks(aggregate)}".strip()
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_tex(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(shown)}}}",
        r"\toprule",
        " & ".join(["Variant", *(_tex(METRIC_NAMES[m]) for m in shown)]) + r" \\",
        r"\midrule",
    ]
    for v in aggregate.variants:
        cells = [f"{_tex(v.variant)}{_tex(mark(v))}", *(_tex_cell(v, metric) for metric in shown)]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _tex_cell(variant: VariantSummary, metric: str) -> str:
    m = variant.metrics[metric]
    interval = "" if m.low is None else rf" {{\scriptsize [{percent(m.low)}, {percent(m.high)}]}}"
    return f"{percent(m.pooled)}{interval}"


def _marks(aggregate: Aggregate) -> str:
    marks = "".join(mark(v) for v in aggregate.variants)
    texts = {LEAK_MARK: "training has seen part of what is tested", WAIVER_MARK: "groups cross parts by a waiver"}
    return " ".join(f"{sign}: {text}." for sign, text in texts.items() if sign in marks)


def _tex(text: str) -> str:
    escapes = {
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "†": r"\dag{}", "‡": r"\ddag{}", "–": "--", "−": "$-$", "<": "$<$", ">": "$>$", "|": "$|$",
        **{c: "\\" + c for c in "&%$#_{}"},
    }  # fmt: skip
    return "".join(escapes.get(c, c) for c in text)
