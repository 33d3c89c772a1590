"""Commands on splits: split, audit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from earmark.audit.alterations import SEMITONES, SPEEDS, TEMPOS
from earmark.cli.arguments import ClipsPath, OptionalClipsPath, OptionalName, OptionalPath, Output
from earmark.cli.errors import FOUND
from earmark.config.sections import SplitConfig
from earmark.runtime.console import format_names
from earmark.runtime.errors import EarmarkError

if TYPE_CHECKING:
    from earmark.splits.split import Split

ALTERED = {"speeds": SPEEDS, "tempos": TEMPOS, "semitones": SEMITONES}
"""What an audit looks for by default."""


def split(
    clips: ClipsPath,
    output: Output = Path("split"),
    fold: int = 1,
    config: Annotated[SplitConfig, tyro.conf.arg(name="")] = SplitConfig(),
) -> None:
    """Split clips into train, valid and test by group.

    Clips that share audio, by an audit saved as clips.audit.json beside the manifest, must not cross subsets.

    Example: earmark split clips.csv --kind holdout --test-ratio 0.2 --val-ratio 0.1 --seed 123 -o split

    Args:
        clips: A manifest.
        output: Folder for split.csv and split.json.
        fold: Fold used as test subset, from 1.
        config: How to split.
    """
    from earmark.datasets.alike import warn_of_alike_names
    from earmark.datasets.manifest import read_manifest
    from earmark.splits.copies import find_copies, warn_of_altered
    from earmark.splits.io import write_split
    from earmark.splits.make import fold_numbers, make_split

    recordings = read_manifest(clips)
    warn_of_alike_names(recordings, clips)
    made = make_split(recordings, config, fold, copies=find_copies(clips, recordings), draw=config.seed)
    warn_of_altered(clips, [made])
    replaced = _replaced(output, made)
    write_split(made, recordings, output)
    folds = fold_numbers(recordings, config)
    which = f"fold {fold} of {len(folds)}, " if len(folds) > 1 else ""
    print(f"{output}: {which}{len(made.train)} train, {len(made.valid)} valid, {len(made.test)} test clips{replaced}")


def _replaced(folder: Path, made: Split) -> str:
    """What is said of another split that was in the folder."""
    from earmark.splits.io import read_split
    from earmark.splits.split import SplitError

    try:
        old = read_split(folder)
    except SplitError:  # none
        return ""
    return "" if old == made else f" (instead of {old.kind}, fold {old.fold}, with {len(old.test)} test clips)"


def audit(
    clips: OptionalClipsPath = None,
    split: OptionalPath = None,
    json: OptionalPath = None,
    images: OptionalPath = None,
    unite_copies: OptionalPath = None,
    runs: OptionalPath = None,
    variant: OptionalName = None,
    suspects: OptionalPath = None,
    speeds: tuple[float, ...] = SPEEDS,
    tempos: tuple[float, ...] = TEMPOS,
    semitones: tuple[float, ...] = SEMITONES,
    jobs: int = 0,
) -> int:
    """Find leaks, duplicates, mixed labels and shortcuts.

    With --runs: labels that look wrong to runs that were not trained on them. Exit status 1 if there is a leak.

    Example: earmark audit clips.csv --split split --json audit.json

    Args:
        clips: A manifest; may be left out with --runs.
        split: Folder of a split to check, as `earmark split` writes it.
        json: Write all findings to this JSON file.
        images: Folder of ready-made images to inspect instead of the recordings.
        unite_copies: Write a manifest to this CSV file in which clips that share audio have the same group.
        runs: Folder of runs, trained or imported, whose predictions are compared with the labels.
        variant: With --runs: use the predictions of this variant only; without it, all variants are averaged.
        suspects: With --runs: write all clips that look mislabeled to this CSV file.
        speeds: Find copies at these speeds, too; without numbers none, in less time.
        tempos: Find probable copies at these tempos, with the same pitch; without numbers none.
        semitones: Find probable copies whose pitch is moved by these, with the same tempo; without numbers none.
        jobs: Number of threads; 0 uses all cores.
    """
    altered = {"speeds": speeds, "tempos": tempos, "semitones": semitones}
    given = {"--split": split, "--json": json, "--images": images, "--unite-copies": unite_copies}
    unused = [name for name, value in given.items() if value]
    unused += [f"--{name}" for name, values in altered.items() if values != ALTERED[name]]
    if clips is None and unused:
        raise EarmarkError(f"{format_names(unused)}: for an audit of recordings; give their manifest (clips.csv), too")
    if runs is not None:
        _audit_labels(runs, variant, suspects)
    elif variant or suspects:
        raise EarmarkError("--variant and --suspects are about runs: give --runs RUNS as well")
    elif clips is None:
        raise EarmarkError("nothing to audit; give a manifest (clips.csv), --runs RUNS, or both")
    return 0 if clips is None else _audit_recordings(clips, split, json, images, unite_copies, altered, jobs)


def _audit_labels(runs: Path, variant: str | None, output: Path | None) -> None:
    from earmark.analysis.records import read_runs
    from earmark.analysis.suspects import COLUMNS, find_suspects, suspects_text, write_suspects
    from earmark.runtime.files import check_own_table

    if output:
        check_own_table(output, COLUMNS)
    found = find_suspects(read_runs(runs), variant or "")
    if found.reason:
        raise EarmarkError(f"--runs {runs}: {found.reason}")
    print(suspects_text(found))
    if output:
        write_suspects(found, output)


def _audit_recordings(
    clips: Path,
    split: Path | None,
    json: Path | None,
    images: Path | None,
    unite_copies: Path | None,
    altered: dict[str, tuple[float, ...]],
    jobs: int,
) -> int:
    from earmark.audit.audit import audit as run_audit
    from earmark.audit.findings import format_audit, has_leaks
    from earmark.datasets.alike import warn_of_alike_names
    from earmark.datasets.manifest import COLUMNS, further_columns, read_manifest, write_manifest
    from earmark.datasets.overwrite import check_overwrite
    from earmark.runtime.files import check_own_table, write_json
    from earmark.splits.copies import unite_copies as unite
    from earmark.splits.io import read_split

    if unite_copies:
        check_own_table(unite_copies, COLUMNS)
    if images and altered == ALTERED:  # which are for recordings
        altered = {}
    recordings = read_manifest(clips)
    warn_of_alike_names(recordings, clips)
    found = run_audit(recordings, read_split(split) if split else None, jobs, images, **altered)
    if json:
        write_json(json, found.to_dict())
    print(format_audit(found))
    if unite_copies:
        together = [*found.copies, *((pair.first, pair.second) for pair in found.altered)]
        united, columns = unite(recordings, together), further_columns(clips)
        check_overwrite(unite_copies, united, "give --unite-copies another file, or remove it", columns)
        write_manifest(united, unite_copies, columns)
    if not has_leaks(found):
        return 0
    print(f"earmark audit: {clips}: found leaks, listed above", file=sys.stderr)
    return FOUND
