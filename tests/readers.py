"""Every reader of files of earmark, with a folder of valid files: for property-based tests and the fuzzer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import soundfile

from earmark.analysis.history import read_history
from earmark.analysis.ledger import read_ledger, record_look
from earmark.analysis.plan_file import PlanEntry, RunKey, extend_plan, read_plan
from earmark.analysis.records import read_runs
from earmark.audit.audit import audit
from earmark.audit.record import read_audit
from earmark.config.sections import FrontEndConfig, ModelConfig
from earmark.config.suite import read_suite
from earmark.datasets.folder import read_csv
from earmark.datasets.listed_files import find_dcase_scenes
from earmark.datasets.manifest import Clip, read_manifest, write_manifest
from earmark.datasets.segment_tables import read_segments
from earmark.datasets.segments import cut_segments
from earmark.datasets.tables import read_audformat, read_audiofolder
from earmark.deploy.info import ModelInfo, info_from_json
from earmark.features.store import generate, open_store
from earmark.features.store_index import read_index
from earmark.runs.embeddings import read_vectors, write_vectors
from earmark.runs.prediction_table import read_prediction_table
from earmark.runs.status import read_states, remaining_time
from earmark.runtime.schema import read_text
from earmark.splits.copies import find_copies
from earmark.splits.io import read_split, read_subset, write_split
from earmark.splits.split import Split
from earmark.training.checkpoint import METADATA_KEY, CheckpointMetadata, load_checkpoint, write_checkpoint
from run_folders import make_clips, write_suite

CLIPS = tuple(Clip(f"c{i}", Path(f"c{i}.wav"), "ab"[i % 2], f"g{i // 2}", i % 2 + 1, 0.5) for i in range(4))
MODEL = ModelConfig(name="baseline_cnn")


@dataclass(frozen=True)
class Reader:
    """A file of the folder, and a function of the folder that reads it."""

    file: str
    read: Callable[[Path], object]


def write_valid_files(folder: Path) -> Path:
    """Write one valid file for each reader."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for clip in CLIPS:
        soundfile.write(folder / clip.path, rng.uniform(-0.5, 0.5, 4000), 8000)
    clips = [Clip(c.clip_id, folder / c.path, c.label, c.group, c.fold, c.duration) for c in CLIPS]
    write_manifest(clips, folder / "clips.csv")
    (folder / "labels.csv").write_text("path,label,group,fold\n" + "".join(f"c{i}.wav,a,g{i},1\n" for i in range(4)))
    (folder / "train.csv").write_text("filepath,label\n" + "".join(f"c{i}_orig.png,{'ab'[i % 2]}\n" for i in range(4)))
    report = audit(clips, jobs=1)
    (folder / "clips.audit.json").write_text(json.dumps(report.to_dict()))
    split = Split(("c0", "c1"), (), ("c2", "c3"), kind="folds", fold=1)
    write_split(split, clips, folder)
    generate(clips, FrontEndConfig(8000, 256, hop_length=64, n_mels=32), folder / "store", jobs=1)
    runs = write_suite(folder / "runs", n_folds=2, seeds=(1,), clips=make_clips(2, 4, 2))
    min(runs.iterdir()).rename(folder / "run")
    write_metadata(folder)
    write_tables(folder)
    write_comparison(folder)
    info = ModelInfo(("a", "b"), FrontEndConfig(8000), 10, "baseline_cnn")
    (folder / "info.json").write_text(info.to_json())
    (folder / "suite.toml").write_text("name = 'x'\n[train]\nepochs = 2\n[variants.a]\nmodel.attention = 'se'\n")
    return folder


def write_tables(folder: Path) -> None:
    """Tables of other tools on the recordings c0 to c3."""
    names = [f"c{i}.wav" for i in range(4)]
    (folder / "metadata.jsonl").write_text("".join(json.dumps({"file_name": n, "label": "a"}) + "\n" for n in names))
    (folder / "db.a.csv").write_text("file,emotion,speaker\n" + "".join(f"{n},a,s\n" for n in names))
    (folder / "meta.csv").write_text(
        "filename\tscene_label\tidentifier\n" + "".join(f"{n}\ta\tlyon-1\n" for n in names)
    )
    header = "Selection\tChannel\tBegin Time (s)\tEnd Time (s)\tBegin File\tAnnotation\n"
    (folder / "raven.txt").write_text(header + "".join(f"{n[1]}\t1\t0.1\t0.4\t{n}\ta\n" for n in names))


def write_comparison(folder: Path) -> None:
    """What is kept beside runs, predictions of another tool, and vectors."""
    names = {
        "event": "trained",
        "suite": "runs",
        "variant": "v",
        "fold": 1,
        "seed": 1,
        "configuration": "c",
        "run": "r",
    }
    record_look(folder / "runs" / "r", **names, test_clips=["c0"], all_clips=["c0", "c1"])
    entry = PlanEntry("2026-01-01", 0, "accuracy", "", {}, {"v": {}}, {"r": RunKey("v", 1, 1)})
    extend_plan(folder, entry)
    (folder / "imported.csv").write_text(
        "clip_id,prob:a,prob:b,seed\n" + "".join(f"c{i},0.5,0.5,1\n" for i in range(4))
    )
    write_vectors(folder / "vectors.npz", [c.clip_id for c in CLIPS], np.ones((4, 3)))


