"""Names of files and folders that every platform can carry."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path, PurePath, PureWindowsPath

from earmark.runtime.files import digest

RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\.|$)", re.IGNORECASE)
"""Names that Windows keeps for devices, with any ending."""
MAX_SUITE_NAME = 80
"""Bytes of the name of a suite or variant in UTF-8; a run folder is named after both a variant and its id."""

RUN_NAME = re.compile(r"(?P<variant>.+)-fold[0-9]+-seed[0-9]+-[0-9a-f]{10}")
"""That of the folder of a run."""


def run_name(variant: str, fold: int, seed: int, run: str = "*") -> str:
    """The name of the folder of a run by its id; by default the pattern of the names with any id."""
    return f"{variant}-fold{fold}-seed{seed}-{run}"


def id_of(run_folder: Path) -> str:
    """The id of a run, by the name of its folder."""
    return run_folder.name.rpartition("-")[2]


def nfc(text: str) -> str:
    """The text with composed letters (NFC), as most systems write it; names of folders on macOS may have others."""
    return unicodedata.normalize("NFC", text)


def parts_from_end(path: PurePath | str) -> list[str]:
    """The name and the folders of a path from its end, with slashes of any kind, without its drive, and in one case."""
    portable = PureWindowsPath(path)
    return [nfc(part).casefold() for part in portable.parts if part != portable.anchor][::-1]


def n_alike(first: Sequence[str], second: Sequence[str]) -> int:
    """How many names two lists have in common at their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def is_unicode(text: object) -> bool:
    """Whether a path or name can be written to a file in UTF-8; some systems allow any bytes in names of files."""
    try:
        str(text).encode()
    except UnicodeEncodeError:
        return False
    return True


def name_problem(name: str) -> str:
    """How to change a name that a folder cannot have on every platform; empty if it can."""
    if not name.strip(".") or not all(c.isalnum() or c in "._+-" for c in name):
        return "use letters, digits and . _ + - only"
    if name[0] in ".-" or name[-1] == ".":
        return "begin it with a letter or digit, and end it without a period"
    if RESERVED.match(name):
        return "Windows keeps this name for a device; choose another one"
    if len(name.encode()) > MAX_SUITE_NAME:
        return f"is {len(name.encode())} bytes long; give at most {MAX_SUITE_NAME}"
    return ""


def shorten(name: str, max_bytes: int) -> str:
    """The name, or, where it is longer in UTF-8, its beginning and its digest."""
    if len(name.encode()) <= max_bytes:
        return name
    mark = "-" + digest(name, length=10)
    return name.encode()[: max_bytes - len(mark)].decode(errors="ignore") + mark
