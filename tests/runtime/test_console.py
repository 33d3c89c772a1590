"""The status line on a terminal."""

import io
import sys

from earmark.runtime import console
from earmark.runtime.console import Progress, progress_bar


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


def test_a_bar_is_for_terminals_and_a_log_gets_a_line_now_and_then(monkeypatch, capsys):
    assert list(progress_bar(range(3), "audit", 3, "clip")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(console, "LOG_SECONDS", -1.0)
    assert list(progress_bar("ab", "audit", 2, "clip")) == ["a", "b"]
    assert capsys.readouterr().err == "audit: 1 of 2 clips\naudit: 2 of 2 clips\n"
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress_bar("ab", "audit", 2, "clip")) == ["a", "b"]
    assert "audit: 100%" in terminal.getvalue()


def test_a_terminal_breaks_prose_between_words_and_tables_not_at_all(monkeypatch, capsys):
    prose, table = "Note: none lacks two of the non-empty runs.", "none    62.5    39.3 to 81.1    1    2    3"
    console.print_wrapped(f"{prose}\n\n{table}")
    assert capsys.readouterr().out == f"{prose}\n\n{table}\n", "a file gets lines as they are"
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "24")
    console.print_wrapped(f"{prose}\n\n{table}")
    lines = ["Note: none lacks two of", "  the non-empty runs.", "", table, ""]
    assert terminal.getvalue().split("\n") == lines
    console.print_wrapped(row := "| random_clips | accuracy | 32.5 | 52.5 |")
    assert terminal.getvalue().endswith(f"\n{row}\n")
