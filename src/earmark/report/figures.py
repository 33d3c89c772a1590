"""The plots of the report as objects that a notebook shows."""

from __future__ import annotations

import html
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from earmark.analysis.aggregate import Aggregate
from earmark.report.html import Html
from earmark.report.outcome_plots import probability_plot, score_plot
from earmark.report.plots import forest_plot
from earmark.runtime.files import write_text

FRAME_HEIGHT = 420
"""Of a figure in a notebook, in pixels; it scrolls if it is higher."""


@dataclass(frozen=True)
class Figure:
    """A plot as HTML with its own styles, light and dark; a notebook shows it, `save` writes it."""

    body: Html

    def page(self) -> str:
        """A complete HTML page."""
        style = (files("earmark.report") / "assets" / "style.css").read_text(encoding="utf-8")
        head = f'<meta charset="utf-8"><meta name="color-scheme" content="light dark"><style>{style}</style>'
        return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>{self.body}</main></body></html>\n'

    def save(self, path: str | Path) -> None:
        """Write the page to a file."""
        write_text(Path(path), self.page())

    def _repr_html_(self) -> str:
        frame = f'style="width:100%;height:{FRAME_HEIGHT}px;border:0"'
        return f'<iframe srcdoc="{html.escape(self.page())}" {frame}></iframe>'


def to_figures(a: Aggregate) -> dict[str, Figure]:
    """The plots of a comparison: `scores`, and with several variants `differences` and `probabilities`."""
    figures = {"scores": Figure(score_plot(a))}
    judged = [c for c in a.verdicts if c.judgment is not None]
    if judged:
        index_of = {v.variant: i for i, v in enumerate(a.variants)}
        figures["differences"] = Figure(forest_plot("Differences", judged))
        figures["probabilities"] = Figure(probability_plot(judged, index_of))
    return figures
