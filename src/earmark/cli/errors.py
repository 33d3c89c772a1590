"""What people are told by a command: warnings, mistakes and an interruption as one line each, never a traceback."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REMEDIES = {
    errno.ENOSPC: "make room or give another folder; the same command goes on where it stopped",
    errno.EDQUOT: "make room or give another folder; the same command goes on where it stopped",
    errno.EACCES: "give a place that you may read and write, and close what holds the file open",
    errno.EPERM: "give a place that you may read and write, and close what holds the file open",
    errno.EROFS: "give a folder that can be written to",
    errno.ENOENT: "give a path that exists",
    errno.EISDIR: "give a file, not a folder",
    errno.ENOTDIR: "give a folder, not a file",
    errno.EEXIST: "give another place, or move away what is there",
}
"""What to do about the errors of the file system that are no fault of the program."""


@contextmanager
def report_errors(program: str, reword: Callable[[str], str] = str) -> Iterator[None]:
    """The block is the work of a command: its warnings are one line each on stderr, and so is what ends it.

    A mistake of the user (`ValueError`), or a file system that refuses (`REMEDIES`), ends with exit status 2, an
    interruption with 130, a reader of the output that goes away (``| head``) with 141. Any other error is ours and
    keeps its traceback.

    Args:
        reword: applied to the message of a mistake.
    """
    _set_up_streams()
    _set_up_warnings()
    try:
        yield
        sys.stdout.flush()
    except ValueError as error:
        _leave(2, f"{program}: {reword(str(error))}")
    except KeyboardInterrupt:
        _leave(130, f"\n{program}: interrupted; the same command goes on where it stopped")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the last flush complains as well
        sys.exit(141)
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        place = f"{error.filename}: " if error.filename else ""
        _leave(2, f"{program}: {place}{error.strerror}; {REMEDIES[error.errno]}")


def _leave(status: int, line: str) -> None:
    print(line, file=sys.stderr)
    sys.exit(status)


def _set_up_streams() -> None:
    """What goes to a file or a pipe is UTF-8: code pages of Windows lack the true minus sign: an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty() and "PYTHONIOENCODING" not in os.environ:
            stream.reconfigure(encoding="utf-8")


def _set_up_warnings() -> None:
    log = logging.getLogger("earmark")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    log.handlers = [handler]
    warnings.showwarning = lambda message, *_: log.warning("%s", message)
