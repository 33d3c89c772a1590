"""Tables of text in a narrow terminal."""

import io

import pytest

from earmark.runtime.text_tables import align_columns

ROWS = [
    ["in %", "accuracy", "95 % interval", "verdict"],
    ["baseline", "80.0", "75.0 to 84.0", "practically equal"],
    ["se", "81.5", "77.0 to 85.0", "undecided"],
]
WHOLE = """\
in %      accuracy  95 % interval            verdict
baseline      80.0   75.0 to 84.0  practically equal
se            81.5   77.0 to 85.0          undecided"""
BROKEN = """\
                            95 %             
in %      accuracy      interval      verdict
baseline      80.0  75.0 to 84.0  practically
                                        equal
se            81.5  77.0 to 85.0    undecided"""
BELOW_NAMES = """\
in %
                    95 %             
  accuracy      interval      verdict
baseline
      80.0  75.0 to 84.0  practically
                                equal
se
      81.5  77.0 to 85.0    undecided"""


@pytest.mark.parametrize(
    ("width", "expected"), [(0, WHOLE), (52, WHOLE), (51, BROKEN), (45, BROKEN), (44, BELOW_NAMES), (20, WHOLE)]
)
def test_a_table_that_is_too_wide_is_broken_between_words_and_then_below_names(width, expected):
    assert align_columns(ROWS, width) == expected


def test_the_width_is_that_of_the_terminal_and_a_file_has_none(monkeypatch):
    monkeypatch.setenv("COLUMNS", "45")
    assert align_columns(ROWS) == WHOLE
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert align_columns(ROWS) == BROKEN


def test_a_header_without_a_name_and_a_table_without_rows():
    assert align_columns([["", "one two"], ["a", "1"]], 6) == "   one\n   two\na    1"
    assert align_columns([["name", "n"]], 80) == "name  n"
    assert align_columns([["", "n"], ["longer", "1"]], 6) == "  n\nlonger\n  1"
