"""Unpack an archive without trusting it."""

from __future__ import annotations

import errno
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from earmark.datasets.fetch import DownloadError
from earmark.runtime.console import progress_bar

_REMEDY = "give another address with --url"
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError)
_DAMAGE_NUMBERS = {errno.EINVAL, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}
"""Errors of a damaged directory: wrong offsets, and names that are both a file and a folder."""


def unpack_zip(path: Path, folder: Path, max_bytes: int) -> None:
    """Unpack a zip archive into a new folder, after all its entries have been checked.

    Raises:
        DownloadError: the file is no zip archive, is damaged or encrypted, holds a link, a special file or a name
            that leads out of the folder or occurs twice, or unpacks to more than `max_bytes`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(entries, path, max_bytes)
            folder.mkdir(parents=True)
            for entry in progress_bar(entries, "unpack", len(entries), "file"):
                _unpack(archive, entry, folder)
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _DAMAGE_NUMBERS:
            raise  # the disk, not the archive
        raise DownloadError(f"archive {path.name}: is not a usable zip archive ({error}); fetch it again") from None


def _check_entries(entries: list[zipfile.ZipInfo], path: Path, max_bytes: int) -> None:
    seen: set[str] = set()
    for entry in entries:
        reason = _danger(entry) or ("occurs twice" if entry.filename.lower() in seen else "")
        if reason:
            raise DownloadError(f"archive {path.name}: refused, {entry.filename!r} {reason}; {_REMEDY}")
        seen.add(entry.filename.lower())
    size = sum(entry.file_size for entry in entries)
    if size > max_bytes:
        raise DownloadError(
            f"archive {path.name}: refused, it unpacks to {size} bytes, more than the expected {max_bytes}; {_REMEDY}"
        )


def _danger(entry: zipfile.ZipInfo) -> str:
    """Why an entry must not be unpacked; empty when nothing is wrong with it."""
    name = PurePosixPath(entry.filename)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if name.is_absolute() or ".." in name.parts or not name.parts or set(entry.filename) & set("\\:"):
        return "leads out of the folder"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a special file"
    if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is encrypted or compressed in an unusual way"
    return ""


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    """Write one entry; its checksum is verified meanwhile."""
    target = folder / entry.filename
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file)
