"""Section: the clips in the plane of the first two principal components of a frozen network's embeddings."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from earmark.analysis.predictions import EMBEDDING_CSV
from earmark.analysis.records import RunRecord
from earmark.config.suite import to_dict
from earmark.report.axes import Axis, drawing, figure
from earmark.report.components import Section
from earmark.report.html import Html, tag
from earmark.report.mistakes import card_id
from earmark.runtime.schema import read_table

SIZE, MARGIN = 440, 10
MAX_POINTS = 2000
"""Of more clips, evenly spaced ones are drawn."""


class Point(NamedTuple):
    clip_id: str
    label: int
    x: float
    y: float


def embedding_section(records: Sequence[RunRecord], cards: Collection[str]) -> Section | None:
    """A picture for each frozen network; None without probes.

    Args:
        records: the runs of the comparison.
        cards: ids of the clips that have a card on the page, with a player where there is a recording.
    """
    pictures = {}
    for record in records:
        key = str(to_dict(record.config.model))
        if (record.folder / EMBEDDING_CSV).is_file():
            known = pictures.setdefault(key, {})
            known |= {point.clip_id: point for point in _points(record) if point.clip_id not in known}
    if not pictures:
        return None
    names = [r.config.model.name for r in records if (r.folder / EMBEDDING_CSV).is_file()]
    classes = records[0].class_names
    drawn = [
        _picture(name, sorted(points.values()), classes, cards)
        for name, points in zip(dict.fromkeys(names), pictures.values(), strict=False)
    ]
    lead = (
        "Every clip by the first two principal components of its embedding, before any probe. Classes that lie apart "
        "here are easy; others may still be separable in the other dimensions. A ringed clip is among the errors or "
        "the suspect labels below: click it to listen."
    )
    body = tag("div", drawn, _legend(classes), class_="embedding")
    return Section("embedding", "Embedding", "Embedding", lead, body)


def _points(record: RunRecord) -> list[Point]:
    label_of = dict(zip(record.clip_ids, record.targets.tolist(), strict=True))
    rows = read_table(record.folder / EMBEDDING_CSV, ("clip_id", "x", "y"))
    return [Point(row["clip_id"], label_of[row["clip_id"]], float(row["x"]), float(row["y"])) for row in rows]


def _picture(name: str, points: Sequence[Point], classes: Sequence[str], cards: Collection[str]) -> Html:
    """Both axes have one scale, so that distances are what they are."""
    shown = points[:: math.ceil(len(points) / MAX_POINTS)]
    xs, ys = [p.x for p in shown], [p.y for p in shown]
    half = max(max(xs) - min(xs), max(ys) - min(ys), 1e-9) / 2
    across, down = (
        Axis("", (max(v) + min(v)) / 2 - half, (max(v) + min(v)) / 2 + half, *ends, (), str)
        for v, ends in ((xs, (MARGIN, SIZE - MARGIN)), (ys, (SIZE - MARGIN, MARGIN)))
    )
    marks = [_mark(p, across(p.x), down(p.y), classes, p.clip_id in cards) for p in shown]
    return figure(name, drawing(SIZE, f"{name}: clips by two principal components", marks))


def _mark(point: Point, x: float, y: float, classes: Sequence[str], plays: bool) -> Html:
    button = {"data_card": card_id(point.clip_id), "tabindex": "0", "role": "button"} if plays else {}
    return tag(
        "circle",
        tag("title", f"{classes[point.label]}: {point.clip_id}"),
        cx=x,
        cy=y,
        r=5 if plays else 3.5,
        class_="point plays" if plays else "point",
        data_class=str(point.label),
        style=_hue(point.label, len(classes)),
        **button,
    )


def _legend(classes: Sequence[str]) -> Html:
    names = [
        tag("button", tag("i", class_="chip"), name, type="button", aria_pressed="false", data_class=str(k),
            style=_hue(k, len(classes)))
        for k, name in enumerate(classes)
    ]  # fmt: skip
    return tag("div", names, class_="classes", role="group", aria_label="Classes")


def _hue(k: int, n: int) -> str:
    """Neighbors on the color wheel differ in lightness as well."""
    return f"--h:{360 * k / n:.0f};--d:{(-0.09, 0.09)[k % 2]}"
