"""Confusion matrices as tables that a script reorders: by name, by recall, or with confused classes side by side."""

from __future__ import annotations

import json

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from earmark.analysis.aggregate import Aggregate, VariantSummary
from earmark.report.components import Section
from earmark.report.html import Html, data, join, tag

MANY_CLASSES = 16
"""Beyond this the cells are too small for their counts, which are then shown when pointed at."""
N_CONFUSIONS = 8


def confusion_section(a: Aggregate) -> Section:
    """A panel per variant with its matrix and its most frequent confusions."""
    orders = class_orders(np.sum([v.confusion for v in a.variants], axis=0), a.class_names)
    names = [v.variant for v in a.variants]
    controls = tag(
        "div", _choice("Variant", "panel", names), _choice("Order", "order", list(orders)), class_="controls"
    )
    panels = [_panel(v, a.class_names, i) for i, v in enumerate(a.variants)]
    lead = "Clips by true class (rows) and predicted class (columns), summed over all runs."
    body = tag("div", controls, panels, class_="confusion", data_orders=json.dumps(orders))
    return Section("confusion", "Confusion", "Confusion matrix", lead, body)


def class_orders(matrix: np.ndarray, class_names: tuple[str, ...]) -> dict[str, list[int]]:
    """Orders of the classes: by name, by recall (lowest first), and with confused classes side by side."""
    n_clips = matrix.sum(axis=1)
    fraction = matrix / np.maximum(n_clips, 1)[:, None]
    recall = np.where(n_clips > 0, np.diagonal(fraction), 2.0)
    return {
        "by name": sorted(range(len(class_names)), key=lambda k: class_names[k]),
        "hardest first": np.argsort(recall, kind="stable").tolist(),
        "confused side by side": _cluster_order(fraction),
    }


def _cluster_order(fraction: np.ndarray) -> list[int]:
    """Leaves of an average-linkage tree whose distance is 1 - the fraction of clips confused, in both directions."""
    if len(fraction) < 3:
        return list(range(len(fraction)))
    distance = 1 - (fraction + fraction.T) / 2
    np.fill_diagonal(distance, 0.0)
    return leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True)).tolist()


def _choice(label: str, kind: str, names: list[str]) -> Html | None:
    if len(names) < 2:
        return None
    options = [
        tag("button", name, type="button", data_kind=kind, data_index=str(i), aria_pressed="false")
        for i, name in enumerate(names)
    ]
    return tag("div", tag("span", label, class_="label"), options, class_="choice", role="group", aria_label=label)


def _panel(v: VariantSummary, class_names: tuple[str, ...], index: int) -> Html:
    heading = tag("h3", v.variant)
    table = tag("div", _matrix(v, class_names), class_="scroll", tabindex="0", role="region", aria_label="confusion")
    return tag(
        "div", heading, tag("div", table, _worst(v, class_names), class_="sides"), class_="panel", data_panel=str(index)
    )


def _matrix(v: VariantSummary, class_names: tuple[str, ...]) -> Html:
    head = [tag("th", tag("span", name), scope="col") for name in class_names]
    corner = tag("td", tag("span", "true ↓  predicted →"), class_="corner")
    rows = [
        tag("tr", tag("th", name, scope="row"), [_cell(v, class_names, i, j) for j in range(len(class_names))])
        for i, name in enumerate(class_names)
    ]
    size = "matrix small" if len(class_names) > MANY_CLASSES else "matrix"
    caption = tag("caption", f"Confusion matrix of {v.variant}: rows true, columns predicted")
    return tag("table", caption, tag("thead", tag("tr", corner, head)), tag("tbody", rows), class_=size)


def _cell(v: VariantSummary, class_names: tuple[str, ...], i: int, j: int) -> Html:
    n, total = v.confusion[i][j], sum(v.confusion[i])
    if not n and i != j:
        return tag("td")
    fraction = n / max(total, 1)
    percentage = f" ({100 * fraction:.1f} %)" if total else ""
    tip = f"{class_names[i]} predicted as {class_names[j]}: {n} of {total}{percentage}"
    if not n:
        return tag("td", data(n, str(n)), title=tip)
    kind = "right" if i == j else "wrong"
    dark = " dark" if (fraction > 0.6 if i == j else fraction > 0.35) else ""
    strength = fraction if i == j else min(1.0, 0.06 + 1.8 * fraction)
    return tag("td", data(n, str(n)), title=tip, class_=kind + dark, style=f"--s:{strength:.2f}")


def _worst(v: VariantSummary, class_names: tuple[str, ...]) -> Html:
    matrix = np.array(v.confusion)
    errors = [(matrix[i, j], i, j) for i, j in zip(*np.nonzero(matrix), strict=True) if i != j]
    errors.sort(key=lambda e: (-e[0], e[1:]))
    lines = []
    for n, i, j in errors[:N_CONFUSIONS]:
        count = tag("small", f" {n} of {matrix[i].sum()}")
        lines.append(tag("li", tag("b", class_names[i]), " predicted as ", tag("b", class_names[j]), count))
    body = tag("ol", lines) if lines else tag("p", "There are no errors.")
    return tag("div", tag("h4", "Most frequent errors"), join(body), class_="worst")
