"""The error that a user can fix, and the suggestion that ends its message."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EarmarkError(ValueError):
    """A mistake of the user: the message gives name, value and remedy, and the command line prints it as one line.

    Any other exception is a bug of earmark and keeps its traceback.
    """


def suggest(name: str, names: Iterable[str]) -> str:
    """How a message about an unknown name ends: with the nearest known one, or with all of them."""
    names = [str(known) for known in names]
    close = [known for known in names if known.lower() == name.lower()] or difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; choose from {', '.join(names)}"


NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "can't start new thread")
"""What libraries say that have no exception of their own for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this machine or its GPU, or what a process may use of it, had no memory left."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    known = isinstance(error, RuntimeError | ImportError)
    return known and any(text in str(error).lower() for text in NO_MEMORY)
