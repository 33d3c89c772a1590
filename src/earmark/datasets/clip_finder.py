"""Which clip of a manifest a row of another table is about: one of a split, or of predictions."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import itemgetter
from pathlib import Path, PureWindowsPath

from earmark.datasets.manifest import Clip, clip_of_file
from earmark.runtime.console import format_names, pluralize, printable
from earmark.runtime.names import n_alike, parts_from_end

LOG = logging.getLogger("earmark")


class ClipFinder:
    """Finds clips by id, by path, and by the name of a file that was made of one."""

    def __init__(self, clips: Sequence[Clip], augmentations: Iterable[str] = ()) -> None:
        """Index the clips.

        Args:
            clips: the manifest.
            augmentations: names of augmentations besides earmark's own, see `clip_of_file`.
        """
        self.by_id = {clip.clip_id: clip for clip in clips}
        self._augmentations = tuple(augmentations)
        self._sorted = sorted(((_parts(clip.path), clip) for clip in clips), key=itemgetter(0))
        self._by_folders: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = defaultdict(list)
        self._by_name: list[str] = []

    def find(self, name: str) -> Clip | None:
        """The clip with this id or file; None without one, or with several that a path does not tell apart.

        It is the one that has the most folders in common with the path. Where it has none, its id must be the name.
        """
        if name in self.by_id:
            return self.by_id[name]
        parts = _parts(name)
        i = bisect_left(self._sorted, parts, key=itemgetter(0))  # beside it are those that have the most in common
        shared = [(n_alike(others, parts), clip) for others, clip in self._sorted[max(0, i - 2) : i + 2]]
        most = max((n for n, _ in shared), default=0)
        nearest = [clip for n, clip in shared if n == most > 1]
        if len(nearest) == 1:
            self._note(name, most, nearest[0])
            return nearest[0]
        clip_id = clip_of_file(name, self.by_id, self._augmentations)
        if clip_id is not None and most == 1:
            self._note(name, most, self.by_id[clip_id])
        return None if clip_id is None else self.by_id[clip_id]

    def _note(self, name: str, n_common: int, clip: Clip) -> None:
        """Keep which folders of a path and of its clip differ; images are elsewhere anyway."""
        parts, pair = _parts(name), f"{name} = {clip.path.parent.name}/{clip.path.name}"
        if len(parts) == 1 or name.lower().endswith(".png"):
            return
        if n_common == 1:
            self._by_name.append(pair)
        else:
            self._by_folders[tuple(parts[n_common:]), tuple(_parts(clip.path)[n_common:])].append(pair)

    def warn_of_other_folders(self, source: str | Path) -> None:
        """Name rows whose clip lies in other folders than they say; those of a data set that was moved are usual.

        A path that ends with the other one, as an absolute one with a relative one, says nothing else.
        """
        usual = max(self._by_folders.values(), key=len, default=[])
        other = [some for key, some in self._by_folders.items() if some is not usual and all(key)]
        pairs = [*self._by_name, *(pair for some in other for pair in some)]
        if pairs:
            text = "%s: %s found in another folder than it says: %s; check that they are the same"
            LOG.warning(text, source, pluralize(len(pairs), "file"), printable(format_names(pairs)))


def _parts(path: str | Path) -> list[str]:
    """The name without its ending and the folders, from the end."""
    name, *folders = parts_from_end(path) or [""]
    return [PureWindowsPath(name).stem, *folders]
