"""Finished runs as predictions only, small enough to commit: python benchmarks/export_results.py RUNS results/NAME.

A run keeps config.json, result.json and predictions.csv with probabilities of four digits, without split.csv. `earmark
compare` reads it like any other. With --labels, predicted labels alone are kept: probabilities of 50 classes are large.
"""

import json
import shutil
import sys
from pathlib import Path

from earmark.analysis.floor import FLOOR_CSV, FLOOR_JSON
from earmark.analysis.predictions import write_predictions
from earmark.analysis.records import RunRecord, read_runs
from earmark.datasets.manifest import Clip

DIGITS = 4
KEPT = ("format_version", "id", "run", "class_names", "data_fingerprint", "manifest_digest", "earmark", "imported")


def export(runs: Path, target: Path, labels: bool = False) -> None:
    """Write the runs below a folder, and the floor beside them, into another folder."""
    for record in read_runs(runs):
        folder = target / record.folder.name
        folder.mkdir(parents=True, exist_ok=True)
        export_run(record, folder, labels)
    for name in (FLOOR_CSV, FLOOR_JSON):
        if (runs / name).is_file():
            shutil.copy(runs / name, target / name)


def export_run(record: RunRecord, folder: Path, labels: bool) -> None:
    """Write one run."""
    config = json.loads((record.folder / "config.json").read_text(encoding="utf-8"))
    config = {name: value for name, value in config.items() if name in KEPT}
    config["run"]["data"] |= {"root": "", "images": ""}
    config["run"]["model"]["weights"] = Path(config["run"]["model"]["weights"]).name
    counts = {"n_train": record.n_train, "n_train_groups": record.n_train_groups}
    added = counts | {"subsets_digest": record.subsets_digest}
    result = {name: value for name, value in record.result.items() if value is not None and name != "confusion"}
    write_json(folder / "config.json", config)
    clips = [
        Clip(clip_id, Path(), record.class_names[target], group)
        for clip_id, group, target in zip(record.clip_ids, record.groups, record.targets, strict=True)
    ]
    probs = record.probs if record.has_probs and not labels else None
    write_predictions(folder / "predictions.csv", clips, record.class_names, record.predictions.tolist(), probs, DIGITS)
    write_json(folder / "result.json", result | added)


def write_json(path: Path, content: dict) -> None:
    """On one line."""
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    export(*map(Path, sys.argv[1:3]), labels="--labels" in sys.argv[3:])
