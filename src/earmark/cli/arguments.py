"""Argument types that several commands share, and what is checked of the arguments before a command does anything."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from earmark.audit.alterations import MAX_SEMITONES, MAX_SPEED, MIN_SPEED
from earmark.config.bounds import LARGE, bound_problem
from earmark.config.sections import ConfigError, shown
from earmark.runtime.files import GENERATOR, check_own_file
from earmark.runtime.names import name_problem

AudioPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="AUDIO")]
AudioPaths = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[AUDIO ...]")]
ClipsPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CLIPS.csv")]
OptionalClipsPath = Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[CLIPS.csv]")]
ManifestPaths = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[CLIPS.csv ...]")]
ModelPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
ModelPaths = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL ...]")]
OutputPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUTPUT")]
RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
RunsPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUNS")]
RunsPaths = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUNS ...]")]
SourcePath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
TablePath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TABLE")]
TablePaths = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[TABLE ...]")]
"""Positional paths, named by what they are; `...Paths` are any number of them."""
Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
"""A positional name."""
Names = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[NAME ...]")]
"""Any number of positional names."""
Output = Annotated[Path, tyro.conf.arg(aliases=["-o"])]
"""Where to write; `-o` for short."""
OptionalOutput = Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
"""Where to write if not to the default place; `-o` for short."""
OptionalPath = Annotated[Path | None, tyro.conf.arg(metavar="PATH")]
"""A path that may be left out."""
OptionalName = Annotated[str | None, tyro.conf.arg(metavar="NAME")]
"""A name that may be left out."""
Augmentations = Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--variants"])]
"""Names of augmentations; the option used to be called `--variants`."""
LabelNames = Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL")]
"""Any number of class names."""
OptionalRate = Annotated[float | None, tyro.conf.arg(metavar="RATE")]
"""A share that may be left out."""
OptionalInt = Annotated[int | None, tyro.conf.arg(metavar="INT")]
"""A whole number that may be left out."""


def optional_choice(names: tuple[str, ...]) -> PrimitiveConstructorSpec[str | None]:
    """For a choice that may be left out; in tyro's own message about other words, None is a choice, too."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(names)}}}",
        instance_from_str=lambda words: words[0],
        is_instance=lambda value: value in (None, *names),
        str_from_instance=lambda value: [str(value)],
        choices=names,
    )


MAX_SEED = 2**32 - 1
NUMBERS: dict[str, tuple[float, float]] = {
    "jobs": (0, 4096),
    "threads": (0, 4096),
    "benchmark.threads": (1, 4096),
    "fold": (1, 100_000),
    "train.fold": (0, 100_000),
    "seed": (0, MAX_SEED),
    "train.seed": (-1, MAX_SEED),
    "seeds": (1, 1000),
    "trials": (0, 100_000),
    "minutes": (0, 1e6),
    "n_classes": (1, 100_000),
    "n_mels": (1, 1024),
    "n_frames": (1, 100_000),
    "tolerance": (0, 1),
    "rope": (0.01, 99),
    "precision": (0.5, 0.999),
    "false_alarms": (0, 1),
    "sample_rate": (0, 768_000),
    "speeds": (MIN_SPEED, MAX_SPEED),
    "tempos": (MIN_SPEED, MAX_SPEED),
    "semitones": (-MAX_SEMITONES, MAX_SEMITONES),
    "listen.sample_rate": (1000, 768_000),
    "channels": (1, 64),
    "hop": (0, 3600),
    "threshold": (0, 1),
    "min_seconds": (0, 86_400),
    "seconds": (0, 86_400),
    "top_k": (1, 100_000),
    "port": (0, 65_535),
    "max_megabytes": (0.001, 1e6),
    "max_seconds": (0.001, 1e6),
    "timeout_seconds": (0.001, 86_400),
    "concurrency": (1, 4096),
    "queue": (0, 1e6),
}
"""Least and most of each argument of a command, or of all commands; settings: `earmark.config.bounds`."""


