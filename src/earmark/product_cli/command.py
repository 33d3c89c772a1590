"""How a documented script runs: arguments with underscores, mistakes as one line in the words of its options."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import tyro

from earmark.cli.errors import report_errors

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
"""What a documented script says instead of a setting of earmark."""


def run_script(program: str, work: Callable[[Arguments], None], default: Arguments) -> None:
    """Read the command line over `default` and do the work.

    A mistake of the user ends as one line on stderr and exit status 2, as with `earmark` itself.

    Args:
        default: a dataclass whose fields are the options; its values stand where none is given.
    """
    given = tyro.cli(type(default), default=default, prog=program, description=work.__doc__, use_underscores=True)
    with report_errors(program, in_options):
        work(given)


def in_options(message: str) -> str:
    """A message with the options of the documented scripts instead of settings."""
    return re.sub("|".join(map(re.escape, OPTIONS)), lambda match: OPTIONS[match[0]], message)
