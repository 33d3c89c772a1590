"""Section: the clips in the plane of the first two principal components of a frozen network's embeddings."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from earmark.analysis.predictions import EMBEDDING_CSV
from earmark.analysis.records import RunError, RunRecord
from earmark.report.axes import WIDTH, drawing, figure
from earmark.report.components import Section
from earmark.report.html import Html, tag
from earmark.report.mistakes import card_id
from earmark.runtime.schema import read_table

MAX_HEIGHT, MARGIN = 440, 10
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
    pictures: dict[str, dict[str, Point]] = {}
    title_of: dict[str, str] = {}
    for record in records:
        if (record.folder / EMBEDDING_CSV).is_file():
            config = record.config
            key = str((config.model, config.front_end, config.train.window_seconds))
            title_of.setdefault(key, f"{config.model.name} ({record.variant})")
            pictures[key] = {point.clip_id: point for point in _points(record)} | pictures.get(key, {})
    if not pictures:
        return None
    classes = records[0].class_names
    titles = title_of if len(pictures) > 1 else {key: name.partition(" (")[0] for key, name in title_of.items()}
    drawn = [_picture(titles[key], sorted(points.values()), classes, cards) for key, points in pictures.items()]
    lead = (
        "Every clip by the first two principal components of its embedding, before any probe. Classes that lie apart "
        "here are easy; others may still be separable in the other dimensions. A ringed clip is among the errors or "
        "the suspect labels below: click it to listen."
    )
    body = tag("div", drawn, _legend(classes), class_="embedding")
    return Section("embedding", "Embedding", "Embedding", lead, body)


def _points(record: RunRecord) -> list[Point]:
    path = record.folder / EMBEDDING_CSV
    label_of = dict(zip(record.clip_ids, record.targets.tolist(), strict=True))
    try:
        rows = [(row["clip_id"], float(row["x"]), float(row["y"])) for row in read_table(path, ("clip_id", "x", "y"))]
        points = [Point(clip_id, label_of[clip_id], x, y) for clip_id, x, y in rows if math.isfinite(x + y)]
    except (ValueError, KeyError) as error:
        raise RunError(f"{path}: cannot be read ({error}); delete it, or repeat the run") from None
    if not points:
        raise RunError(f"{path}: has no clip with finite x and y; delete it, or repeat the run")
    return points


def _picture(name: str, points: Sequence[Point], classes: Sequence[str], cards: Collection[str]) -> Html:
    """Both axes have one scale, so that distances are what they are."""
    shown = points[:: math.ceil(len(points) / MAX_POINTS)]
    (left, width), (bottom, height) = (_extent(values) for values in ([p.x for p in shown], [p.y for p in shown]))
    scale = min((WIDTH - 2 * MARGIN) / width, (MAX_HEIGHT - 2 * MARGIN) / height)
    total = scale * height + 2 * MARGIN
    start = (WIDTH - scale * width) / 2
    marks = [
        _mark(p, start + scale * (p.x - left), total - MARGIN - scale * (p.y - bottom), classes, p.clip_id in cards)
        for p in shown
    ]
    return figure(name, drawing(total, f"{name}: clips by two principal components", marks))


def _extent(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(max(values) - min(values), 1e-9)


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
