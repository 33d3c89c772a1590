"""Commands on runs: train, suite, status, reproduce, optimism."""

from __future__ import annotations

import contextlib
import inspect
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import tyro

from earmark.cli.arguments import OptionalName, OptionalOutput, OptionalPath, RunPath, RunsPath, check_arguments
from earmark.cli.errors import FOUND
from earmark.cli.parsing import parse_command_line
from earmark.cli.results import print_comparison
from earmark.config.sections import ConfigError, Options
from earmark.config.suite import SuiteConfig, read_suite
from earmark.runs.failures import describe_failures
from earmark.runtime.console import pluralize, print_wrapped

if TYPE_CHECKING:
    from earmark.runs.plan import PlannedRun, SuitePlan


@dataclass(frozen=True)
class ConfigArguments:
    """The arguments of a command that starts with a config: all settings of the suite, and the options."""

    suite: Annotated[SuiteConfig, tyro.conf.arg(name="")]
    options: Annotated[Options, tyro.conf.arg(name="")] = field(default_factory=Options)


Arguments = TypeVar("Arguments", bound=ConfigArguments)


def suite(argv: Sequence[str]) -> int:
    """Train variants x folds x seeds and compare them.

    Writes its plan first. Finished runs are skipped. Exit status 1 if a run failed.

    Example: earmark suite esc10.toml --data.root data/ESC-50
    """

    @dataclass(frozen=True)
    class SuiteArguments(ConfigArguments):
        dry_run: bool = False
        """Only list the runs, whether they are finished, and an estimate of the remaining time."""
        print_commands: bool = False
        """Only write the plan, and print one `earmark train` line per unfinished run, for a job array."""

    given = parse_arguments(suite, SuiteArguments, argv)
    from earmark.runs.plan import plan_suite

    plan = plan_suite(given.suite, given.options)
    from earmark.runs.declare import declare_plan

    if given.print_commands:
        declare_plan(plan, given.suite)
        _print_commands(plan.runs, argv)
        return 0
    if given.dry_run:
        _print_plan(plan.runs)
        return 0
    return train_and_compare(plan, given.suite, given.options, "suite")


def train_and_compare(plan: SuitePlan, suite: SuiteConfig, options: Options, command: str) -> int:
    """Make images, write the plan, train what is missing, and print the comparison; returns the exit status."""
    from earmark.runs.suite import run_declared

    failures = run_declared(plan, suite, options)
    _report_busy_runs(plan, failures)
    if len(plan.missing) < len(plan.runs):
        folder = options.runs / suite.name
        print_comparison([folder], folder)
    return report_failures(command, failures, len(plan.runs))


def train(argv: Sequence[str]) -> int:
    """Train one run of a suite: one variant, one fold, one seed.

    Exit status 1 if the run failed.

    Example: earmark train esc10.toml --data.root data/ESC-50 --fold 1 --seed 42

    On several GPUs: torchrun --nproc-per-node 4 -m earmark train esc50.toml
    """

    @dataclass(frozen=True)
    class TrainArguments(ConfigArguments):
        variant: str = ""
        """Variant of the config; empty uses the first."""
        fold: int = 0
        """Fold used as test subset; 0 uses the first of the config, or else fold 1."""
        seed: int = -1
        """Seed of training; -1 uses the first of the config."""

    given = parse_arguments(train, TrainArguments, argv)
    from earmark.runs.plan import plan_suite
    from earmark.runs.prepare import prepare_suite
    from earmark.runs.suite import run_suite
    from earmark.training.distributed import distributed_session, leader_first, rank_and_world

    with distributed_session(given.options.device) as device:
        options = replace(given.options, device=device)
        with leader_first():
            plan = plan_suite(given.suite.only(given.variant, given.fold, given.seed), options)
            prepare_suite(plan)
        failures = run_suite(plan, options)
        rank, world_size = rank_and_world()
        if failures and world_size > 1:  # the others may be waiting for this process: leave without waiting for them
            sys.exit(report_failures("train", failures, len(plan.runs)))
    if rank > 0:
        return 0
    _report_busy_runs(plan, failures)
    if not plan.missing:
        print_comparison([plan.runs[0].folder], plan.runs[0].folder)
    return report_failures("train", failures, len(plan.runs))


def status(runs: RunsPath, json: OptionalPath = None) -> int:
    """Show the state of all runs below a folder.

    A run is finished, training, waiting, interrupted, failed or damaged. Exit status 1 if one is failed or damaged.

    Example: earmark status runs/esc10

    Args:
        runs: A folder of runs.
        json: Write the states to this JSON file.
    """
    from earmark.runs.status import read_states, state_line, states_json, summary_lines
    from earmark.runtime.files import write_json

    states = read_states(runs)
    for state in states:
        print(state_line(state))
    for line in summary_lines(states):
        print(line)
    if json:
        write_json(json, states_json(states))
    return FOUND if {"failed", "damaged"} & {state.state for state in states} else 0


