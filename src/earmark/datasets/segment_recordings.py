"""Which recording each row of a table of segments means."""

from __future__ import annotations

import logging
import ntpath
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PureWindowsPath

from earmark.audio.io import audio_files
from earmark.datasets.rows import ManifestError
from earmark.runtime.console import format_names, pluralize, printable
from earmark.runtime.names import n_alike, nfc, parts_from_end

LOG = logging.getLogger("earmark")


@dataclass(frozen=True)
class _Found:
    """A recording, and the path under which it was looked for."""

    path: Path
    parts: list[str]
    """The folders that were looked for, and the name."""
    n_alike: int
    """How many of these folders the recording is in, counted from the last."""
    there: bool
    """Whether it is at that very path."""
    named: str
    """The path in the table; empty where it has none with a folder, so that it follows from the place of the table."""
    table: Path
    where: str

    @property
    def text(self) -> str:
        return repr(self.named) if self.named else printable(self.table)

    def contradicts(self, other: _Found) -> bool:
        """Whether the two were looked for under different paths, so that one of them is missing."""
        n = min(len(self.parts), len(other.parts))
        if (self.there and other.there) or self.parts[-n:] == other.parts[-n:]:
            return False
        return bool(self.named and other.named) or (self.named == other.named and self.n_alike != other.n_alike)


class Recordings:
    """The recordings below a folder, by the paths and names in tables.

    Args:
        folder: that of the recordings.
        tables: that of the tables; of several recordings with one name, a table in a subfolder means that in the
            subfolder of the same name.
    """

    def __init__(self, folder: Path, tables: Path) -> None:
        self._folder, self._tables = folder, tables
        self._parts = {path: _parts(str(path.absolute())) for path in audio_files(folder)}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path, parts in self._parts.items():
            self._by_name[parts[-1]].append(path)
        self._found: dict[tuple[str, str, Path], _Found] = {}

    def find(self, named: str, name: str, table: Path, where: str) -> Path:
        """The recording of a row: the file at the path, else that of the name, in the most folders of the path.

        Names and folders are compared in any case, and paths of Windows are read everywhere.

        Args:
            named: path or name in the row; empty where it has none, which means the recording with the longest name
                that the name of the table begins with.
            name: the name of the file, if the row has it beside the path.
            table: the table.
            where: file and line, for messages.

        Raises:
            ManifestError: there is no such recording, or there are several.
        """
        key = (named, name, table)
        if key not in self._found:
            self._found[key] = self._find(named, name, table, where)
        return self._found[key].path

    def check(self) -> None:
        """Refuse different paths that were found as one recording; warn of recordings found in other folders.

        Raises:
            ManifestError: see above; the message names both rows.
        """
        by_path: dict[Path, dict[tuple[str, ...], _Found]] = defaultdict(dict)
        for found in self._found.values():
            by_path[found.path].setdefault(tuple(found.parts), found)
        for path, several in by_path.items():
            for one, other in combinations(several.values(), 2):
                if one.contradicts(other):
                    raise ManifestError(
                        f"{other.where}: {other.text} and {one.text} ({one.where}) would both be {printable(path)}; "
                        "add the recording that is missing, delete its rows, or write the path in the same way"
                    )
        moved = {found.path: found for found in self._found.values() if self._is_elsewhere(found)}
        if moved:
            what, first = pluralize(len(moved), "recording"), next(iter(moved.values()))
            message = "%s found by name, in other folders than those in the table; the first: %s is cut from %s"
            LOG.warning(message, what, first.text, printable(first.path))

    def _find(self, named: str, name: str, table: Path, where: str) -> _Found:
        parts, inside = _parts(named), table.parent.relative_to(self._tables)
        if name and parts[-1:] != _parts(name):
            parts += _parts(name)  # the path is that of the folder
        path = self._at_path(named, len(parts) > 1, table.parent, inside)
        there = path is not None
        folders = parts[:-1] if len(parts) > 1 else _parts(str(inside))
        if path is None:
            found = self._by_name.get(parts[-1], []) if parts else self._of_table(table)
            found = self._closest(found, folders, name or PureWindowsPath(named).name)
            if len(parts) < 2:
                found = [path for path in found if path.parent == self._folder / inside] or found
            path = self._only(found, name or PureWindowsPath(named).name, where)
        looked_for = [*folders, *(parts or _parts(path.name))[-1:]]
        n_alike = _n_last(looked_for, self._parts.get(path) or _parts(str(path.absolute()))) - 1
        return _Found(path, looked_for, n_alike, there, named * (len(parts) > 1), table, where)

    def _at_path(self, named: str, has_folder: bool, beside: Path, inside: Path) -> Path | None:
        """The file at the path, below the folder of the recordings or of the table."""
        folders = [self._folder, beside] if has_folder else [self._folder / inside, self._folder, beside]
        for text in dict.fromkeys((named, PureWindowsPath(named).as_posix())) if named else ():
            for given in (folder / text for folder in folders):
                with suppress(OSError):  # a name that is too long
                    if given.is_file():
                        alike = self._by_name.get(_parts(text)[-1], [])
                        return next((path for path in alike if path.samefile(given)), given)  # each under one path
        return None

    def _of_table(self, table: Path) -> list[Path]:
        """The recordings with the longest name that the name of the table begins with."""
        name = _plain(table.name)
        found = [path for path in self._parts if name.startswith(f"{_plain(path.stem)}.")]
        longest = max((len(path.stem) for path in found), default=0)
        return [path for path in found if len(path.stem) == longest]

    def _closest(self, found: Sequence[Path], folders: Sequence[str], name: str) -> list[Path]:
        """Those in the most of these folders, of these that of the very name, if there is one."""
        ranks = [(_n_last(folders, self._parts[path][:-1]), path.name == name) for path in found]
        return [path for path, rank in zip(found, ranks, strict=True) if rank == max(ranks)]

    def _only(self, found: Sequence[Path], name: str, where: str) -> Path:
        if len(found) == 1:
            return found[0]
        wanted = f"the recording {name!r}" if name else "a recording that the table is named after"
        several = f"is there {len(found)} times ({format_names([printable(path) for path in found])})"
        problem = several if found else f"is not below {self._folder}"
        remedy = "give the folder of the recordings with --recordings" + ", or write it in the table" * bool(found)
        raise ManifestError(f"{where}: {wanted} {problem}; {remedy}")

    def _is_elsewhere(self, found: _Found) -> bool:
        """Whether the folders in the table, or of it, are others than those below the folder of the recordings."""
        if found.there or found.n_alike == len(found.parts) - 1:
            return False
        n_below = len(found.path.relative_to(self._folder).parts) - 1
        relative = bool(found.named) and not PureWindowsPath(found.named).root
        return found.n_alike < max(n_below, int(relative))


def _plain(name: str) -> str:
    """The name as it is compared: some disks have no upper and lower case, and others decompose letters."""
    return nfc(name).casefold()


def _parts(path: str) -> list[str]:
    """The drive, the folders and the name of a path of any system, as they are compared, without dots."""
    drive = PureWindowsPath(path).drive.casefold()
    names = [part for part in reversed(parts_from_end(ntpath.normpath(path))) if part != ".."] if path else []
    return [drive] * bool(drive) + names


def _n_last(one: Sequence[str], other: Sequence[str]) -> int:
    """How many names two paths have in common, counted from the last."""
    return n_alike(one[::-1], other[::-1])
