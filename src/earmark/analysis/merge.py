"""Runs of several folders as one comparison, and seeds that different tools have numbered differently."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from earmark.analysis.records import RunError, RunRecord, read_runs
from earmark.config.learning_curve import variant_of_point
from earmark.runtime.names import shorten

MAX_NAME_BYTES = 80
"""Of the names of the comparison and its variants."""


def as_records(runs: str | Path | Iterable[str | Path] | Sequence[RunRecord]) -> list[RunRecord]:
    """The finished runs of a folder or of several; those that `read_runs` has returned, as they are.

    Raises:
        RunError: as `read_folders`, or there are no runs.
    """
    if isinstance(runs, str | Path):
        return read_folders([runs])
    given = list(runs)
    records = [run for run in given if isinstance(run, RunRecord)]
    folders = [Path(run) for run in given if isinstance(run, str | Path)]
    if len(records) == len(given) > 0:
        return records
    if len(folders) < len(given):
        raise RunError("runs: give folders, or what `earmark.read_runs` returned")
    return read_folders(folders)


def read_folders(folders: Sequence[str | Path]) -> list[RunRecord]:
    """The finished runs of several folders under the name of one comparison.

    The folders may have different suite names: runs of other days, tools or configs. A variant name that occurs in two
    folders is prefixed by the folder's name, and so are the points of its learning curve.

    Raises:
        RunError: a folder has no finished run, is given twice or lies in another one.
    """
    if not folders:
        raise RunError("no folder of runs; give one or more")
    if len(folders) == 1:
        return read_runs(folders[0])
    paths = [Path(folder) for folder in folders]
    for path in paths:
        others = [_real(other) for other in paths if other is not path]
        if {_real(path), *_real(path).parents} & set(others):
            raise RunError(f"runs {path}: is given twice, or lies in another of these folders; give each folder once")
    by_path = {path: read_runs(path) for path in paths}
    labels = dict(zip(paths, map(_label, _short_names(paths)), strict=True))
    where: dict[str, set[Path]] = {}
    for path, records in by_path.items():
        for record in records:
            where.setdefault(variant_of_point(record.config), set()).add(path)
    title = _title(list(labels.values()))
    return [
        _renamed(record, title, labels[path] if len(where[variant_of_point(record.config)]) > 1 else "")
        for path, records in by_path.items()
        for record in records
    ]


def _title(labels: Sequence[str]) -> str:
    """The folders' names together: as many as there is room for, and how many more there are."""
    for n in range(len(labels), 0, -1):
        rest = f" and {len(labels) - n} more" if n < len(labels) else ""
        title = "+".join(labels[:n]) + rest
        if len(title.encode()) <= MAX_NAME_BYTES:
            return title
    return shorten(labels[0], MAX_NAME_BYTES - len(rest.encode())) + rest


def _real(path: Path) -> Path:
    """The path without links; `Path.resolve` fails where one leads to itself."""
    return Path(os.path.realpath(path))


def _renamed(record: RunRecord, name: str, prefix: str) -> RunRecord:
    contestant = variant_of_point(record.config)
    point = record.variant.removeprefix(contestant)  # of its learning curve
    variant = shorten(f"{prefix}.{contestant}", MAX_NAME_BYTES) + point if prefix else record.variant
    return replace(record, config=replace(record.config, name=name, variant=variant))


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Of each path as many of the last parts as tell it apart from the others."""
    parts = [path.absolute().parts for path in paths]
    ends = [[own[-n:] for n in range(1, len(own) + 1)] for own in parts]
    return [
        "/".join(next(end for end in of_path if sum(other[-len(end) :] == end for other in parts) == 1))
        for of_path in ends
    ]


def _label(name: str) -> str:
    """A folder's name as part of the name of a variant."""
    return re.sub(r"[^\w.+-]", "_", name).strip("._-") or "runs"


Runs = Mapping[str, Sequence[RunRecord]]


def pair_seeds(by_variant: Runs) -> tuple[dict[str, list[RunRecord]], str]:
    """The runs with seeds that all variants share, and a note where they had to be changed; else an empty note.

    A pair of runs has the same fold and seed. Where tools number their seeds differently, so that neither of two
    variants has all seeds of the other, or where a variant has one seed per fold and another has more, the n-th seeds
    of a fold become a pair (seeds are exchangeable), and a single seed is paired with every seed of the others.
    """
    runs = {name: list(records) for name, records in by_variant.items()}
    if not _seeds_apart(runs):
        return runs, ""
    by_fold = {name: _by_fold(records) for name, records in runs.items()}
    n_seeds = Counter[int]()
    for found in by_fold.values():
        n_seeds |= Counter({fold: len(records) for fold, records in found.items()})
    paired = {
        name: [r for fold, records in found.items() for r in _numbered(records, n_seeds[fold])]
        for name, found in by_fold.items()
    }
    note = (
        "The variants have different seeds: the first seeds of each fold are paired, then the second; a variant with "
        "one seed per fold is paired with every seed of the others."
    )
    if len(n_seeds) == 1 and min(map(len, runs.values())) == 1 < max(map(len, runs.values())):
        note += " With one fold, the effect of that seed is taken to be as large as that of a seed of the others."
    return paired, note


def _seeds_apart(runs: Runs) -> bool:
    """Whether of two variants with a common fold neither has all seeds of the other, or one alone has a single seed."""
    keys = {name: {r.fold_seed for r in records} for name, records in runs.items()}
    for a, b in combinations(runs, 2):
        folds_a, folds_b = ({fold for fold, _ in keys[name]} for name in (a, b))
        seeds_a, seeds_b = ({seed for _, seed in keys[name]} for name in (a, b))
        single = (len(keys[a]) == len(folds_a)) != (len(keys[b]) == len(folds_b))
        nested = keys[a] & keys[b] and (seeds_a <= seeds_b or seeds_b <= seeds_a)
        if folds_a & folds_b and (single or not nested):
            return True
    return False


def _by_fold(records: Sequence[RunRecord]) -> dict[int, list[RunRecord]]:
    found: dict[int, list[RunRecord]] = {}
    for record in sorted(records, key=lambda r: r.fold_seed):
        found.setdefault(record.config.fold, []).append(record)
    return found


def _numbered(records: Sequence[RunRecord], n_seeds: int) -> list[RunRecord]:
    """The runs of one fold with seeds 0, 1, ...; a single one as often as there are seeds."""
    repeated = list(records) * n_seeds if len(records) == 1 else records
    return [replace(r, config=replace(r.config, seed=seed)) for seed, r in enumerate(repeated)]
