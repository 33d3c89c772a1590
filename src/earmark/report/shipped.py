"""Section: the model that was made from the runs, and how it takes sounds that are none of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from earmark.analysis.records import RunError, RunRecord
from earmark.analysis.rows import Table, cell
from earmark.analysis.unknown_tables import SoundRow, UnknownRow, sound_table_rows, threshold_text, unknown_table_rows
from earmark.report.components import Section, titled
from earmark.report.html import join, tag
from earmark.runtime.schema import SchemaError, check_schema, parse_json, read_json

MODEL_FILE = "model.json"
HELD_OUT = {
    "label": str,
    "n_clips": int,
    "auroc": {str: float},
    "detected": float,
    "false_alarms": float,
    "confident": float,
}
SOUND = {"sound": str, "label": str, "probability": float, "unknown_score": float, "unknown": bool}
INFO = {"run_id": str, "architecture": str, "unknown?": dict | None}
GATE = {"threshold": float, "false_alarms": float, "n_clips": int, "held_out": [float]}
CONTENT = {"info": str, "members": [str], "unknown_table": [HELD_OUT], "synthetic_sounds": [SOUND]}
LEAD = (
    "A network assigns every sound to one of its classes. Sounds whose unknown score is above the threshold are "
    "probably none of them."
)
HELD_OUT_NOTE = (
    "Each class was held out in turn: the recipe was trained without it. AUROC: how often a clip of the class has a "
    "higher score than one of a known class; the model uses the first score. Scale and threshold of a class come from "
    "the networks of the others."
)


def shipped_section(folder: Path, records: Sequence[RunRecord]) -> Section:
    """What `earmark finalize` has written to a model folder.

    Raises:
        RunError: it is no model folder, or its networks are those of other runs.
    """
    try:
        content = read_json(folder / MODEL_FILE, CONTENT)
        info = parse_json(content["info"], "info")
        check_schema(info, INFO, "info")
        ids, gate = info["run_id"].split("+"), info.get("unknown")
        if gate:
            check_schema(gate, GATE, "unknown")
            gate = {key: gate[key] for key in GATE}
        of_folds = all(name.startswith("fold") for name in content["members"])
    except (OSError, SchemaError) as error:
        raise RunError(f"model = {str(folder)!r}: is not a model of `earmark finalize` ({error})") from None
    if of_folds and not {record.id for record in records}.issuperset(ids):
        raise RunError(f"model = {str(folder)!r}: was made from other runs than those of the report; give theirs")
    gate_text = f"Threshold {threshold_text(**gate)}." if gate else "The model has no unknown score."
    parts = [tag("p", f"{folder.name}: {info['architecture']}. {gate_text}")]
    held_out = [UnknownRow(**{key: row[key] for key in HELD_OUT}) for row in content["unknown_table"]]
    sounds = [SoundRow(**{key: row[key] for key in SOUND}) for row in content["synthetic_sounds"]]
    if held_out:
        table = _table("Classes held out", unknown_table_rows(held_out))
        parts += [tag("p", HELD_OUT_NOTE, class_="note"), titled(table)]
    if sounds:
        parts.append(titled(_table("Synthetic sounds", sound_table_rows(sounds))))
    return Section("shipped", "Model", "The model and unknown sounds", LEAD, join(parts), collapsed=True)


def _table(title: str, rows: Sequence[Sequence[str]]) -> Table:
    header, *body = rows
    return Table(title, tuple(header), tuple(tuple(cell(text) for text in row) for row in body))
