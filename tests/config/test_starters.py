"""`earmark init`: the configs that come with earmark, as commented files."""

import re
import tomllib
from dataclasses import is_dataclass

import pytest

from earmark.config.describe import settings
from earmark.config.starters import comment_settings, config_folder, starter_names, write_starter
from earmark.config.suite import SuiteConfig, read_suite
from earmark.config.training import TrainConfig
from earmark.runtime.errors import EarmarkError


@pytest.mark.parametrize("name", starter_names())
def test_a_starter_is_the_config_that_it_is_named_after(name, tmp_path):
    write_starter(name, tmp_path / "a.toml")
    assert read_suite(tmp_path / "a.toml") == read_suite(config_folder() / f"{name}.toml")


def test_the_first_names_are_those_that_most_people_start_from():
    assert starter_names()[:5] == ["own", "esc10", "esc50", "emodb", "probe"]
    assert not [name for name in starter_names() if name.startswith("product_")]


@pytest.mark.parametrize("name", starter_names())
def test_without_the_comment_signs_it_is_the_same_suite(name):
    """The comments are valid TOML, with the defaults, in the section that they belong to."""
    text = comment_settings((config_folder() / f"{name}.toml").read_text(encoding="utf-8"))
    head, *sections = re.split(r"^(?=(?:# )?\[\w+\]$)", text, flags=re.MULTILINE)
    head = re.sub(r"^# (?=\w+ = )", "", head, flags=re.MULTILINE)
    bare = head + "".join(re.sub(r"^# (?=[\w\[])", "", section, flags=re.MULTILINE) for section in sections)
    content = tomllib.loads(bare)
    assert {s.name for s in settings(SuiteConfig)} - {"variants"} <= set(content)
    assert set(content["train"]) == {s.name for s in settings(TrainConfig)}


def test_it_names_its_own_file_in_the_command(tmp_path):
    write_starter("own", tmp_path / "sub" / "mine.toml")
    text = (tmp_path / "sub" / "mine.toml").read_text(encoding="utf-8")
    assert f"# earmark suite {(tmp_path / 'sub' / 'mine.toml').as_posix()} --data.root clips.csv\n" in text


def test_an_existing_file_is_kept(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(EarmarkError, match=r"own\.toml: exists; choose another file with -o, or replace it with --fo"):
        write_starter("own", path)
    assert path.read_text(encoding="utf-8") == "mine"
    write_starter("own", path, force=True)
    assert read_suite(path).name == "own"


def test_an_unknown_name_is_refused_with_the_nearest_one(tmp_path):
    with pytest.raises(EarmarkError, match="config 'esc1': does not come with earmark; did you mean 'esc10'"):
        write_starter("esc1", tmp_path / "a.toml")


def test_every_setting_has_a_meaning():
    for section in settings(SuiteConfig):
        if not is_dataclass(section.annotation):
            assert section.meaning, section.name
            continue
        for setting in settings(section.annotation):
            assert setting.meaning.endswith("."), f"{section.name}.{setting.name}"
