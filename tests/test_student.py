"""The page for students: its pictures are those of the script, its numbers those of pictures and protocol."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
NUMBER = r"(-?\d+(?:\.\d+)?)"
PAGE = (ROOT / "docs" / "student.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script():
    """The module site/student_pictures.py."""
    spec = importlib.util.spec_from_file_location("student_pictures", ROOT / "site" / "student_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pictures_are_up_to_date(script):
    for name, picture in script.PICTURES.items():
        committed, made = (
            re.split(NUMBER, text) for text in ((ROOT / "docs" / name).read_text(encoding="utf-8"), picture())
        )
        assert committed[::2] == made[::2], name
        # random numbers of other versions of NumPy differ in the last digits
        np.testing.assert_allclose(np.float64(committed[1::2]), np.float64(made[1::2]), atol=0.5, err_msg=name)
        assert f"]({name})" in PAGE


def test_the_numbers_in_the_text_are_those_of_the_simulations_and_of_the_protocol(script):
    assert f"best of 50 epochs is {script.best_epoch_gain(100, 50, 0.8):.1f} points" in PAGE
    assert f"400 test clips, {script.best_epoch_gain(400, 50, 0.8):.1f} points" in PAGE
    assert f"in {100 * script.coverage(False):.0f} % of 2000" in PAGE
    assert f"over recordings in {100 * script.coverage(True):.0f} %" in PAGE
    assert f"true score is {100 * script.true_score():.0f} %" in PAGE
    protocol = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    published = re.findall(r"\| ([+-]?[\d.]+) \(([+-][\d.]+) to ([+-][\d.]+)\)", protocol)
    for name, *values in script.LEAKS:
        assert values in [[float(text) for text in row] for row in published], name
