"""Synthetic run folders, written as `earmark.runs.train` writes them, for tests of what reads them."""

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earmark.analysis.metrics import score
from earmark.config.suite import RunConfig, run_id, to_dict

NAMES = ("bark", "bell", "rain", "siren")


@dataclass(frozen=True)
class MadeUpClip:
    clip_id: str
    group: str
    label: str
    fold: int
    filepath: str = ""


def make_clips(n_folds=5, groups_per_fold=4, clips_per_group=4, names=NAMES) -> list[MadeUpClip]:
    """Clips of every class in every fold; each group lies in one fold."""
    clips = []
    for fold in range(1, n_folds + 1):
        for g in range(groups_per_fold):
            for i in range(clips_per_group):
                label = names[(g * clips_per_group + i) % len(names)]
                clip_id = f"{fold}-{g:02d}-{i}"
                clips.append(MadeUpClip(clip_id, f"source{fold}-{g}", label, fold, f"audio/{clip_id}.wav"))
    return clips


def make_probs(clips, seed, skill=1.5, names=NAMES) -> np.ndarray:
    """Probabilities (N, K) that know the label the better the higher `skill` is; 0 is chance."""
    rng = np.random.default_rng(seed)
    targets = [names.index(c.label) for c in clips]
    logits = rng.normal(size=(len(clips), len(names))) + skill * np.eye(len(names))[targets]
    probs = np.exp(logits)
    return probs / probs.sum(axis=1, keepdims=True)


def write_run(
    runs, config: RunConfig, clips, probs, names=NAMES, fingerprint="", finished=True, version=2, **changes
) -> Path:
    """Write one run whose test subset is the clips of `config.fold`; `changes` replace entries of result.json.

    Args:
        version: of the files' format: 1 has other names and no key `format_version`.
    """
    test = [c for c in clips if c.fold == config.fold]
    fingerprint = fingerprint or f"data-of-fold-{config.fold}"
    identity = run_id(config, fingerprint)
    folder = Path(runs) / config.name / f"{config.variant}-fold{config.fold}-seed{config.seed}-{identity}"
    folder.mkdir(parents=True)
    content = {"id": identity, "run": to_dict(config), "class_names": names, "data_fingerprint": fingerprint}
    numbered = {"format_version": version} if version > 1 else {}
    _write_json(folder / "config.json", {**numbered, **content, "earmark": "0.1.0"})
    rows = [[c.filepath, c.label, c.clip_id, c.group, "test" if c.fold == config.fold else "train"] for c in clips]
    _write_csv(folder / "split.csv", [["filepath", "label", "clip_id", "group", named("subset", version)], *rows])
    split = {"kind": config.split.kind, "waiver": "", "waived_groups": [], "leaks": []}
    _write_json(folder / "split.json", {**numbered, **split, "fold": config.fold})
    _write_history(folder / "history.csv", config)
    if not finished:
        return folder
    rows = [
        [c.clip_id, c.group, c.label, names[p.argmax()], *(f"{v:.9g}" for v in p)]
        for c, p in zip(test, probs, strict=True)
    ]
    header = ["clip_id", "group", "label", "prediction", *(f"prob:{n}" for n in names)]
    _write_csv(folder / "predictions.csv", [header, *rows])
    timing = {"train_seconds": 60.0 + config.seed % 7, "score_seconds": 0.5, "device": "cpu"}
    _write_json(folder / "timing.json", {**timing, "precision": "float32", "threads": 1, "versions": {}})
    result = {
        **numbered,
        "id": identity,
        "name": config.name,
        "variant": config.variant,
        "fold": config.fold,
        "seed": config.seed,
        named("reported_subset", version): "test",
        "n_clips": len(test),
        "selected_on": "none",
        "kept_epoch": config.train.epochs,
        "epochs": config.train.epochs,
        "split": split,
        **score(np.asarray(probs), np.array([names.index(c.label) for c in test]), names),
        "n_parameters": 800_000,
        named("macs", version): 12_000_000,
        "window_frames": 431,
    }
    _write_json(folder / "result.json", {**result, **changes})
    return folder


def write_suite(
    runs, skills=None, n_folds=5, seeds=(1, 2, 3), clips=None, names=NAMES, base=RunConfig(name="toy"), **changes
) -> Path:
    """Write variants x folds x seeds; `skills` says how good each variant is. Returns the comparison's folder."""
    clips = make_clips(n_folds) if clips is None else clips
    for v, (variant, skill) in enumerate((skills or {"none": 1.5, "se": 1.5}).items()):
        model = replace(base.model, attention=variant)
        for fold in range(1, n_folds + 1):
            test = [c for c in clips if c.fold == fold]
            for seed in seeds:
                config = replace(base, variant=variant, fold=fold, seed=seed, model=model)
                probs = make_probs(test, seed=[v, fold, seed], skill=skill, names=names)
                write_run(runs, config, clips, probs, names, **changes)
    return Path(runs) / base.name


VERSION_1_NAMES = {"subset": "part", "reported_subset": "reported_part", "macs": "multiply_adds"}


def named(name, version):
    """What a key or column is called in files of this version."""
    return VERSION_1_NAMES.get(name, name) if version == 1 else name


def _write_history(path, config):
    rng = np.random.default_rng([config.fold, config.seed])
    epochs = np.arange(1, config.train.epochs + 1)
    losses = 1.4 * np.exp(-epochs / 12) + 0.4 + 0.03 * rng.normal(size=len(epochs))
    rows = [[e, 0.001, f"{loss:.9g}", "", "", "", 1.2] for e, loss in zip(epochs, losses, strict=True)]
    columns = ["epoch", "lr", "train_loss", "valid_loss", "valid_accuracy", "valid_uar", "seconds"]
    _write_csv(path, [columns, *rows])


def _write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _write_json(path, content):
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
