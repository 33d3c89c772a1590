"""The ledger: which configurations have been scored on which test clips, whatever their suite is called.

`<runs>/ledger.csv` has a row per scored run and only grows; removing a result does not remove its row.
docs/protocol.md describes the columns.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from filelock import FileLock

from earmark.runtime.errors import EarmarkError
from earmark.runtime.files import digest
from earmark.runtime.schema import SchemaError, check_size

FILE = "ledger.csv"
NUMBERS = ("fold", "seed", "n_test")
REPEATED = "repeated"
"""The event of a look at the weights of a run that the ledger has on the same recordings: nothing new was tried."""
MAX_DIGITS = 18
"""Of a fold, a seed or a number of clips; a row with more is taken as damaged."""


class LedgerError(EarmarkError):
    """A ledger that is missing or cannot be read."""


@dataclass(frozen=True)
class Look:
    """One run that was scored on its test clips."""

    time: str
    """UTC, ISO 8601."""
    event: str
    """`trained`, `probed`, `imported` or `repeated`."""
    suite: str
    variant: str
    fold: int
    seed: int
    configuration: str
    """Equal for runs that differ at most in fold, seed, names, places and speed; see `imported_configuration`."""
    run: str
    """Id of the run."""
    test_clips: str
    """Digest of the ids of the test clips."""
    test_audio: str
    """Digest of the content of their recordings; empty where it is not known."""
    clips: str
    """Digest of the ids of all clips of the split."""
    n_test: int
    predictions: str = ""
    """Digest of the predictions where they were known before they were scored, as those of other tools are."""


COLUMNS = tuple(f.name for f in dataclasses.fields(Look))
FIRST_COLUMNS = COLUMNS[:-1]
"""Those of the first version."""


def digest_names(names: Iterable[str]) -> str:
    """Stands for a set of clip ids, or of digests of recordings, in any order."""
    return digest(json.dumps(sorted(names)))


def imported_configuration(variant: str) -> str:
    """What stands for the settings of imported runs: only the name of their variant is known."""
    return digest(json.dumps(["imported", variant]), 10)


def model_configuration(checksum: str) -> str:
    """What stands for a model that was scored as it is: its weights, whatever its file is called."""
    return digest(json.dumps(["model", checksum]), 10)


def digest_predictions(clip_ids: Sequence[str], labels: Sequence[str], probs: np.ndarray | None) -> str:
    """Stands for the predicted labels of clips and their probabilities (N, K), in the same order, where there are any.

    Args:
        clip_ids: of the clips, in any order.
        labels: predicted for each clip.
        probs: over the sorted class names.
    """
    rows = [[""]] * len(labels) if probs is None else probs.round(9).tolist()
    return digest(json.dumps(sorted(zip(clip_ids, labels, rows, strict=True))))


def now() -> str:
    """The time of a look."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def record_look(
    run_folder: Path,
    *,
    event: str,
    suite: str,
    variant: str,
    fold: int,
    seed: int,
    configuration: str,
    run: str,
    test_clips: Iterable[str],
    all_clips: Iterable[str],
    test_audio: Iterable[str] = (),
    predictions: str = "",
) -> None:
    """Append a look to the ledger; call it before the result is written.

    Args:
        run_folder: `<runs>/<suite>/<run>`; a run folder that is not in a folder named after its suite lies in `<runs>`.
        event: `trained`, `probed`, `imported` or `repeated`.
        suite: name of the comparison.
        variant: name of the variant.
        fold: the fold, from 1.
        seed: seed of training.
        configuration: see `Look`.
        run: id of the run.
        test_clips: ids of the reported clips.
        all_clips: ids of all clips of the split, in any subset.
        test_audio: a digest of the content of each reported recording; empty where one is not known.
        predictions: from `digest_predictions`, where they are known already.
    """
    ids, audio = list(test_clips), list(test_audio)
    known = digest_names(audio) if audio else ""
    sets = (digest_names(ids), known, digest_names(all_clips), len(ids))
    above = run_folder.parent
    folder = above.parent if above.name == suite else above
    _append(folder / FILE, Look(now(), event, suite, variant, fold, seed, configuration, run, *sets, predictions))


def _append(path: Path, look: Look) -> None:
    """Add a row in one write, after what an interrupted write may have left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        raise LedgerError(f"ledger {path}: is not a file; move it away")
    with FileLock(path.with_name(f".{FILE}.lock")), path.open("a+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(end - 1, 0))
        torn = end > 0 and file.read(1) != b"\n"
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if end == 0:
            writer.writerow(COLUMNS)
        writer.writerow(dataclasses.astuple(look))
        file.write((b"\n" if torn else b"") + text.getvalue().encode())
        file.flush()
        os.fsync(file.fileno())


def find_ledger(folder: Path) -> Path | None:
    """The ledger in a folder of runs, or in the one above it; None where there is none."""
    found = [path for path in (folder / FILE, folder.parent / FILE) if path.is_file()]
    return found[0] if found else None


def read_ledger(path: Path) -> list[Look]:
    """All looks, in order; a row that an interrupted write has cut off is left out.

    Rows of earlier and of this version may follow each other: the first columns are the same.

    Raises:
        LedgerError: the file cannot be read or lacks a column of the first version.
    """
    try:
        check_size(path)
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = [*csv.reader(file)] or [[]]
    except (OSError, SchemaError, UnicodeDecodeError, csv.Error) as error:
        raise LedgerError(f"ledger {path}: cannot be read ({error})") from None
    missing = [name for name in FIRST_COLUMNS if name not in header]
    if missing:
        raise LedgerError(f"ledger {path}: lacks the column {missing[0]!r}; restore the file or move it away")
    lengths = {len(header)}
    if tuple(header[: len(FIRST_COLUMNS)]) == FIRST_COLUMNS:
        lengths |= {len(FIRST_COLUMNS), len(COLUMNS)}
        header = [*header, *COLUMNS[len(header) :]]
    whole = [dict(zip(header, row, strict=False)) for row in rows if len(row) in lengths]
    return [_look(row) for row in whole if all(_is_number(row[name]) for name in NUMBERS)]


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= MAX_DIGITS


def _look(row: dict[str, str]) -> Look:
    return Look(**{name: int(row[name]) if name in NUMBERS else row.get(name, "") for name in COLUMNS})  # type: ignore[arg-type]
