"""Verbs on runs: train, suite, status, aggregate, report, demo."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from earmark.cli.arguments import Given, OptionalOutput, Output
from earmark.config.sections import ConfigError, Options
from earmark.config.suite import SuiteConfig, read_suite


def demo(folder: Path = Path("earmark-demo"), jobs: int = 0) -> None:
    """Run the whole road on synthesised sounds: no download, about a minute.

    Example: earmark demo

    Args:
        folder: Where everything is written.
        jobs: Runs trained at the same time; 0 takes one per core.
    """
    from earmark.demo import run_demo

    run_demo(folder, jobs)


def suite(argv: Sequence[str]) -> None:
    """Train variants x folds x seeds and compare them; finished runs are skipped.

    Example: earmark suite configs/esc10.toml --data.root data/ESC-50
    """

    @dataclass(frozen=True)
    class Arguments:
        suite: Annotated[SuiteConfig, tyro.conf.arg(name="")]
        options: Annotated[Options, tyro.conf.arg(name="")] = field(default_factory=Options)
        dry_run: bool = False
        """Only list the runs, which of them are finished, and how long the others will take."""
        print_commands: bool = False
        """Only print one `earmark train` line per missing run, for a job array or GNU parallel."""

    config, rest = _config_and_rest("suite", argv)
    given = _parse("suite", Arguments, rest, Arguments(config), str(suite.__doc__))
    from earmark.runs.suite import plan_suite, run_suite

    planned = plan_suite(given.suite, given.options)
    if given.dry_run or given.print_commands:
        _print_plan(planned.jobs, argv if given.print_commands else ())
        return
    failures = run_suite(planned, given.options)
    _say_who_else_trains(planned, failures)
    if len(planned.missing) < len(planned.jobs):
        _summarise(given.options.runs / given.suite.name)
    if failures:
        raise ConfigError(f"{len(failures)} of {len(planned.jobs)} runs failed: {'; '.join(_each(failures))}")


def _say_who_else_trains(planned: Any, failures: dict[str, str]) -> None:
    """Name the runs that were left to another process."""
    for name in (job.folder.name for job in planned.missing):
        if name not in failures:
            print(f"{name}: another process is training it; it was left alone")


def _print_plan(jobs: Sequence[Any], argv: Sequence[str]) -> None:
    """List the runs, or with the arguments of `earmark suite` the command lines that train the missing ones."""
    from earmark.runs.status import remaining_time

    for job in jobs:
        if not argv:
            print(f"{'finished' if job.finished else 'to do   '}  {job.folder}")
        elif not job.finished:
            run = job.config
            own = ["--variant", run.variant, "--fold", str(run.fold), "--seed", str(run.seed)]
            given = [argument for argument in argv if argument.replace("_", "-") != "--print-commands"]
            print(shlex.join(["earmark", "train", *given, *own]))
    if not argv:
        print(remaining_time([job.folder for job in jobs]))


def train(argv: Sequence[str]) -> None:
    """Train one run of a suite: one variant, one fold, one seed.

    Example: earmark train configs/esc10.toml --data.root data/ESC-50 --fold 1 --seed 42

    On several GPUs: torchrun --nproc-per-node 4 -m earmark train configs/esc50.toml
    """

    @dataclass(frozen=True)
    class Arguments:
        suite: Annotated[SuiteConfig, tyro.conf.arg(name="")]
        options: Annotated[Options, tyro.conf.arg(name="")] = field(default_factory=Options)
        variant: str = ""
        """Which variant of the config; empty takes the first."""
        fold: int = 0
        """Which fold is the test part; 0 takes the first."""
        seed: int = -1
        """Seed of training; -1 takes the first of the config."""

    config, rest = _config_and_rest("train", argv)
    given = _parse("train", Arguments, rest, Arguments(config), str(train.__doc__))
    from earmark.runs.suite import plan_suite, run_suite
    from earmark.training.distributed import join, leader_first, leave, rank_and_world

    options = replace(given.options, device=join(given.options.device))
    with leader_first():
        planned = plan_suite(given.suite.only(given.variant, given.fold, given.seed), options)
    for reason in run_suite(planned, options).values():
        raise ConfigError(reason)
    if rank_and_world()[0] == 0:
        _say_who_else_trains(planned, {})
        if not planned.missing:
            _summarise(planned.jobs[0].folder)
    leave()


def status(runs: Given) -> None:
    """Say of every run below a folder whether it is finished, training, stopped or failed.

    Example: earmark status runs/esc10

    Args:
        runs: A folder of runs.
    """
    from earmark.runs.status import read_states, state_line

    states = read_states(runs)
    for state in states:
        print(state_line(state))
    print(f"{sum(state.state == 'finished' for state in states)} of {len(states)} runs finished")


def aggregate(
    runs: Given, output: OptionalOutput = None, metric: Literal["accuracy", "uar"] = "accuracy", baseline: str = ""
) -> None:
    """Mean, spread and paired comparisons over finished runs, as CSV, Markdown and LaTeX.

    Example: earmark aggregate runs/esc10

    Args:
        runs: A folder of runs.
        output: Folder for results.csv, results.md and results.tex; the folder of runs if not given.
        metric: What variants are compared by.
        baseline: Compare all variants with this one only, instead of each with each.
    """
    from earmark.analysis.aggregate import aggregate as summarise
    from earmark.analysis.records import read_runs
    from earmark.analysis.tables import write_tables

    print(write_tables(summarise(read_runs(runs), metric, baseline), output or runs))


def report(
    runs: Given,
    output: Output = Path("report.html"),
    metric: Literal["accuracy", "uar"] = "accuracy",
    baseline: str = "",
    audit: Path | None = None,
) -> None:
    """One HTML page that shows the comparison; it opens from disk without network.

    Example: earmark report runs/esc10 -o report.html

    Args:
        runs: A folder of runs.
        output: Where to write the page.
        metric: What variants are compared by.
        baseline: Compare all variants with this one only, instead of each with each.
        audit: What `earmark audit --json` wrote, to show it as a section.
    """
    from earmark.analysis.records import read_runs
    from earmark.audit.record import read_audit
    from earmark.report.page import write_report

    write_report(read_runs(runs), output, metric, baseline, read_audit(audit) if audit else None)
    print(output)


def optimism(argv: Sequence[str]) -> None:
    """Train the first variant of a suite under honest and leaky splits, and tell what each leak is worth.

    Example: earmark optimism configs/emodb.toml --data.root data/EmoDB
    """

    @dataclass(frozen=True)
    class Arguments:
        suite: Annotated[SuiteConfig, tyro.conf.arg(name="")]
        options: Annotated[Options, tyro.conf.arg(name="")] = field(default_factory=Options)

    config, rest = _config_and_rest("optimism", argv)
    given = _parse("optimism", Arguments, rest, Arguments(config), str(optimism.__doc__))
    from earmark.analysis.records import read_runs
    from earmark.runs.leak_study import format_inflation, measure_inflation, plan_inflation
    from earmark.runs.suite import run_suite

    planned = plan_inflation(given.suite, given.options)
    failures = run_suite(planned, given.options)
    folder = planned.jobs[0].folder.parent
    table = format_inflation(measure_inflation(read_runs(folder)))
    (folder / "inflation.md").write_text(table + "\n", encoding="utf-8")
    print(table)
    if failures:
        raise ConfigError(f"{len(failures)} of {len(planned.jobs)} runs failed: {'; '.join(_each(failures))}")


def _config_and_rest(verb: str, argv: Sequence[str]) -> tuple[SuiteConfig, Sequence[str]]:
    """The config file that comes first, and the arguments behind it."""
    if argv and argv[0] in ("-h", "--help"):
        return SuiteConfig(), argv
    if not argv or argv[0].startswith("-"):
        raise ConfigError(f"the config comes first: earmark {verb} configs/esc10.toml [--section.setting value ...]")
    return read_suite(argv[0]), argv[1:]


def _parse(verb: str, kind: type, argv: Sequence[str], default: Any, description: str) -> Any:
    return tyro.cli(kind, args=argv, default=default, prog=f"earmark {verb} CONFIG.toml", description=description)


def _summarise(runs: Path) -> None:
    """Print the table over the finished runs of a folder."""
    from earmark.analysis.aggregate import aggregate as summarise
    from earmark.analysis.records import read_runs
    from earmark.analysis.tables import write_tables

    print(write_tables(summarise(read_runs(runs)), runs))


def _each(failures: dict[str, str]) -> list[str]:
    return [f"{name} ({reason})" for name, reason in failures.items()]