def reproduce(
    run: RunPath,
    output: OptionalOutput = None,
    data: OptionalPath = None,
    device: OptionalName = None,
    tolerance: float = 0.05,
) -> int:
    """Train a finished run again and compare weights and predictions.

    On the same platform, versions and threads all bytes must be equal. Exit status 1 if the runs differ.

    Example: earmark reproduce runs/esc10/se-fold1-seed42-0123456789

    Args:
        run: Folder of a run that was trained here or elsewhere.
        output: Folder to keep the second run and its images in; a temporary one if not given.
        data: Where the recordings are now; defaults to the data.root of the run.
        device: Where to train; defaults to the device of the run.
        tolerance: Mean total variation distance between probabilities, 0 to 1, on other platforms, versions or threads.
    """
    from earmark.runs.reproduce import reproduce as train_again
    from earmark.runtime.console import Progress

    progress = Progress()
    with contextlib.nullcontext(str(output)) if output else tempfile.TemporaryDirectory(prefix="earmark-") as folder:
        found = train_again(run, Path(folder), str(data or ""), device or "", progress.status)
    progress.line(f"{run}: trained again")
    for line in (*found.lines, *(f"changed: {change}" for change in found.changes)):
        print(f"  {line}")
    print(found.verdict(tolerance))
    return 0 if found.same(tolerance) else FOUND


def optimism(argv: Sequence[str]) -> int:
    """Measure how much leaky splits inflate a score.

    Trains the first variant of the config under the honest split and under leaky ones, in `<runs>/<name>-optimism/`,
    and writes inflation.md there. Exit status 1 if a run failed.

    Example: earmark optimism emodb.toml --data.root data/EmoDB
    """

    @dataclass(frozen=True)
    class OptimismArguments(ConfigArguments):
        dry_run: bool = False
        """Only write the augmented copies, list the runs, whether they are finished, and an estimate of the time."""

    given = parse_arguments(optimism, OptimismArguments, argv)
    from earmark.runs.leak_study import describe_inflation, plan_leak_study
    from earmark.runs.suite import run_suite
    from earmark.runtime.files import write_text

    plan = plan_leak_study(given.suite, given.options)
    first, *others = given.suite.variant_names
    place = f", the first of {len(others) + 1}" if others else ""
    print(f"variant {first}{place}: {pluralize(len(plan.missing), 'training')} of {len(plan.runs)} to do")
    if given.dry_run:
        _print_plan(plan.runs)
        return 0
    failures = run_suite(plan, given.options)
    _report_busy_runs(plan, failures)
    if len(plan.missing) < len(plan.runs):
        text = describe_inflation(plan)
        written = plan.runs[0].folder.parent / "inflation.md"
        write_text(written, text + "\n")
        print_wrapped(f"{text}\n\n{written}")
    return report_failures("optimism", failures, len(plan.runs))


def parse_arguments(command: Callable[..., int], kind: type[Arguments], argv: Sequence[str]) -> Arguments:
    """The arguments of a command that starts with a config: first its path, then what overrides its settings."""
    name = command.__name__
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help")):
        raise ConfigError(
            f"the config comes first: earmark {name} own.toml [--section.setting value ...]; "
            "`earmark init own` writes one"
        )
    config, rest = (SuiteConfig(), argv) if argv[0].startswith("-") else (read_suite(argv[0]), argv[1:])
    program = f"earmark {name} CONFIG.toml"
    given = parse_command_line(kind, rest, program, default=kind(config), description=inspect.getdoc(command))
    check_arguments(name, vars(given))
    return given


def _print_plan(runs: Sequence[PlannedRun]) -> None:
    """List the runs, whether they are finished, and the time that the others will take."""
    from earmark.runs.status import remaining_time

    for run in runs:
        print(f"{'finished' if run.finished else 'to do   '}  {run.folder}")
    print(remaining_time([run.folder for run in runs]))


def _print_commands(runs: Sequence[PlannedRun], argv: Sequence[str]) -> None:
    """Print one `earmark train` line per unfinished run, with the arguments `argv` of `earmark suite`."""
    shared = [argument for argument in argv if argument.replace("_", "-") != "--print-commands"]
    for config in (run.config for run in runs if not run.finished):
        chosen = ["--variant", config.variant, "--fold", str(config.fold), "--seed", str(config.seed)]
        print(shlex.join(["earmark", "train", *shared, *chosen]))


def _report_busy_runs(plan: SuitePlan, failures: Mapping[str, str]) -> None:
    """Name the unfinished runs that another process is training."""
    for run in plan.missing:
        if run.folder.name not in failures:
            print(f"{run.folder.name}: skipped, another process is training it")


def report_failures(command: str, failures: Mapping[str, str], n_runs: int) -> int:
    """Name the failed runs on stderr and return the exit status."""
    if not failures:
        return 0
    print(f"earmark {command}: {describe_failures(failures, n_runs)}", file=sys.stderr)
    return FOUND
