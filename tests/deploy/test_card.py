"""The model card: text of users stays text."""

import ast
import re

from earmark.config.sections import FrontEndConfig
from earmark.deploy.card import format_card
from earmark.deploy.info import ModelInfo


def test_hostile_names_stay_text():
    classes = ("a|b", "<script>alert(1)</script>", "[x](javascript:alert(1))", "two\nlines")
    card = format_card(ModelInfo(classes, FrontEndConfig(8000), 10, "baseline_cnn"), 'm"); import os #')
    (row,) = [line for line in card.splitlines() if line.startswith("| classes |")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 3
    assert not re.findall(r"(?<!\\)[<\[]", row)
    code = ast.parse(re.search(r"```python\n(.*?)```", card, re.DOTALL)[1])
    imported = [name.name for node in ast.walk(code) if isinstance(node, ast.Import) for name in node.names]
    assert imported == ["earmark"]
