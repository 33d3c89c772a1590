"""The events of recordings as label tracks of Audacity and selection tables of Raven."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from earmark.deploy.events import Event, write_audacity, write_raven
from earmark.deploy.info import DeployError
from earmark.runtime.files import atomic_write

AUDACITY, RAVEN = ".txt", ".selections.txt"
"""What follows the name of the recording; `earmark cut` finds the recording by such a name."""


class LabelFiles:
    """One file for one recording; for several a folder, with a file for each and the subfolders of the recordings."""

    def __init__(
        self,
        audacity: Path | None,
        raven: Path | None,
        recordings: Sequence[Path],
        sample_rate: int,
        force: bool = False,
    ) -> None:
        """Raise `DeployError` where several recordings meet a file or are on several drives, or labels would be lost.

        Labels of people have the same names as these, and no mark tells them apart.
        """
        outputs = [(output, end) for output, end in ((audacity, AUDACITY), (raven, RAVEN)) if output]
        self._sample_rate = sample_rate
        for output, _ in outputs:
            if len(recordings) > 1 and output.exists() and not output.is_dir():
                raise DeployError(f"{output}: is a file; for {len(recordings)} recordings give a folder")
        in_folder = outputs and (len(recordings) > 1 or any(output.is_dir() for output, _ in outputs))
        names = _names(recordings) if in_folder else {}
        self._targets = {
            recording: [(_target(output, end, names.get(recording), len(names)), end) for output, end in outputs]
            for recording in recordings
        }
        for target, _ in [] if force else (pair for targets in self._targets.values() for pair in targets):
            if target.is_file() and target.stat().st_size:
                raise DeployError(f"{target}: exists; give another name or folder, or --force to overwrite labels")

    def write(self, recording: Path, events: Sequence[Event]) -> None:
        """Write the events of a recording, also where there are none."""
        for target, end in self._targets[recording]:
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(target) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
                if end == RAVEN:
                    write_raven(file, events, self._sample_rate, recording.name)
                else:
                    write_audacity(file, events)


def _target(output: Path, end: str, name: Path | None, n_recordings: int) -> Path:
    """The file of a recording: the output itself, or, where that is a folder, one by the recording's name in it."""
    if name is None or (n_recordings == 1 and not output.is_dir()):
        return output
    return output / name.with_name(name.name + end)


def _names(recordings: Sequence[Path]) -> dict[Path, Path]:
    """Where recordings are below the folder of all, without extension unless two differ in that only."""
    absolute = {path: Path(os.path.normpath(path.absolute())) for path in recordings}
    try:
        top = os.path.commonpath([path.parent for path in absolute.values()])
    except ValueError:  # Windows
        raise DeployError("the recordings are on several drives; write label files for one drive at a time") from None
    inside = {path: whole.relative_to(top) for path, whole in absolute.items()}
    count = Counter(str(path.with_suffix("")).casefold() for path in inside.values())
    return {
        path: name if count[str(name.with_suffix("")).casefold()] > 1 else name.with_suffix("")
        for path, name in inside.items()
    }
