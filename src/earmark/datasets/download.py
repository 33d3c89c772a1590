"""The official archives of the public datasets: download, verify, unpack, and check that they are complete."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.datasets.emodb import read_emodb, validate_emodb
from earmark.datasets.esc50 import read_esc50, validate_esc50
from earmark.datasets.fetch import DownloadError, fetch
from earmark.datasets.manifest import Clip
from earmark.datasets.rows import ManifestError
from earmark.datasets.unpack import unpack_zip
from earmark.runtime.errors import suggest

LOG = logging.getLogger("earmark")


@dataclass(frozen=True)
class Archive:
    """Where a public set comes from and how to tell that it is complete."""

    url: str
    """The official address of a zip archive."""
    md5: str
    """Its published checksum in hex; empty where none is published."""
    folder: str
    """Name of the folder that it becomes."""
    max_bytes: int
    """What it unpacks to at most."""
    read: Callable[[Path], list[Clip]]
    """Reads the unpacked set."""
    validate: Callable[[Sequence[Clip]], list[str]]
    """What is not as in the complete set, one line each."""


ARCHIVES = {
    "esc50": Archive(
        url="https://github.com/karoldvl/ESC-50/archive/master.zip",
        md5="7771e4b9d86d0945acce719c7a59305a",
        folder="ESC-50",
        max_bytes=2 << 30,
        read=read_esc50,
        validate=validate_esc50,
    ),
    "emodb": Archive(
        url="http://emodb.bilderbar.info/download/download.zip",
        md5="",
        folder="EmoDB",
        max_bytes=1 << 30,
        read=read_emodb,
        validate=validate_emodb,
    ),
}
"""The datasets that `earmark download` knows."""


def download(name: str, target: str | Path, url: str | None = None, folder_name: str = "") -> Path:
    """Download a public dataset into a folder below `target`, by default of the dataset's name; returns that folder.

    The folder is created by a rename after everything has been verified, so it is never incomplete. A folder that
    exists is only checked. An archive with another checksum than the published one is accepted with a warning if
    its content is complete.

    Raises:
        DownloadError: the name is unknown, or the archive cannot be fetched, is damaged, hostile or incomplete,
            or there is no room for it.
    """
    if name not in ARCHIVES:
        raise DownloadError(f"dataset {name!r}: cannot be downloaded{suggest(name, ARCHIVES)}")
    archive = ARCHIVES[name]
    folder = Path(target) / (folder_name or archive.folder)
    if folder.exists():
        _check_content(archive, folder, f"{folder} exists but", "move it away to download it again")
        LOG.info("%s exists and is complete", folder)
        return folder
    try:
        _install(archive, folder, url or archive.url)
    except OSError as error:
        raise DownloadError(f"{folder}: cannot be written ({error}); make room or give another folder") from None
    return folder


def _install(archive: Archive, folder: Path, url: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.with_name(f"{folder.name}.download.zip")
    if not file.exists():
        fetch(url, file)
    unpacked = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        unpack_zip(file, unpacked, archive.max_bytes)
        root = _root(unpacked)
        _check_content(archive, root, f"archive {url}:", "give another address with --url")
        _warn_of_other_checksum(archive, file)
        root.replace(folder)
    except DownloadError:
        file.unlink()  # a bad archive stays bad; after an interruption it is kept
        raise
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    file.unlink()


def _root(unpacked: Path) -> Path:
    """The folder of the set: the unpacked one, or the only one in it (``ESC-50-master``)."""
    inside = list(unpacked.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else unpacked


def _check_content(archive: Archive, root: Path, what: str, remedy: str) -> None:
    try:
        clips = archive.read(root)
    except ManifestError as error:
        raise DownloadError(f"{what} is not {archive.folder} ({error}); {remedy}") from None
    problems = archive.validate(clips)
    problems += [f"{clip.path.name} cannot be read" for clip in clips if not clip.duration]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise DownloadError(f"{what} is not the complete {archive.folder}: {'; '.join(problems[:3])}{more}; {remedy}")


def _warn_of_other_checksum(archive: Archive, file: Path) -> None:
    with file.open("rb") as content:
        md5 = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if archive.md5 and md5 != archive.md5:
        message = "%s: the archive's md5 is %s, not the published %s; accepted because its content is complete"
        LOG.warning(message, archive.folder, md5, archive.md5)
