"""Section: the model that was made from the runs, and how it takes sounds that are none of its classes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from earmark.analysis.records import RunError, RunRecord
from earmark.analysis.rows import Table, cell
from earmark.report.components import Section, titled
from earmark.report.html import join, tag
from earmark.runtime.schema import SchemaError, read_json

MODEL_FILE = "model.json"
SHARE_COLUMNS = {"detected": "Detected", "false_alarms": "False alarms", "confident": "p > 0.5"}
HELD_OUT = {"label": str, "n_clips": int, "auroc": dict, **dict.fromkeys(SHARE_COLUMNS, float)}
SOUND = {"sound": str, "label": str, "probability": float, "unknown_score": float, "unknown": bool}
CONTENT = {"info": str, "members": [str], "unknown_table": [HELD_OUT], "made_sounds": [SOUND]}
LEAD = (
    "A network gives every sound one of its classes. Sounds whose unknown score is above the threshold are probably "
    "none of them."
)
HELD_OUT_NOTE = (
    "Each class was held out in turn: the recipe was trained without it. AUROC: how often a clip of the class has the "
    "higher score than one of a known class; the model uses the first. Scale and threshold of a class come from the "
    "networks of the others."
)


def shipped_section(folder: Path, records: Sequence[RunRecord]) -> Section:
    """What `earmark finalize` has written to a model folder.

    Raises:
        RunError: it is no model folder, or its networks are those of other runs.
    """
    try:
        content = read_json(folder / MODEL_FILE, CONTENT)
        info = json.loads(content["info"])
        ids, gate = info["run_id"].split("+"), info.get("unknown")
        of_folds = all(name.startswith("fold") for name in content["members"])
    except (OSError, SchemaError, ValueError, KeyError, AttributeError) as error:
        raise RunError(f"model = {str(folder)!r}: is no model of `earmark finalize` ({error})") from None
    if of_folds and not {record.id for record in records}.issuperset(ids):
        raise RunError(f"model = {str(folder)!r}: was made from other runs than those of the report; give theirs")
    gate_text = (
        f"Threshold {gate['threshold']:.3f}, which {100 * gate['false_alarms']:g} % of {gate['n_clips']} held-out "
        "clips of the classes exceed."
        if gate
        else "The model has no unknown score."
    )
    parts = [tag("p", f"{folder.name}: {info['architecture']}. {gate_text}")]
    if content["unknown_table"]:
        parts += [tag("p", HELD_OUT_NOTE, class_="note"), titled(held_out_table(content["unknown_table"]))]
    if content["made_sounds"]:
        parts.append(titled(sound_table(content["made_sounds"])))
    return Section("shipped", "Model", "The model and unknown sounds", LEAD, join(parts), collapsed=True)


def held_out_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """How well each class is recognized as unknown by a network that was trained without it."""
    names = list(rows[0]["auroc"])
    head = ["Class held out", "Clips", *(f"AUROC {name}" for name in names), *SHARE_COLUMNS.values()]
    body = [
        [r["label"], str(r["n_clips"]), *(f"{r['auroc'][n]:.3f}" for n in names), *_shares(r, SHARE_COLUMNS)]
        for r in rows
    ]
    return _table("Classes held out", head, body)


def sound_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """What the model says of sounds made by a formula."""
    head = ["Sound made by a formula", "Class named", "Probability", "Unknown score", "Called unknown"]
    body = [
        [
            r["sound"],
            r["label"],
            *_shares(r, ["probability"]),
            f"{r['unknown_score']:.2f}",
            "yes" if r["unknown"] else "no",
        ]
        for r in rows
    ]
    return _table("Noise, tones and clicks", head, body)


def _shares(row: Mapping[str, Any], names: Any) -> list[str]:
    return [f"{100 * row[name]:.1f} %" for name in names]


def _table(title: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> Table:
    return Table(title, tuple(head), tuple(tuple(cell(text) for text in row) for row in body))
