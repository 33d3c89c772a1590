"""The status line on a terminal."""

import io
import sys

from earmark.runtime.console import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(text: str) -> list[str]:
    """What a terminal shows: a carriage return goes back to the start of the line, which is written over."""
    lines = []
    for line in text.split("\n"):
        cells: list[str] = []
        for part in line.split("\r"):
            cells[: len(part)] = part
        lines.append("".join(cells).rstrip())
    return lines


def test_nothing_of_a_status_is_left_beside_what_follows(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress()
    progress.status("a long status")
    progress.status("short")
    assert shown(terminal.getvalue()) == ["short"]
    progress.line("stays")
    progress.status("again")
    progress.clear()
    print("result", file=terminal)
    assert shown(terminal.getvalue()) == ["stays", "result", ""]
