"""Whatever is changed in the files of a run: it is read, or ends in one line that names the run (property-based)."""

import csv
import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earmark.analysis.aggregate import aggregate
from earmark.analysis.records import read_runs
from earmark.analysis.tables import write_tables
from earmark.report.page import write_report
from earmark.runtime.errors import EarmarkError
from run_folders import make_clips, write_suite

JSON_FILES = ("config.json", "result.json", "timing.json")
CSV_FILES = ("predictions.csv", "split.csv", "history.csv")
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**30, -(10**30), 1e300, float("nan"), float("inf")]),
    st.floats(-2, 2),
    st.text(max_size=3),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(0, 3), max_size=2),
)
CELLS = st.one_of(st.text(max_size=4), st.sampled_from(["", "nan", "inf", "-1", "1e999", "0", "bark", '"', "\0", "é"]))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A suite of two variants, two folds and one seed, in the folder `toy`."""
    return write_suite(tmp_path_factory.mktemp("sound"), n_folds=2, seeds=(1,), clips=make_clips(2, 4, 2))


@pytest.fixture
def copy_of(sound, tmp_path):
    """A function that gives a fresh copy of the suite and one of its run folders."""

    def copy():
        shutil.rmtree(tmp_path / "toy", ignore_errors=True)
        shutil.copytree(sound, tmp_path / "toy")
        return tmp_path / "toy", min((tmp_path / "toy").iterdir())

    return copy


def use(runs):
    """Everything that reads run folders; an error is one line that names the run."""
    try:
        records = read_runs(runs)
        write_tables(aggregate(records), runs / "tables")
        write_report(records, runs / "report.html")
    except EarmarkError as error:
        assert "\n" not in str(error)
        assert "run" in str(error)


def places(content, path=()):
    """The path of every value in nested tables and lists."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def change(content, path, value, delete):
    *parents, last = path
    for key in parents:
        content = content[key]
    if delete:
        del content[last]
    else:
        content[last] = value


PROPERTY = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@PROPERTY
@given(st.data())
@pytest.mark.parametrize("file", JSON_FILES)
def test_changed_json_is_read_or_named(copy_of, file, data):
    runs, folder = copy_of()
    content = json.loads((folder / file).read_text())
    path = data.draw(st.sampled_from(sorted(places(content), key=str)))
    change(content, path, data.draw(VALUES), data.draw(st.booleans()))
    (folder / file).write_text(json.dumps(content))
    use(runs)


@PROPERTY
@given(st.data())
@pytest.mark.parametrize("file", CSV_FILES)
def test_changed_csv_is_read_or_named(copy_of, file, data):
    runs, folder = copy_of()
    with (folder / file).open(newline="") as opened:
        rows = list(csv.reader(opened))
    row = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.integers(0, len(rows[0]) - 1))
    kind = data.draw(st.sampled_from(["cell", "row", "column", "short row", "repeat"]))
    if kind == "cell":
        rows[row][column] = data.draw(CELLS)
    elif kind == "row":
        del rows[row]
    elif kind == "column":
        rows = [line[:column] + line[column + 1 :] for line in rows]
    elif kind == "short row":
        rows[row] = rows[row][:column]
    else:
        rows.append(rows[row])
    text = "\n".join(",".join(line) for line in rows)
    (folder / file).write_bytes(text.encode("utf-8" if data.draw(st.booleans()) else "utf-16"))
    use(runs)


@pytest.mark.parametrize("file", [*JSON_FILES, *CSV_FILES, "split.json"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"[]", b"null", b"3", b"a,b\n1\n"])
def test_replaced_files_are_read_or_named(copy_of, file, content):
    runs, folder = copy_of()
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    use(runs)
