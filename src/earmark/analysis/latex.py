"""The tables of a comparison in LaTeX, for the package booktabs: scores, and paired differences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from earmark.analysis import rows
from earmark.analysis.aggregate import Aggregate
from earmark.analysis.rows import Cell
from earmark.analysis.verdicts import METRIC_NAMES, PAIRING, covered, rope_text

PAPER_METRICS = ("accuracy", "uar", "macro_f1", "top3_accuracy", "roc_auc")
DIFFERENCES = {"difference": "Difference", "points": "Points", "95 % interval": "95 % interval", "p": "p"}
DIFFERENCES |= {"verdict": "Verdict"}
"""Columns of the table of differences, and their names in LaTeX."""


def results_latex(a: Aggregate, explanation: str) -> str:
    """A table of the metrics that papers print, and one of the differences on the metric of the verdicts, if any.

    Args:
        a: the comparison.
        explanation: what was done, and what the numbers are; for the caption.
    """
    return "\n".join([_scores(a, explanation), *([_differences(a)] if a.verdicts else [])])


def _scores(a: Aggregate, explanation: str) -> str:
    """The references, which are no contestants, are below a rule."""
    references = rows.reference_rows(a, PAPER_METRICS)
    texts = [f"{a.name}, in %.", explanation, *(f"{line}." for line in rows.mark_legend(a))]
    texts += ["Below the rule: references without a network."] * bool(references)
    header = ["Variant", *(METRIC_NAMES[m] for m in PAPER_METRICS)]
    body = [rows.metrics_table(a, PAPER_METRICS).rows, *([references] if references else [])]
    return _table(" ".join(texts), a.name, "l" + "r" * len(PAPER_METRICS), header, body)


def _differences(a: Aggregate) -> str:
    """The paired differences on the metric of the verdicts."""
    c = a.verdicts[0]
    table = rows.difference_table(replace(a, comparisons=a.verdicts))
    columns = [table.header.index(name) for name in DIFFERENCES]
    together = " and, like p, is for all comparisons together" if c.n_comparisons > 1 else ""
    caption = (
        f"{a.name}: paired differences in {METRIC_NAMES[a.metric]}, in points. {PAIRING} The 95 % interval covers "
        f"{covered(a.fixed)}{together}; practically equal is a difference of at most {rope_text(c)}."
    )
    body = [[row[column] for column in columns] for row in table.rows]
    return _table(caption, f"{a.name}-differences", "lrrrl", list(DIFFERENCES.values()), [body])


def _table(
    caption: str, label: str, columns: str, header: Sequence[str], body: Sequence[Sequence[Sequence[Cell]]]
) -> str:
    """A booktabs table whose body has a rule between its blocks of rows."""
    blocks = ["\n".join(" & ".join(map(_tex_cell, row)) + r" \\" for row in block) for block in body]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_tex(caption)}}}",
            rf"\label{{tab:{re.sub(r'[^A-Za-z0-9_.+-]', '-', label)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(map(_tex, header)) + r" \\",
            r"\midrule",
            "\n\\midrule\n".join(blocks),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _tex_cell(cell: Cell) -> str:
    small = rf" {{\scriptsize [{_tex(Cell(cell.small).text)}]}}" if cell.small else ""
    return _tex(Cell(cell.main).text) + small


def _tex(text: str) -> str:
    escapes = {
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
        "†": r"\dag{}", "‡": r"\ddag{}", "◇": r"$\diamond$", "§": r"\S{}", "¶": r"\P{}",
        "–": "--", "−": "$-$", "<": "$<$", ">": "$>$", "|": "$|$",
        **{c: "\\" + c for c in "&%$#_{}"},
    }  # fmt: skip
    return "".join(escapes.get(c, c) for c in text)