OUTPUTS = ("output", "target", "json", "csv", "audacity", "raven", "suspects", "unite_copies", "work")
"""Arguments that are written to where they are paths; folders that are missing are created."""
ENDINGS = {
    "json": (".json", ".jsonl"),
    "report.output": (".html", ".htm"),
    "schema.output": (".json",),
    "tune.output": (".toml",),
}
"""How names of outputs end, of a command or of all commands; they may also have no ending."""
NAMING = ("evaluate", "import")
"""Commands whose `--variant` is a new name."""
VERDICTS = (r'^\{\s*"format_version": \d+,\s*"name": .*,\s*"metric": ', "comparison")
OWN = {
    "audit.json": (r'^\{\s*("format_version": \d+,\s*)?"n_clips": ', "audit"),
    "aggregate.json": VERDICTS,
    "benchmark.json": (r'^\{\s*"format_version": \d+,\s*"machine": ', "benchmark"),
    "compare.json": VERDICTS,
    "evaluate.json": VERDICTS,
    "export.output.html": (GENERATOR.format("export"), "page"),
    "export.output.onnx": (r"^\x08[^\x12]\x12\x07earmark", "model"),
    "predict.json": (r'^\{"path": .*, "(start|error)": ', "list of answers"),
    "report.output": (GENERATOR.format("report"), "report"),
    "status.json": (r'^\{\s*"format_version": \d+,\s*"runs": ', "list of runs"),
    "schema.output": (r'^\{\s*"\$schema": .*\s*"title": "Suite of earmark"', "schema"),
}
"""How what a command writes to an output begins, and its name; a file that begins otherwise is not overwritten."""
IN_PLACE = ("manifest", "join")
"""Commands that may write over what they read; they see to it that nothing is lost."""


def check_arguments(command: str, arguments: Mapping[str, object]) -> None:
    """Raise `ConfigError` for the first number out of its range, bad name, or path that must not be written to."""
    check_numbers(command, arguments)
    variant = arguments.get("variant")
    if command in NAMING and variant and (problem := name_problem(str(variant))):
        raise ConfigError(f"--variant {shown(variant)}: {problem}")
    names = () if command == "doctor" else OUTPUTS  # it reports what cannot be written
    outputs = {name: path for name in names if isinstance(path := arguments.get(name), Path)}
    for name, path in outputs.items():
        _check_output(path)
        if command not in IN_PLACE:
            _check_is_no_input(path, [value for key, value in arguments.items() if key not in outputs])
        endings = ENDINGS.get(f"{command}.{name}") or ENDINGS.get(name, ())
        if endings and path.suffix.lower() not in ("", *endings):
            raise ConfigError(f"{path}: give a name that ends in {' or '.join(endings)}")
        own = OWN.get(f"{command}.{name}") or OWN.get(f"{command}.{name}{path.suffix}")
        if own:
            for written in written_files(path, bool(arguments.get("split"))):
                check_own_file(written, *own)


def written_files(output: Path, split: bool) -> list[Path]:
    """The files that an output stands for: with `split`, of a model, the two that `earmark export` writes."""
    parts = ("front_end", "network") if split and output.suffix == ".onnx" else ()
    return [output.with_suffix(f".{part}.onnx") for part in parts] or [output]


def _check_output(path: Path) -> None:
    """Raise `ConfigError` where neither the path nor its folder can be created."""
    if path.exists():
        return
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    if not folder.is_dir():
        raise ConfigError(f"{path}: cannot be written, since {folder} is a file; give another path")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{path}: cannot be written, since {folder} is not writable; give another path")


def _check_is_no_input(output: Path, inputs: Iterable[object]) -> None:
    """Raise `ConfigError` where a file that is written is one of the files that are read."""
    paths = [path for value in inputs for path in (value if isinstance(value, tuple) else (value,))]
    if output.is_file() and any(isinstance(p, Path) and p.is_file() and output.samefile(p) for p in paths):
        raise ConfigError(f"{output}: would replace an input; give another name")


def check_numbers(command: str, arguments: Mapping[str, object]) -> None:
    """Raise `ConfigError` for the first argument of a command that is a number out of its range."""
    for name, value in arguments.items():
        bounds = NUMBERS.get(f"{command}.{name}") or NUMBERS.get(name, (-LARGE, LARGE))
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and (problem := bound_problem(number, bounds)):
                raise ConfigError(f"--{name.replace('_', '-')} {shown(number)}: {problem}")
