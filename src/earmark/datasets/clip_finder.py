"""Which clip of a manifest a row of another table is about: one of a split, or of predictions."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath

from earmark.datasets.manifest import Clip, clip_of_file
from earmark.runtime.console import format_names, pluralize, printable
from earmark.runtime.names import common_tail, nfc, parts_from_end

LOG = logging.getLogger("earmark")


class ClipFinder:
    """Finds clips by id, by path, and by the name of a file that was made of one."""

    def __init__(self, clips: Sequence[Clip], augmentations: Iterable[str] = ()) -> None:
        """Args are the manifest, and names of augmentations besides earmark's own, see `clip_of_file`."""
        self.by_id = {clip.clip_id: clip for clip in clips}
        self._augmentations = tuple(augmentations)
        self._by_name: dict[str, list[Clip]] = defaultdict(list)
        for clip in clips:
            self._by_name[_file_name(clip.path)].append(clip)
        self._elsewhere: dict[str, Path] = {}

    def find(self, name: str) -> Clip | None:
        """The clip with this id or file; None without one, or with several that a path does not tell apart."""
        if name in self.by_id:
            return self.by_id[name]
        files = self._by_name.get(_file_name(name), [])
        shared = [common_tail(clip.path, name) for clip in files]
        nearest = [clip for clip, n in zip(files, shared, strict=True) if n == max(shared)]
        if len(nearest) == 1:
            if max(shared) == 1 < len(parts_from_end(name)):
                self._elsewhere[name] = nearest[0].path
            return nearest[0]
        clip_id = clip_of_file(name, self.by_id, self._augmentations)
        return None if clip_id is None else self.by_id[clip_id]

    def warn_of_other_folders(self, source: str | Path) -> None:
        """Name rows whose clip was found by the name of its file, in another folder than the row says."""
        if self._elsewhere:
            pairs = [f"{name} = {path.parent.name}/{path.name}" for name, path in self._elsewhere.items()]
            text = "%s: %s found by name alone, in another folder than there: %s; check that they are the same"
            LOG.warning(text, source, pluralize(len(pairs), "file"), printable(format_names(pairs)))


def _file_name(path: str | Path) -> str:
    return nfc(PureWindowsPath(path).name).casefold()
