"""How a command ends: messages, warnings and exit status.

Exit status: 0 success, 1 the command found something (a leak, bad files, failed runs), 2 it could not run, 130 it was
interrupted (Ctrl-C), 141 the reader of its output went away (``| head``), 143 it was terminated (SIGTERM).
"""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from earmark.runtime.console import drop_output
from earmark.runtime.errors import EarmarkError, describe_os_error, first_line, is_out_of_memory

FOUND, FAILED, INTERRUPTED, BROKEN_PIPE, TERMINATED = 1, 2, 130, 141, 143

LONGEST_LINE = 2000


class Terminated(KeyboardInterrupt):
    """SIGTERM has arrived: a batch system or `kill` ends this process."""


@contextmanager
def report_errors(
    program: str, reword: Callable[[str], str] = str, resumes: bool = True, endless: bool = False
) -> Iterator[None]:
    """Run a command: one line on stderr for each warning and for the error that ends it.

    A user's mistake (`EarmarkError`) and an error of the operating system (`OSError`) end with one line and status 2.
    Any other exception is a bug of earmark: its traceback is printed, with a request to report it, and status 2.

    Args:
        reword: applied to the message of a user's mistake.
        resumes: whether the same command resumes after Ctrl-C or SIGTERM; then the message says so.
        endless: whether it runs until it is stopped, so that this is no interruption.

    Raises:
        SystemExit: the command failed or was interrupted.
    """
    _set_up_streams()
    _set_up_warnings()
    how_to_resume = "; run the same command again to resume" if resumes else ""
    try:
        with _terminable():
            yield
        sys.stdout.flush()
    except EarmarkError as error:
        _exit(FAILED, f"{program}: {reword(str(error))}")
    except Terminated:
        _exit(TERMINATED, f"\n{program}: {'stopped' if endless else 'terminated'}{how_to_resume}")
    except KeyboardInterrupt:
        _exit(INTERRUPTED, f"\n{program}: {'stopped' if endless else 'interrupted'}{how_to_resume}")
    except BrokenPipeError:
        drop_output(sys.stdout)
        sys.exit(BROKEN_PIPE)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and not error.filename and _is_output_full():
            error.filename = "standard output"
            drop_output(sys.stdout)
        _exit(FAILED, f"{program}: {describe_os_error(error)}")
    except Exception as error:
        if is_out_of_memory(error):
            reason = first_line(error)[:100]
            _exit(FAILED, f"{program}: out of memory ({reason}); free memory or give --jobs 1, then run it again")
        traceback.print_exc()
        _exit(FAILED, f"{program}: This is a bug in earmark; please report it with the lines above")


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM, unless something else listens to it; what is half-written is removed."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not ours:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _is_output_full() -> bool:
    """Whether nothing more can be written to stdout; where it can, an empty line is."""
    try:
        print(flush=True)
    except OSError:
        return True
    return False


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def _exit(status: int, text: str) -> NoReturn:
    """End with a message, whose lines are cut where a damaged file has put a long value into them."""
    lines = [line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + " ..." for line in text.split("\n")]
    print("\n".join(lines), file=sys.stderr)
    sys.exit(status)


def _set_up_streams() -> None:
    """Write UTF-8 to files and pipes: code pages of Windows have no true minus sign. Drop what goes to a closed one."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8", newline="")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8", newline="")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty() and "PYTHONIOENCODING" not in os.environ:
            stream.reconfigure(encoding="utf-8")


def _set_up_warnings() -> None:
    log = logging.getLogger("earmark")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    log.handlers = [handler]
    shown: set[str] = set()

    def show(text: str) -> None:
        """Once, wherever it was raised: several steps of one command may find the same."""
        if text not in shown:
            shown.add(text)
            log.warning("%s", text)

    warnings.showwarning = lambda message, *_: show(str(message))
