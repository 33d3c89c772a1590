"""ESC-50 and its subset ESC-10 in their official layout: ``audio/`` and ``meta/esc50.csv``.

K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from earmark.datasets.manifest import Clip, check_unique, safe_id
from earmark.datasets.recordings import with_durations
from earmark.datasets.rows import ManifestError, fold_number, read_rows

_COLUMNS = ("filename", "fold", "category", "esc10", "src_file")
_REMEDY = "give the folder that holds audio/ and meta/esc50.csv; `earmark download esc50` fetches it"


def read_esc50(root: str | Path, esc10: bool = False, require_audio: bool = True) -> list[Clip]:
    """Read ESC-50 (or its subset ESC-10): the group is the source recording, the fold the published one.

    The files may have any extension, as the CSV names them. Without `require_audio` (for ready-made images)
    they need not exist and are not opened, and the durations are 0.

    Raises:
        ManifestError: the CSV is missing or cannot be used, or no recording can be read.
    """
    table = Path(root) / "meta" / "esc50.csv"
    rows = read_rows(table, _COLUMNS, _REMEDY)
    clips = [_clip(row, table, line) for line, row in rows if not esc10 or row["esc10"].lower() == "true"]
    if not clips:
        raise ManifestError(f"{table}: no row is marked as ESC-10; {_REMEDY}")
    check_unique([clip.clip_id for clip in clips], [clip.path for clip in clips])
    return with_durations(clips, root) if require_audio else clips


def _clip(row: dict[str, str], table: Path, line: int) -> Clip:
    for column in ("filename", "category", "src_file"):
        if not row[column]:
            raise ManifestError(f"{table}, line {line}: {column} is empty; {_REMEDY}")
    path = table.parents[1] / "audio" / row["filename"]
    fold = fold_number(row["fold"], f"{table}, line {line}")
    return Clip(safe_id(path.stem), path, row["category"], row["src_file"], fold)


def validate_esc50(clips: Sequence[Clip], esc10: bool = False) -> list[str]:
    """What is not as in the complete set, one line each: 50 (or 10) classes of 40 clips, 5 equal folds."""
    n_classes = 10 if esc10 else 50
    problems = []
    labels = Counter(clip.label for clip in clips)
    folds = Counter(clip.fold for clip in clips)
    if len(clips) != 40 * n_classes:
        problems.append(f"{len(clips)} clips instead of {40 * n_classes}")
    if len(labels) != n_classes:
        problems.append(f"{len(labels)} classes instead of {n_classes}")
    problems += [f"{label}: {n} clips instead of 40" for label, n in sorted(labels.items()) if n != 40]
    if folds != dict.fromkeys(range(1, 6), 8 * n_classes):
        problems.append(f"folds of {sorted(folds.items())} clips instead of 5 folds of {8 * n_classes}")
    return problems
