"""The `earmark` command: one verb per station of the road.

tyro makes the arguments from the signatures of the verbs in `earmark.commands`. Nothing heavy is imported before a
verb needs it, so that `earmark --help` answers at once.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Sequence

import tyro

import earmark
from earmark.cli import models as use
from earmark.cli import recordings, runs
from earmark.cli.errors import report_errors
from earmark.config.sections import ConfigError

VERBS: dict[str, Callable[..., None]] = {
    "demo": runs.demo,
    "download": recordings.download,
    "manifest": recordings.manifest,
    "validate": recordings.validate,
    "spectrograms": recordings.spectrograms,
    "augment": recordings.augment,
    "show": recordings.show,
    "split": recordings.split,
    "audit": recordings.audit,
    "models": use.models,
    "train": runs.train,
    "suite": runs.suite,
    "status": runs.status,
    "aggregate": runs.aggregate,
    "report": runs.report,
    "optimism": runs.optimism,
    "predict": use.predict,
}
WITH_CONFIG = ("train", "suite", "optimism")
"""Verbs whose first argument is a config file that the other arguments override."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake of the user ends as one line on stderr and exit status 2."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        print(overview())
        return
    if args[0] == "--version":
        print(f"earmark {earmark.__version__}")
        return
    verb, rest = args[0], args[1:]
    with report_errors(f"earmark {verb}"):
        if verb not in VERBS:
            raise ConfigError(f"{verb!r} is no verb{_nearest(verb)}")
        if verb in WITH_CONFIG:
            VERBS[verb](rest)
        else:
            tyro.cli(VERBS[verb], args=rest, prog=f"earmark {verb}")


def overview() -> str:
    """What `earmark --help` prints: every verb with its first sentence, in the order of the road."""
    lines = [f"  {verb:<13}{str(function.__doc__).splitlines()[0]}" for verb, function in VERBS.items()]
    return "\n".join(
        [
            "usage: earmark VERB [ARGUMENTS]     (earmark VERB --help says more)",
            "",
            str(earmark.__doc__).removeprefix("earmark: "),
            "",
            *lines,
            "",
            "Start with `earmark demo`.",
        ]
    )


def _nearest(verb: str) -> str:
    close = difflib.get_close_matches(verb, VERBS, n=1)
    return f"; did you mean {close[0]!r}?" if close else "; `earmark --help` lists them"
