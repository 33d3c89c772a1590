"""Atomic writes: a file is written under a temporary name that no other process has, then renamed."""

from __future__ import annotations

import contextlib
import csv
import glob
import hashlib
import io
import json
import logging
import os
import platform
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from earmark.runtime.errors import EarmarkError

TEMPORARY = re.compile(r"(\.[0-9a-f]{6})\.([0-9]+)\.[0-9a-f]{6}\.tmp$")
"""The end of the name of a temporary file: a digest of the host's name, the process, a random part, and .tmp."""
HOLDER = ".holder"
"""The file that `mark_holder` writes."""
ABANDONED_SECONDS = 86_400
"""The age from which a temporary file is taken as abandoned, whoever wrote it."""
SAMPLED_BYTES = 8_192
"""What `sampled_digest` reads at each of three places."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and is removed when not.

    The folder of `path` is created if it is missing. A link, a pipe or a device such as /dev/null is written to
    directly and stays what it is.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}{_host()}.{os.getpid()}.{os.urandom(3).hex()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and str(error.filename or temporary) == str(temporary):
            error.filename = str(path)  # what was asked for; a full disk names no file at all
        raise


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other processes from writing files here, and remove what killed ones have left; they wait for this one.

    The system releases the lock when this process is killed.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logging.getLogger("earmark").warning("%s: waiting for another process that writes files there", folder)
        lock.acquire()
    try:
        remove_temporary(folder)
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool | None:
    """Whether a process of this machine, or this one, holds the lock of a folder; None where nobody may write there."""
    from filelock import FileLock, Timeout

    if not (folder / ".lock").is_file():
        return False
    try:
        with FileLock(folder / ".lock", blocking=False):
            return False
    except Timeout:
        return True
    except OSError:
        return None


def mark_holder(folder: Path) -> None:
    """Note in a folder that a process of this machine has locked it, for `is_abandoned`."""
    write_text(folder / HOLDER, _host())


def is_abandoned(folder: Path) -> bool:
    """Whether this machine was the last to lock a folder and none of its processes does now; False if not known."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return (folder / HOLDER).read_text(encoding="utf-8") == _host() and is_locked(folder) is False
    return False


def remove_temporary(folder: Path) -> int:
    """Remove the temporary files that killed processes have left in a folder; returns their number.

    Args:
        folder: which the caller has locked, so that no other process writes there.
    """
    ours, removed = f"{_host()}.{os.getpid()}.", 0
    for path in folder.iterdir() if folder.is_dir() else ():
        if TEMPORARY.search(path.name) and ours not in path.name:
            with contextlib.suppress(OSError):
                path.unlink()
                removed += 1
    return removed


def remove_abandoned(path: Path) -> None:
    """Remove the temporary files of `path` that killed processes have left, where nothing is locked."""
    for temporary in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
        found = TEMPORARY.search(temporary.name)
        if found and temporary.name == path.name + found[0]:
            gone = found[1] == _host() and not _is_running(int(found[2]))
            with contextlib.suppress(OSError):
                if gone or time.time() - temporary.stat().st_mtime > ABANDONED_SECONDS:
                    temporary.unlink()


def _host() -> str:
    """Stands for this machine or container: two of them that share a disk may have processes of one number."""
    return "." + digest(platform.node(), 6)


def _is_running(process: int) -> bool:
    """Whether a process of this machine runs; on Windows, where asking would end it, it is assumed to."""
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, line ends as they are."""
    remove_abandoned(path)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV in UTF-8; a file that holds them already is left alone, also where nobody may write."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    if not path.is_file() or path.read_bytes() != text.getvalue().encode():
        write_text(path, text.getvalue())


def check_own_table(path: Path, columns: Sequence[str]) -> None:
    """Raise `EarmarkError` where a file is there that is not empty and does not begin with the columns of a table."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        header = file.readline(10_000)
    if header and not header.startswith(",".join(columns).encode()):
        raise EarmarkError(f"{path}: exists and is no such table of earmark; give another name, or remove the file")


GENERATOR = '<meta name="generator" content="earmark {}">'
"""In the first lines of a page of earmark: what wrote it."""


def check_own_file(path: Path, beginning: str, what: str) -> None:
    """Raise `EarmarkError` where a file is there that is not empty and does not begin as earmark's own.

    Args:
        beginning: a regular expression that is found in the first 4 KiB of what earmark writes.
        what: the file is, for the message.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        head = file.read(4096)
    if head and not re.search(beginning.encode("latin-1"), head):
        raise EarmarkError(f"{path}: exists and is no {what} of earmark; give another name, or remove the file")


def write_json(path: Path, content: Any) -> None:
    """Write plain data as JSON in UTF-8."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def digest(content: bytes | str, length: int = 16) -> str:
    """The first `length` hex digits of the SHA-256 of bytes, or of text in UTF-8."""
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:length]


def file_digest(path: Path, length: int = 16) -> str:
    """The digest of the content of a file, read block by block."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:length]


def sampled_digest(path: Path, length: int = 16) -> str:
    """The digest of a file's size and of its first, middle and last `SAMPLED_BYTES`: quick, for many large files."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        content = hashlib.sha256(str(size).encode())
        for start in (0, (size - SAMPLED_BYTES) // 2, size - SAMPLED_BYTES):
            file.seek(max(0, start))
            content.update(file.read(SAMPLED_BYTES))
    return content.hexdigest()[:length]
