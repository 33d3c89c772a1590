"""The plots of the report as objects that a notebook shows and that are saved as SVG or HTML."""

from __future__ import annotations

import html
import re
import textwrap
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

from earmark.analysis.aggregate import Aggregate
from earmark.report.axes import WIDTH
from earmark.report.html import Html, tag
from earmark.report.outcome_plots import probability_plot, score_plot
from earmark.report.plots import forest_plot
from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import GENERATOR, check_own_file, write_text

FRAME_HEIGHT = 420
"""Of a figure in a notebook, in pixels; it scrolls if it is higher."""
METADATA = "<metadata>figure of earmark</metadata>"
"""In the first lines of an SVG."""
MARGIN, TITLE_HEIGHT, LINE_HEIGHT, LINE_LENGTH = 12, 32, 16, 76
"""Around an SVG, above and below its plot, in pixels; and the characters in a line of its note."""


@dataclass(frozen=True, repr=False)
class Figure:
    """A plot with its own styles; a notebook shows it, `save` writes it."""

    body: Html

    def __repr__(self) -> str:
        return f"<Figure {''.join(ElementTree.fromstring(self.body)[0].itertext())!r}>"

    def page(self) -> str:
        """A complete HTML page, light or dark."""
        head = GENERATOR.format("figure")
        head += f'<meta charset="utf-8"><meta name="color-scheme" content="light dark"><style>{_style_sheet()}</style>'
        return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>{self.body}</main></body></html>\n'

    def svg(self) -> str:
        """A complete SVG image in light colors: the title, the plot and its note."""
        title, plot, *notes = ElementTree.fromstring(self.body)
        lines = [line for note in notes for line in textwrap.wrap("".join(note.itertext()), LINE_LENGTH)]
        bottom = float(plot.attrib["viewBox"].split()[3])
        texts = [tag("text", "".join(title.itertext()), y=-14, style="font-weight: 600")]
        texts += [tag("text", line, y=bottom + LINE_HEIGHT * i, class_="axis") for i, line in enumerate(lines, start=1)]
        classes = {name for part in plot.iter() for name in part.get("class", "").split()} | {"plot", "axis"}
        size = {"width": WIDTH + 2 * MARGIN, "height": TITLE_HEIGHT + bottom + LINE_HEIGHT * len(lines) + MARGIN}
        corner = {"x": -MARGIN, "y": -TITLE_HEIGHT}
        return tag(
            "svg",
            Html(METADATA),
            tag("style", Html(_svg_styles(classes))),
            tag("rect", **corner, **size, fill="white"),
            [Html(ElementTree.tostring(part, encoding="unicode")) for part in plot],
            texts,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=" ".join(f"{v:g}" for v in (*corner.values(), *size.values())),
            **size,
            class_="plot",
        )

    def save(self, path: str | Path) -> None:
        """Write the figure as its name says: .svg for a thesis or paper, .html for a browser.

        Raises:
            EarmarkError: the name ends otherwise, or there is another file than a figure.
        """
        path = Path(path)
        writers = {".svg": (self.svg, METADATA), ".html": (self.page, GENERATOR.format("figure"))}
        if path.suffix.lower() not in writers:
            raise EarmarkError(f"{path}: figures are written as SVG or HTML; give a name that ends in .svg or .html")
        write, mark = writers[path.suffix.lower()]
        check_own_file(path, mark, "figure")
        write_text(path, write())

    def _repr_html_(self) -> str:
        frame = f'style="width:100%;height:{FRAME_HEIGHT}px;border:0"'
        return f'<iframe srcdoc="{html.escape(self.page())}" {frame}></iframe>'


def _style_sheet() -> str:
    return (files("earmark.report") / "assets" / "style.css").read_text(encoding="utf-8")


def _svg_styles(classes: set[str]) -> str:
    """The rules for elements of these classes, with light colors for variables, which Inkscape does not know.

    A variable that depends on the class, such as the color of a variant, becomes a rule for each class that sets it.
    """
    sheet = _style_sheet().partition("@media (max-width")[0]
    light = dict(re.findall(r"(--[\w-]+): ([^;]+);", sheet.partition("}")[0])) | {"--paper": "white"}
    by_class = [setter for setter in re.findall(r"\.([\w-]+) \{ (--\w): ([^;]+);", sheet) if setter[0] in classes]
    found = []
    for selectors, declarations in re.findall(r"([^{}]+)\{([^{}]*)\}", sheet):
        for selector in map(str.strip, selectors.split(",")):
            names = {*re.findall(r"[\w-]+", selector)} - {"text"}
            if "." not in selector or declarations.startswith(" --") or selector == ".plot" or names - classes:
                continue
            setters = [setter for setter in by_class if f"var({setter[1]})" in declarations]
            found += [
                f".{own}{selector}, .{own} {selector} {{{declarations.replace(f'var({name})', value)}}}"
                for own, name, value in setters
            ] or [f"{selector} {{{declarations}}}"]
    return re.sub(r"var\((--[\w-]+)\)", lambda match: light[match[1]], "\n".join(found))


def figures(comparison: Aggregate) -> dict[str, Figure]:
    """The plots of a comparison: `scores`, and with several variants `differences` and `probabilities`."""
    found = {"scores": Figure(score_plot(comparison))}
    judged = [c for c in comparison.verdicts if c.judgment is not None]
    if judged:
        index_of = {v.variant: i for i, v in enumerate(comparison.variants)}
        found["differences"] = Figure(forest_plot("Differences", judged))
        found["probabilities"] = Figure(probability_plot(judged, index_of))
    return found
