"""The JSON Schema of the configs: accepts what `read_suite` accepts, and refuses what it refuses by type or name."""

import tomllib
from pathlib import Path

import jsonschema
import pytest

from earmark.config.json_schema import suite_schema
from earmark.config.suite import read_suite
from earmark.runtime.errors import EarmarkError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
VALIDATOR = jsonschema.Draft7Validator(suite_schema())


def test_the_schema_is_a_schema():
    jsonschema.Draft7Validator.check_schema(suite_schema())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_committed_configs_are_accepted(path):
    VALIDATOR.validate(tomllib.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "text",
    [
        "epochs = 3",
        "[train]\nbacth_size = 3",
        "[train]\nepochs = '3'",
        "[train]\nepochs = 0",
        "[front_end]\nn_mels = 5000",
        "[front_end]\nmel_scale = 'bark'",
        "seeds = 42",
        "[variants.a]\nmodel = 'resnet50'",
        "[variants.a]\ndata.root = 'elsewhere'",
        "[variants.a]\nmodel.atention = 'se'",
    ],
)
def test_mistakes_are_refused_by_both(text, tmp_path):
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    with pytest.raises(EarmarkError, match=r"a\.toml"):
        read_suite(tmp_path / "a.toml")
    assert not VALIDATOR.is_valid(tomllib.loads(text))


def test_every_setting_has_a_description_and_a_default():
    for name, table in suite_schema()["definitions"].items():
        for key, schema in table["properties"].items():
            assert schema["description"].endswith("."), f"{name}.{key}"
            assert "default" in schema or schema["type"] == "object", f"{name}.{key}"
