"""The column that divides clips: found in a table by clip id or by file name, or refused."""

import pytest

from earmark.runs.columns import MAX_VALUES, read_column
from earmark.runtime.errors import EarmarkError

LABELS = {f"clip{i}": "dog" if i % 3 else "rain" for i in range(60)}


def test_values_are_found_by_id_and_by_the_name_of_the_file(tmp_path):
    (tmp_path / "ids.csv").write_text("clip_id,site\na,1\nb,\nother,2\n", encoding="utf-8")
    (tmp_path / "paths.csv").write_text("path,site\nfar/a.wav,1\n../b.flac,2\n", encoding="utf-8")
    with pytest.raises(EarmarkError, match="is '1' for all clips"):
        read_column("site", {"a": "x", "b": "y"}, tmp_path / "ids.csv")
    found = read_column("site", {"a": "x", "b": "y"}, tmp_path / "paths.csv")
    assert found == ("site", {"a": "1", "b": "2"})
    (tmp_path / "files.csv").write_text("filename,site\na.wav,1\nb.wav,2\n", encoding="utf-8")
    assert read_column("site", {"a": "x", "b": "y"}, tmp_path / "files.csv") == found


def test_labels_need_no_table():
    assert read_column("label", LABELS).value_of_clip == LABELS


@pytest.mark.parametrize(
    ("column", "table", "message"),
    [
        ("site", None, "by = 'site': give the table with this column as --clips"),
        ("sit", "meta.csv", "no column of .*meta.csv; did you mean 'site'"),
        ("same", "meta.csv", "by = 'same': is 'x' for all clips; give a column with two values or more"),
        ("year", "meta.csv", f"by = 'year': 60 different values, and {MAX_VALUES} is the most"),
        ("site", "absent.csv", "absent.csv: cannot be read"),
    ],
)
def test_a_column_that_cannot_be_used_is_refused(tmp_path, column, table, message):
    rows = [f"{clip_id}.wav,{i % 2},{i},x" for i, clip_id in enumerate(LABELS)]
    (tmp_path / "meta.csv").write_text("\n".join(["path,site,year,same", *rows]), encoding="utf-8")
    with pytest.raises(EarmarkError, match=message):
        read_column(column, LABELS, tmp_path / table if table else None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["name,site", "a,1"], "has neither a column 'clip_id' nor 'path'"),
        (["clip_id,site", "a,1", "a,2", "b,1"], "line 3: site of clip a is '2', and '1' above; correct one"),
        (["clip_id,site", "a,1"], r"no row for 1 clip of the runs \(b\); add one each, with an empty site"),
        (["clip_id,site,site", "a,1,2", "b,2,1"], "has the column 'site' twice; rename or delete one"),
        (["clip_id,site,clip_id", "a,1,b", "b,2,a"], "has the column 'clip_id' twice; rename or delete one"),
        (["clip_id,site", "a,", "b,"], "by = 'site': is empty for all clips"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, rows, message):
    (tmp_path / "t.csv").write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(EarmarkError, match=message):
        read_column("site", {"a": "x", "b": "y"}, tmp_path / "t.csv")
