"""How a script of `product/` runs: options with underscores, errors in the words of its options."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TypeVar

from earmark.cli.errors import report_errors
from earmark.cli.parsing import parse_command_line

Arguments = TypeVar("Arguments")

OPTIONS = {
    "as split.kind = 'group_kfold' or 'holdout' does": "as product/datasets/make_split.py and make_split_emodb.py do",
    "model.weights": "--weights",
    "split.val_ratio": "--val_ratio",
    "train.batch_size": "--batch_size",
    "train.epochs": "--epochs",
    "train.lr": "--lr",
    "train.weight_decay": "--weight_decay",
}
"""The options of the scripts by the settings of earmark that they stand for."""


def run_script(program: str, work: Callable[[Arguments], None], default: Arguments) -> None:
    """Parse the command line and run `work`, whose docstring is the help.

    Errors end as they do with `earmark`: see `earmark.cli.errors`.

    Args:
        default: a dataclass whose fields are the options, with their default values.
    """
    with report_errors(program, use_option_names):
        options = {"default": default, "description": work.__doc__, "use_underscores": True}
        work(parse_command_line(type(default), sys.argv[1:], program, **options))


def use_option_names(message: str) -> str:
    """A message in which settings of earmark are replaced by the options of the scripts."""
    return re.sub("|".join(map(re.escape, OPTIONS)), lambda match: OPTIONS[match[0]], message)