def read_raven(folder: Path) -> object:
    return cut_segments(read_segments(folder / "raven.txt"), folder / "cut")


def write_metadata(folder: Path) -> None:
    """A checkpoint, and beside it the JSON of its metadata."""
    from earmark.training.checkpoint import create_from_metadata

    metadata = CheckpointMetadata(MODEL, ("a", "b"), 32, 10, FrontEndConfig(8000, n_mels=32), "id", 1)
    write_checkpoint(folder / "model.safetensors", create_from_metadata(metadata), metadata)
    with safetensors.safe_open(folder / "model.safetensors", "pt") as file:
        (folder / "metadata.json").write_text(file.metadata()[METADATA_KEY])


def read_metadata(folder: Path) -> object:
    """Put the metadata into a checkpoint without weights, and read that."""
    text = (folder / "metadata.json").read_bytes().decode(errors="replace")
    path = folder / "changed.safetensors"
    safetensors.torch.save_file(safetensors.torch.load_file(folder / "model.safetensors"), path, {METADATA_KEY: text})
    return load_checkpoint(path, allow_unfinished=True)


def read_run(folder: Path) -> object:
    read_history(folder / "run")
    read_states(folder)
    remaining_time([folder / "run"])
    return read_runs(folder / "run")


def read_store(folder: Path) -> object:
    store = open_store(folder / "store")
    return store.read("c0"), store.n_frames("c1")


READERS = {
    "manifest": Reader("clips.csv", lambda f: read_manifest(f / "clips.csv")),
    "labels": Reader("labels.csv", lambda f: read_csv(f / "labels.csv")),
    "audiofolder": Reader("metadata.jsonl", read_audiofolder),
    "audformat": Reader("db.a.csv", read_audformat),
    "scenes": Reader("meta.csv", find_dcase_scenes),
    "segments": Reader("raven.txt", read_raven),
    "subset": Reader("train.csv", lambda f: read_subset(f / "train.csv", CLIPS)),
    "audit": Reader("clips.audit.json", lambda f: read_audit(f / "clips.audit.json")),
    "copies": Reader("clips.audit.json", lambda f: find_copies(f / "clips.csv", CLIPS)),
    "split.json": Reader("split.json", read_split),
    "split.csv": Reader("split.csv", read_split),
    "index": Reader("store/index.csv", lambda f: read_index(f / "store" / "index.csv")),
    "front end": Reader("store/front_end.json", read_store),
    "image": Reader("store/c0_orig.png", read_store),
    "config": Reader("run/config.json", read_run),
    "result": Reader("run/result.json", read_run),
    "timing": Reader("run/timing.json", read_run),
    "history": Reader("run/history.csv", read_run),
    "predictions": Reader("run/predictions.csv", read_run),
    "run split": Reader("run/split.csv", read_run),
    "metadata": Reader("metadata.json", read_metadata),
    "checkpoint": Reader("model.safetensors", lambda f: load_checkpoint(f / "model.safetensors")),
    "model info": Reader("info.json", lambda f: info_from_json(read_text(f / "info.json"), "info.json")),
    "ledger": Reader("ledger.csv", lambda f: read_ledger(f / "ledger.csv")),
    "plan": Reader("plan.json", read_plan),
    "imported": Reader("imported.csv", lambda f: read_prediction_table(f / "imported.csv", CLIPS, "x")),
    "vectors": Reader("vectors.npz", lambda f: read_vectors(f"npz:{f / 'vectors.npz'}", [c.clip_id for c in CLIPS])),
    "suite": Reader("suite.toml", lambda f: read_suite(f / "suite.toml")),
}
TOKENS = (
    b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"[]", b"{}", b'""', b'"x"', b"9" * 30, b"9" * 5000, b"[" * 3000,
    b'{"a":' * 3000, b"\0", b"\xff\xfe", b"\r\n", b'"', b",", b",,,", b"\xf0\x9f\x98\x80", b"../../x", b"=1+1",
)  # fmt: skip


def mutate(content: bytes, rng: random.Random) -> bytes:
    """One to three changes: bits, bytes, cuts, repeats, tokens in place of a value, changed JSON."""
    for _ in range(rng.randint(1, 3)):
        content = rng.choice(MUTATIONS)(content, rng)
    return content


def _flip(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return content
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    first, last = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:first] + content[last:] if rng.random() < 0.7 else content[:first]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    first, last = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:last] + content[first:last] + content[last:]


def _token(content: bytes, rng: random.Random) -> bytes:
    """A token in place of a run of letters and digits."""
    first = rng.randrange(len(content) + 1)
    last = first
    while last < len(content) and (content[last : last + 1].isalnum() or content[last] in b"._-"):
        last += 1
    return content[:first] + rng.choice(TOKENS) + content[last:]


def _json(content: bytes, rng: random.Random) -> bytes:
    """A value of a JSON text deleted or replaced."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return _token(content, rng)
    node = tree
    while isinstance(node, dict | list) and node:
        key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if rng.random() < 0.4 or not isinstance(node[key], dict | list):
            if rng.random() < 0.3:
                del node[key]
            else:
                node[key] = rng.choice([None, True, -1, 0, 10**30, 1e308, "", "x", [], {}, [None], {"a": 1}, node[key]])
            break
        node = node[key]
    return json.dumps(tree).encode()


MUTATIONS = (_flip, _cut, _repeat, _token, _json, _json)
