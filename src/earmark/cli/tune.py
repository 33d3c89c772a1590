"""The command that chooses settings: tune."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from earmark.cli.arguments import OptionalOutput, check_arguments
from earmark.cli.training import ConfigArguments, parse_arguments, train_and_compare

if TYPE_CHECKING:
    from earmark.analysis.tuning import Tuning
    from earmark.runs.search_plan import SearchPlan


def tune(argv: Sequence[str]) -> int:
    """Choose settings on inner folds of the training subset.

    The space is in the section [search] of the config. No test clip is read. Writes tuned.toml, a config for `earmark
    suite`. Ctrl-C interrupts, the same command resumes.

    Example: earmark tune esc10-tune.toml --data.root data/ESC-50 --trials 8
    """

    @dataclass(frozen=True)
    class TuneArguments(ConfigArguments):
        trials: int = 0
        """Trials for each variant and fold; 0: `search.trials`."""
        minutes: float = 0.0
        """Begin no further round after this time; 0: `search.minutes`."""
        output: OptionalOutput = None
        """Also write the config with the chosen settings to this file."""
        score: Annotated[bool, tyro.conf.arg(name="suite")] = False
        """Then train and score what was chosen, as `earmark suite` does with tuned.toml."""
        dry_run: bool = False
        """Only print what is searched, and how much training it is."""

    given = parse_arguments(tune, TuneArguments, argv)
    check_arguments("tune", {"config": Path(argv[0]), "output": given.output})
    search = given.suite.search
    search = replace(search, trials=given.trials or search.trials, minutes=given.minutes or search.minutes)
    from earmark.runs.plan import plan_suite
    from earmark.runs.search_plan import describe_search, plan_search
    from earmark.runs.tune import tune as run_search
    from earmark.runs.tune import tuned_suite

    plan = plan_search(replace(given.suite, search=search), given.options)
    print("\n".join(describe_search(plan)), flush=True)
    if given.dry_run:
        return 0
    tuning = run_search(plan, print)
    _print_outcome(plan, tuning, given.output)
    if not given.score:
        return 0
    suite = tuned_suite(plan, tuning)
    return train_and_compare(plan_suite(suite, given.options), suite, given.options, "tune")


def _print_outcome(plan: SearchPlan, tuning: Tuning, output: Path | None) -> None:
    """What was chosen and what it is worth, and where the config lies."""
    from earmark.analysis.tuning import CONFIG, read_trials
    from earmark.analysis.tuning_tables import (
        choices_table,
        ends_text,
        stability_text,
        ties_text,
        worth_table,
        worth_text,
    )
    from earmark.runtime.files import write_text
    from earmark.runtime.text_tables import align_columns

    path = plan.folder / CONFIG
    for table in (choices_table(tuning), worth_table(tuning, {})):
        print(f"\n{table.title}\n{align_columns(table.texts())}")
    trials = read_trials(plan.folder)
    texts = worth_text(tuning, {}), ties_text(tuning, trials), stability_text(tuning), ends_text(tuning, trials)
    print("\n" + "\n".join(filter(None, texts)))
    if output:
        write_text(output, path.read_text(encoding="utf-8"))
    print(f"\nThe chosen settings: {output or path}")
