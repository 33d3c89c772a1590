"""Whatever is changed in a file that earmark reads back: it is read, or ends in one line (property-based)."""

import random
import shutil
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earmark.runtime.errors import EarmarkError
from readers import READERS, TOKENS, mutate, write_valid_files


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    return write_valid_files(tmp_path_factory.mktemp("valid"))


@pytest.fixture(scope="module")
def folder(valid, tmp_path_factory):
    """A copy of the valid files; each test restores what it changes."""
    return shutil.copytree(valid, tmp_path_factory.mktemp("changed") / "files")


def read_changed(valid, folder, reader, content):
    """Read the folder with one file changed; an `EarmarkError` is one line."""
    (folder / reader.file).write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(folder)
    except EarmarkError as error:
        assert "\n" not in str(error)
    finally:
        shutil.copyfile(valid / reader.file, folder / reader.file)


@pytest.mark.parametrize("name", READERS)
def test_the_valid_file_is_read(valid, name):
    READERS[name].read(valid)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("name", READERS)
def test_a_changed_file_is_read_or_named(valid, folder, name, seed):
    reader = READERS[name]
    read_changed(valid, folder, reader, mutate((valid / reader.file).read_bytes(), random.Random(seed)))


@pytest.mark.parametrize("content", [b"", b"a,b\n1\n", b"\xff\xfe\0", b"[1]", *TOKENS])
@pytest.mark.parametrize("name", READERS)
def test_a_replaced_file_is_read_or_named(valid, folder, name, content):
    read_changed(valid, folder, READERS[name], content)
