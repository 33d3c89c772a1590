"""The error that a user can fix, and the suggestion that ends its message."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable


class EarmarkError(ValueError):
    """A mistake of the user: the message gives name, value and remedy, and the command line prints it as one line.

    Any other exception is a bug of earmark and keeps its traceback.
    """


def first_line(error: BaseException) -> str:
    """The first line of a message, or the name of the error where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def missing_extra(package: str, extra: str) -> str:
    """What a message says of a package that is not installed, and that an extra of earmark brings."""
    return f'{package} is not installed; install it with `pip install "earmark[{extra}]"`'


def suggest(name: str, names: Iterable[str]) -> str:
    """How a message about an unknown name ends: with the nearest known one, or with all of them."""
    names = [str(known) for known in names]
    if not names:
        return "; there is none"
    return did_you_mean(name, names) or f"; choose from {', '.join(names)}"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The same with the nearest name alone; empty where none is near.

    Near is the same name in another case, a name of which it is a word, or one that differs in a few letters.
    """
    names, lower = list(names), name.lower()
    same = [known for known in names if known.lower() == lower]
    inside = [known for known in names if lower in re.split(r"[_/. -]", known.lower())]
    close = same or inside or difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "can't start new thread")
"""What libraries say that have no exception of their own for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this machine or its GPU, or what a process may use of it, had no memory left."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    known = isinstance(error, RuntimeError | ImportError)
    return known and any(text in str(error).lower() for text in NO_MEMORY)


REMEDIES = {
    errno.ENOSPC: "free some disk space or choose another folder, then run the same command again",
    errno.EDQUOT: "free some disk space or choose another folder, then run the same command again",
    errno.EACCES: "choose a path that you may read and write, and close any program that holds the file open",
    errno.EPERM: "choose a path that you may read and write, and close any program that holds the file open",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENOENT: "give a path that exists",
    errno.EISDIR: "give a file, not a folder",
    errno.ENOTDIR: "give a folder, not a file",
    errno.EEXIST: "choose another path or move the existing one away",
    errno.ELOOP: "give a path without links that lead to themselves",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), then run the same command again",
    errno.EMFILE: "raise the limit on open files (ulimit -n 1024), then run the same command again",
    errno.ENOMEM: "give fewer --jobs or free some memory, then run the same command again",
}
"""What the user can do about an error of the operating system."""


def describe_os_error(error: OSError) -> str:
    """Path, reason and remedy of an error of the operating system, as far as it says."""
    path = f"{error.filename}: " if error.filename else ""
    remedy = f"; {REMEDIES[error.errno]}" if error.errno in REMEDIES else ""
    return f"{path}{error.strerror or error}{remedy}"
