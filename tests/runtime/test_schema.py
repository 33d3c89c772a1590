"""The check of JSON content: what fits passes, and a message names file, key, value and the type that it must have."""

import json

import pytest

from earmark.runtime.schema import SchemaError, check_schema, read_json

SCHEMA = {
    "id": str,
    "n": int,
    "loss": float | None,
    "leaks": [str],
    "split": {"kind": str, "waiver?": str},
    "recall": {str: float | None},
}
GOOD = {"id": "a", "n": 3, "loss": None, "leaks": ["x"], "split": {"kind": "folds"}, "recall": {"rain": 1}, "more": {}}


def test_content_that_fits_passes():
    check_schema(GOOD, SCHEMA, "result.json")
    check_schema(GOOD | {"loss": 0.5, "leaks": [], "recall": {}}, SCHEMA, "result.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 3}, r"^result\.json: id = 3 must be text$"),
        ({"id": None}, r"id = null must be text"),
        ({"n": 3.5}, r"n = 3\.5 must be a whole number"),
        ({"n": True}, r"n = true must be a whole number"),
        ({"loss": "low"}, r'loss = "low" must be a number or null'),
        ({"loss": float("nan")}, r"loss = NaN must be a number or null"),
        ({"loss": 10**400}, r"loss = 10+\.\.\. must be a number or null"),
        ({"leaks": "x"}, r'leaks = "x" must be a list'),
        ({"leaks": ["x", 1]}, r"leaks\[1\] = 1 must be text"),
        ({"split": []}, r"split = \[\] must be a table"),
        ({"split": {}}, r"^result\.json lacks the key 'split\.kind'$"),
        ({"split": {"kind": "folds", "waiver": 0}}, r"split\.waiver = 0 must be text"),
        ({"recall": {"rain": "x"}}, r'recall\.rain = "x" must be a number or null'),
    ],
)
def test_content_that_does_not_fit_is_named(change, message):
    with pytest.raises(SchemaError, match=message):
        check_schema(GOOD | change, SCHEMA, "result.json")


def test_content_that_is_no_table_is_named():
    with pytest.raises(SchemaError, match=r"^result\.json: \[\] must be a table$"):
        check_schema([], SCHEMA, "result.json")


def test_files_are_read_and_checked(tmp_path):
    path = tmp_path / "result.json"
    with pytest.raises(SchemaError, match=r"^result\.json cannot be read: No such file"):
        read_json(path, SCHEMA)
    path.write_text("{")
    with pytest.raises(SchemaError, match=r"^result\.json is not JSON: Expecting"):
        read_json(path, SCHEMA)
    path.write_bytes(b"\xff")
    with pytest.raises(
        SchemaError, match=r"^result\.json is not UTF-8 text \(byte 0x[0-9a-f]{2}\); save it again as UTF-8$"
    ):
        read_json(path, SCHEMA)
    path.write_text("[" * 100_000)
    with pytest.raises(SchemaError, match=r"^result\.json is not JSON"):
        read_json(path, SCHEMA)
    path.write_text(json.dumps(GOOD))
    assert read_json(path, SCHEMA) == GOOD
