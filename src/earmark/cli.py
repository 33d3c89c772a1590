"""The `earmark` command: one verb per station of the road.

tyro makes the arguments from the signatures below. Nothing heavy is imported before a verb needs it, so that
`earmark --help` answers at once.
"""

from __future__ import annotations

import difflib
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import earmark
from earmark.config import ConfigError, Options, SplitConfig, SuiteConfig, read_suite

LOG = logging.getLogger("earmark")
Paths = Annotated[tuple[Path, ...], tyro.conf.Positional]
Given = Annotated[Path, tyro.conf.Positional]
Output = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


def demo(folder: Path = Path("earmark-demo"), jobs: int = 0) -> None:
    """Run the whole road on synthesised sounds: no download, about a minute.

    Example: earmark demo

    Args:
        folder: Where everything is written.
        jobs: Runs trained at the same time; 0 takes one per core.
    """
    from earmark.demo import run_demo

    run_demo(folder, jobs)


def download(name: Annotated[Literal["esc50", "emodb"], tyro.conf.Positional], target: Output = Path("data")) -> None:
    """Fetch a public data set, verify it and unpack it; an interrupted download goes on.

    Example: earmark download esc50 -o data

    Args:
        name: Which data set.
        target: Folder to unpack into.
    """
    from earmark.datasets.download import download as fetch

    print(f"{name} is complete in {fetch(name, target)}")


def manifest(
    dataset: Annotated[Literal["esc50", "emodb", "folder", "csv", "demo"], tyro.conf.Positional],
    root: Given,
    output: Output = Path("clips.csv"),
    esc10: bool = False,
) -> None:
    """List labelled recordings in a manifest: clip_id, path, label, group, fold, duration.

    Example: earmark manifest folder my-recordings -o clips.csv

    Args:
        dataset: The layout: an official one, one subfolder per class, or a CSV with path,label[,group,fold].
        root: The folder, or the CSV.
        output: Where to write the manifest.
        esc10: Only the ten classes of ESC-10.
    """
    from earmark.config import DataConfig
    from earmark.datasets import read_dataset
    from earmark.manifest import class_names, write_manifest

    clips = read_dataset(DataConfig(dataset="esc10" if esc10 else dataset, root=str(root)))
    write_manifest(clips, output)
    groups = len({clip.group for clip in clips})
    print(f"{output}: {len(clips)} clips, {len(class_names(clips))} classes, {groups} groups")


def validate(clips: Given) -> None:
    """List every file that is missing, unreadable, empty, silent, clipped, too short or a duplicate.

    Example: earmark validate clips.csv

    Args:
        clips: A manifest.
    """
    from earmark.manifest import read_manifest
    from earmark.validate import validate_clips

    recordings = read_manifest(clips)
    problems = validate_clips(recordings)
    for problem in problems:
        print(f"{problem.clip_id}\t{problem.kind}\t{problem.detail}\t{problem.path}")
    if problems:
        raise ConfigError(f"{clips}: {len(problems)} problems in {len(recordings)} clips, listed above; mend them")
    print(f"{clips}: {len(recordings)} clips, no problems")


def split(
    clips: Given,
    output: Output = Path("split"),
    fold: int = 1,
    config: Annotated[SplitConfig, tyro.conf.arg(name="")] = SplitConfig(),
) -> None:
    """Write one train/valid/test split in which no group crosses parts.

    Example: earmark split clips.csv --kind holdout --test-ratio 0.2 --val-ratio 0.1 --seed 123 -o split

    Args:
        clips: A manifest.
        output: Folder to write train.csv, valid.csv, test.csv and split.json into.
        fold: Which fold is the test part, from 1.
        config: How to split.
    """
    from earmark.manifest import read_manifest
    from earmark.splits import make_split, write_split

    recordings = read_manifest(clips)
    made = make_split(recordings, config, fold)
    write_split(made, recordings, output)
    print(f"{output}: {len(made.train)} train, {len(made.valid)} valid, {len(made.test)} test clips")


def suite(argv: Sequence[str]) -> None:
    """Train variants x folds x seeds and compare them; finished runs are skipped.

    Example: earmark suite configs/esc10.toml --data.root data/ESC-50
    """

    @dataclass(frozen=True)
    class Arguments:
        suite: Annotated[SuiteConfig, tyro.conf.arg(name="")]
        options: Annotated[Options, tyro.conf.arg(name="")] = field(default_factory=Options)
        dry_run: bool = False
        """Only list the runs and which of them are finished."""

    config, rest = _config_and_rest("suite", argv)
    given = _parse("suite", Arguments, rest, Arguments(config), str(suite.__doc__))
    from earmark.suite import plan_suite, run_suite

    planned = plan_suite(given.suite, given.options)
    if given.dry_run:
        for job in planned.jobs:
            print(f"{'finished' if job.finished else 'to do   '}  {job.folder}")
        return
    failures = run_suite(planned, given.options)
    _summarise(given.options.runs / given.suite.name)
    if failures:
        raise ConfigError(f"{len(failures)} of {len(planned.jobs)} runs failed: {'; '.join(_each(failures))}")


