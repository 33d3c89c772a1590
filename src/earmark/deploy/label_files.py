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

    def __init__(self, audacity: Path | None, raven: Path | None, recordings: Sequence[Path], sample_rate: int) -> None:
        """Raise `DeployError` where several recordings meet a file, or are on several drives."""
        self._outputs = [(output, end) for output, end in ((audacity, AUDACITY), (raven, RAVEN)) if output]
        self._sample_rate = sample_rate
        self._names: dict[Path, Path] = {}
        if self._outputs and (len(recordings) > 1 or any(output.is_dir() for output, _ in self._outputs)):
            self._names = _names(recordings)
        for output, _ in self._outputs:
            if len(recordings) > 1 and output.exists() and not output.is_dir():
                raise DeployError(f"{output}: is a file; for {len(recordings)} recordings give a folder")

    def write(self, recording: Path, events: Sequence[Event]) -> None:
        """Write the events of a recording, also where there are none."""
        for output, end in self._outputs:
            target = output
            if self._names and (len(self._names) > 1 or output.is_dir()):
                name = self._names[recording]
                target = output / name.with_name(name.name + end)
                target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(target) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
                if end == RAVEN:
                    write_raven(file, events, self._sample_rate, recording.name)
                else:
                    write_audacity(file, events)


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