def train(argv: Sequence[str]) -> None:
    """Train one run of a suite: one variant, one fold, one seed.

    Example: earmark train configs/esc10.toml --data.root data/ESC-50 --fold 1 --seed 42
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
    from earmark.suite import plan_suite, run_suite

    planned = plan_suite(given.suite.only(given.variant, given.fold, given.seed), given.options)
    for reason in run_suite(planned, given.options).values():
        raise ConfigError(reason)
    _summarise(planned.jobs[0].folder)


def aggregate(runs: Given, output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None) -> None:
    """Mean, spread and paired comparisons over finished runs, as CSV, Markdown and LaTeX.

    Example: earmark aggregate runs/esc10

    Args:
        runs: A folder of runs.
        output: Folder for results.csv, results.md and results.tex; the folder of runs if not given.
    """
    from earmark.aggregate import aggregate as summarise
    from earmark.aggregate import read_runs, write_tables

    print(write_tables(summarise(read_runs(runs)), output or runs))


def report(runs: Given, output: Output = Path("report.html")) -> None:
    """One HTML page that shows the comparison; it opens from disk without network.

    Example: earmark report runs/esc10 -o report.html

    Args:
        runs: A folder of runs.
        output: Where to write the page.
    """
    from earmark.aggregate import read_runs
    from earmark.report import write_report

    write_report(read_runs(runs), output)
    print(output)


def predict(
    checkpoint: Given,
    paths: Paths,
    csv: Path | None = None,
    json: Path | None = None,
    device: str = "auto",
) -> None:
    """Label and probability of every file; bad files get a line each and exit status 2.

    Example: earmark predict runs/esc10/base-fold1-seed42-1a2b3c4d5e recordings/ --csv predictions.csv

    Args:
        checkpoint: A .safetensors file or a run folder.
        paths: Audio files, or folders of them.
        csv: Write all class probabilities to this CSV file.
        json: Write all class probabilities to this JSON file.
        device: Where to compute: auto, cpu, cuda.
    """
    from earmark import predict as road
    from earmark.checkpoint import load_checkpoint
    from earmark.engine import select_device

    model, header = load_checkpoint(checkpoint)
    found = road.find_audio(paths)
    predictions = []
    for prediction in road.predict(model.to(select_device(device)), header, found):
        predictions.append(prediction)
        _print_prediction(prediction, header.class_names)
    if csv:
        road.write_predictions_csv(csv, predictions, header.class_names)
    if json:
        road.write_predictions_json(json, predictions, header.class_names)
    bad = sum(1 for prediction in predictions if prediction.error)
    if bad:
        raise ConfigError(f"{bad} of {len(predictions)} files could not be read, see above; the others are answered")


def _print_prediction(prediction: Any, class_names: Sequence[str]) -> None:
    if prediction.error:
        print(f"error: {prediction.error}", file=sys.stderr)
        return
    label, probability = prediction.best(class_names)
    print(f"{prediction.path}\t{label}\t{probability:.4f}")


VERBS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "download": download,
    "manifest": manifest,
    "validate": validate,
    "split": split,
    "train": train,
    "suite": suite,
    "aggregate": aggregate,
    "report": report,
    "predict": predict,
}
WITH_CONFIG = ("train", "suite")
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
    _set_up_messages()
    try:
        if verb not in VERBS:
            raise ConfigError(f"{verb!r} is no verb{_nearest(verb)}")
        if verb in WITH_CONFIG:
            VERBS[verb](rest)
        else:
            tyro.cli(VERBS[verb], args=rest, prog=f"earmark {verb}")
    except ValueError as error:
        print(f"earmark {verb}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"\nearmark {verb}: interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)


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


def _set_up_messages() -> None:
    """Warnings of the package as one line each on stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    LOG.handlers = [handler]
    warnings.showwarning = lambda message, *_: LOG.warning("%s", message)


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
    from earmark.aggregate import aggregate as summarise
    from earmark.aggregate import read_runs, write_tables

    print(write_tables(summarise(read_runs(runs)), runs))


def _each(failures: dict[str, str]) -> list[str]:
    return [f"{name} ({reason})" for name, reason in failures.items()]
