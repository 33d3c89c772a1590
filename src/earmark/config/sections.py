"""The sections of a config: settings of data, front end, split, network and machine.

Those of augmentation and training are in `earmark.config.training`. Every section checks its own values. The sentence
below a field is its help on the command line.
"""

from __future__ import annotations

import functools
import sys
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

from earmark.config.bounds import setting_problem
from earmark.runtime.errors import EarmarkError, suggest
from earmark.runtime.pool import cores

MAX_OVERLAP = 64
"""Frames that one sample may be in."""
MAX_SHOWN = 200
"""Characters of a value in a message."""


class ConfigError(EarmarkError):
    """A setting that cannot be used; the message gives its name, its value and the remedy."""


def check_setting(ok: bool, name: str, value: object, remedy: str) -> None:
    """Raise `ConfigError` naming the setting, its value and the remedy, unless `ok`."""
    if not ok:
        raise ConfigError(f"{name} = {shown(value)}: {remedy}")


KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text in quotes", Path: "a path"}
"""What a setting of each type takes, in messages."""


def shown(value: object) -> str:
    """The value as one short line."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # ValueError: an integer of more than 4300 digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def check_values(section: Any, prefix: str = "") -> None:
    """Check each value of a section against its annotation and its bounds.

    A list becomes a tuple, a whole number a float and text a path where these are annotated.

    Raises:
        ConfigError: a value has another type, is none of the choices, is not finite or is out of its bounds.
    """
    for name, hint in _hints(section.__class__).items():
        value = _as_annotated(hint, getattr(section, name), prefix + name)
        object.__setattr__(section, name, value)
        remedy = setting_problem(prefix + name, value)
        check_setting(not remedy, prefix + name, value, remedy)


@functools.cache
def _hints(section: type) -> dict[str, Any]:
    return typing.get_type_hints(section)


def _as_annotated(hint: Any, value: Any, name: str) -> Any:
    """The value as the annotated type; `ConfigError` where it is of another."""
    origin = typing.get_origin(hint)
    assert origin is not types.UnionType, f"{name}: settings have one type"
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise ConfigError(f"{name} = {shown(value)}: no such choice{suggest(str(value), typing.get_args(hint))}")
        return value
    if origin is tuple:
        check_setting(isinstance(value, Sequence) and not isinstance(value, str), name, value, "give a list [...]")
        item = typing.get_args(hint)[0]
        return tuple(_as_annotated(item, v, f"{name}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        check_setting(isinstance(value, dict), name, value, f"give a table [{name}]")
        return value
    if hint is Path and isinstance(value, str):
        return Path(value)
    kind = {int: Integral, float: Real}.get(hint, hint)  # NumPy's numbers, too
    good = isinstance(value, kind) and (hint is bool or not isinstance(value, bool))
    wanted = KINDS.get(hint, f"a value of type {hint.__name__}")
    check_setting(good, name, value, f"give {wanted}{', without quotes' * _is_quoted(value)}")
    if hint is float and isinstance(value, Integral):
        check_setting(abs(int(value)) <= sys.float_info.max, name, value, "give a smaller number")
    return hint(value) if hint in (int, float) else value


def _is_quoted(value: Any) -> bool:
    """Whether it is the text of what TOML writes without quotes."""
    return isinstance(value, str) and (value in ("true", "false") or value.lstrip("+-.")[:1].isdigit())


def runtime(default: Any) -> Any:
    """A setting that does not affect results (where files are, how fast): it is left out of the run id."""
    return field(default=default, metadata={"identity": False})


DatasetName = Literal[
    "esc50", "esc10", "urbansound8k", "speech_commands", "fsdd", "gtzan", "dcase_scenes", "emodb", "ravdess", "crema_d",
    "folder", "csv", "audiofolder", "audformat", "manifest", "demo",
]  # fmt: skip
"""Layouts of a data set."""
WITH_COLUMNS = ("csv", "audiofolder", "audformat")
"""Layouts whose table has columns of any name."""
OWN = ("folder", "manifest", *WITH_COLUMNS)
"""Layouts of your own recordings."""


@dataclass(frozen=True)
class DataConfig:
    """Which recordings, and where they are."""

    dataset: DatasetName = "folder"
    """Layout of `root`: a public set's own, `folder` (one subfolder per class), a table of some format, `manifest`."""
    root: str = runtime("")
    """Folder of the recordings (a file for `csv` and `manifest`); looked up below $EARMARK_DATA as well."""
    label_column: str = ""
    """Column of the label in `csv`, `audiofolder` and `audformat`; empty: `label`."""
    group_column: str = ""
    """Column of the group in `csv`, `audiofolder` and `audformat`; empty: `group`, in the last two also `speaker` or
    `speaker_id`."""
    images: str = runtime("")
    """Folder of ready-made `<clip_id>_orig.png` to train on instead of recordings; empty: made from `root`."""
    memory_gib: float = runtime(4.0)
    """Images are held in memory up to this size (GiB) and read from disk batch by batch above it."""

    def __post_init__(self) -> None:
        check_values(self, "data.")
        for name in ("label_column", "group_column"):
            value = getattr(self, name)
            allowed = not value or self.dataset in WITH_COLUMNS
            check_setting(allowed, f"data.{name}", value, f"{self.dataset!r} has no such choice; leave it empty")

    @property
    def title(self) -> str:
        """What the data are called in tables: the public set, or the folder or file of your own recordings."""
        return (self.dataset in OWN and Path(self.root).name) or self.dataset


@dataclass(frozen=True)
class FrontEndConfig:
    """How a file becomes a log-mel image; stored with the images and in every checkpoint."""

    sample_rate: int = 0
    """Sampling rate in Hz that all files are resampled to; 0 keeps their own rate, which must be the same for all."""
    n_fft: int = 2048
    """Length of the discrete Fourier transform in samples."""
    win_length: int = 0
    """Length of the Hann window in samples, centered in the transform; 0 means `n_fft`."""
    hop_length: int = 512
    """Samples between two frames."""
    n_mels: int = 128
    """Number of mel bins."""
    f_min: float = 0.0
    """Lower edge of the first mel filter in Hz."""
    f_max: float = 0.0
    """Upper edge of the last mel filter in Hz; 0 means half the sampling rate."""
    mel_scale: Literal["slaney", "htk", "kaldi"] = "slaney"
    """Slaney's scale with area-normalized filters (librosa), HTK's formula with peak 1, or Kaldi's filterbank."""
    pre_emphasis: float = 0.0
    """Coefficient of the first-order high-pass before the transform; 0 leaves it out."""
    log_offset: float = 0.0
    """Added to the mel energies before the logarithm; 0 clips them at 1e-10 instead, as librosa does."""
    reference: Literal["peak", "fixed"] = "peak"
    """0 dB is the clip's own peak, or the fixed level `reference_db`."""
    reference_db: float = 0.0
    """With a fixed reference: the level in dB that becomes 255."""
    range_db: float = 80.0
    """Dynamic range: levels more than this many dB below the reference become 0."""

    def __post_init__(self) -> None:
        def check(ok: bool, name: str, remedy: str) -> None:
            check_setting(ok, f"front_end.{name}", getattr(self, name), remedy)

        check_values(self, "front_end.")
        check(self.sample_rate == 0 or self.sample_rate >= 1000, "sample_rate", "give Hz, at least 1000, or 0")
        check(self.win_length <= self.n_fft, "win_length", f"give 1 to n_fft = {self.n_fft}, or 0 for n_fft")
        shortest = max(1, self.n_fft // MAX_OVERLAP)
        check(shortest <= self.hop_length <= self.n_fft, "hop_length", f"give {shortest} to n_fft = {self.n_fft}")
        check(self.f_max == 0 or self.f_max > self.f_min, "f_max", f"give more than f_min = {self.f_min}, or 0")
        half = self.sample_rate / 2
        check(half == 0 or self.f_min < half, "f_min", f"give less than half the sampling rate, {half:g} Hz")
        check(half == 0 or self.f_max <= half, "f_max", f"give at most half the sampling rate, {half:g} Hz")
        check(self.pre_emphasis < 1, "pre_emphasis", "give 0 to below 1")


@dataclass(frozen=True)
class SplitConfig:
    """Which clips are trained on, which select the epoch and which are reported."""

    kind: Literal["folds", "group_kfold", "leave_one_group_out", "holdout", "files"] = "group_kfold"
    """Published folds, stratified group k-fold, one group out, one hold-out by group, or the CSVs in `path`."""
    n_folds: int = 5
    """Number of folds of `group_kfold`."""
    repeats: int = runtime(1)
    """Partitions of `group_kfold`, of split seeds `seed`, `seed` + 1 ...; their folds are numbered on."""
    seed: int = 0
    """Seed of `group_kfold` and `holdout`; it is not the seed of training."""
    test_ratio: float = 0.2
    """Fraction of the clips that `holdout` keeps for test."""
    val_ratio: float = 0.0
    """Fraction of the clips moved from train to valid, by group, to select the epoch; 0 keeps the last epoch."""
    tuning_ratio: float = 0.0
    """Fraction of the clips, in whole groups, that no fold tests: `earmark tune` chooses on them in mode `once`."""
    valid_fold: bool = False
    """Use the fold after the test fold as valid, to select the epoch."""
    train_fraction: float = 1.0
    """Fraction of the training groups that are kept, stratified by class and drawn by the run's seed."""
    waiver: str = ""
    """Name of a published exception to group-disjointness, for example `esc50-published-folds`."""
    path: str = runtime("")
    """For `files`: a train file (train.csv, train_emodb.csv; or its folder) next to a test or valid file, or both; or
    the folder of one split from `earmark split`."""

    def __post_init__(self) -> None:
        check_values(self, "split.")
        repeatable = self.repeats == 1 or self.kind == "group_kfold"
        check_setting(repeatable, "split.repeats", self.repeats, f"give 1: {self.kind!r} has one partition only")
        for name in ("test_ratio", "val_ratio", "tuning_ratio"):
            value = getattr(self, name)
            check_setting(0 <= value < 1, f"split.{name}", value, "give 0 to below 1")
        free = self.tuning_ratio == 0 or self.kind != "files"
        check_setting(free, "split.tuning_ratio", self.tuning_ratio, "give 0: 'files' has its own test subset")
        both = self.valid_fold and self.val_ratio > 0
        check_setting(not both, "split.val_ratio", self.val_ratio, "give 0, or set valid_fold = false: one of them")


@dataclass(frozen=True)
class ModelConfig:
    """The network."""

    name: str = "baseline_cnn"
    """`baseline_cnn`, `mn04`, `timm/<name>` ...: see `earmark models`; your own `my_module:function`; for probes also
    `onnx:<file>`, `transformers:<folder>`, `npz:<file>`."""
    attention: str = "none"
    """Attention block: `none`, `se`, `cbam` ...: see `earmark models`."""
    placement: Literal["block", "stage"] = "block"
    """Attention inside every block before the addition, or after each stage."""
    weights: str = "none"
    """Initial weights: `none` (random), `imagenet`, `audioset` or the path of a file."""
    train: Literal["all", "last_stage", "head"] = "all"
    """Which layers of a pretrained network are trained; attention blocks and the head always are."""
    dropout: float = 0.3
    """Dropout before the classifier."""
    stochastic_depth: float = 0.0
    """Probability that training drops the last residual block of an image, less for earlier ones; 0 turns it off."""

    def __post_init__(self) -> None:
        check_values(self, "model.")
        for name in ("dropout", "stochastic_depth"):
            value = getattr(self, name)
            check_setting(0 <= value < 1, f"model.{name}", value, "give 0 (off) to below 1")
        frozen = self.train != "all" and self.weights == "none"
        remedy = "give 'all', or pretrained model.weights: randomly initialized layers must be trained"
        check_setting(not frozen, "model.train", self.train, remedy)


@dataclass(frozen=True)
class ProbeConfig:
    """A small classifier on the embeddings of the frozen network, instead of training the network."""

    kind: Literal["none", "knn", "logistic", "mlp"] = "none"
    """`none` trains the network; nearest neighbors, logistic regression or an MLP leave it as it is."""
    shots: tuple[int, ...] = ()
    """Also score a probe with this many groups of training clips per class, for a learning curve: 1 5 10."""
    draws: int = 5
    """How often the groups of each number of shots are drawn."""
    sample_rate: int = 0
    """For `onnx:`, where the file does not say it: the rate in Hz of the waveform that it takes."""
    model_output: str = ""
    """For `onnx:`: name of the output with the embedding; empty takes the only one of two axes, or `embedding`."""

    def __post_init__(self) -> None:
        check_values(self, "probe.")
        for n in self.shots:
            check_setting(n >= 1, "probe.shots", n, "give numbers from 1")
        rate = self.sample_rate
        check_setting(rate == 0 or rate >= 1000, "probe.sample_rate", rate, "give Hz, at least 1000, or 0")


@dataclass(frozen=True)
class Options:
    """Where and how runs are trained; nothing here changes a result, apart from rounding by device and threads."""

    runs: Path = Path("runs")
    """Run folders are written to `<runs>/<name of the suite>/`."""
    work: Path = Path("work")
    """Folder of manifests and spectrograms."""
    device: str = "auto"
    """`auto` (CUDA, else Apple MPS, else CPU), `cpu`, `mps`, `cuda` or `cuda:<number>`."""
    jobs: int = 1
    """Number of worker processes on this machine, each of which trains one run at a time; 0 uses one per core."""
    threads: int = 0
    """CPU threads of each run; 0 takes OMP_NUM_THREADS, or else divides the cores evenly among the workers (with `ray`:
    uses `ray_cpus`)."""
    executor: Literal["local", "ray"] = "local"
    """Train on this machine, or on the Ray cluster at $RAY_ADDRESS or, without it, the one this machine belongs to."""
    ray_cpus: float = 1.0
    """With `ray`: CPU cores per run."""
    ray_gpus: float = 0.0
    """With `ray`: GPUs per run; 0.5 lets two runs share one GPU."""
    track: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = ("tensorboard",)
    """Where the curves of a run are logged; all of them write to this machine. With `ray`: TensorBoard only."""
    allow_leakage: bool = False
    """Train on a split in which a group is in more than one subset; the runs are permanently flagged."""
    allow_unequal_budget: bool = False
    """Compare variants that differ in epochs, batches or augmentation."""

    def __post_init__(self) -> None:
        check_values(self)
        remedy = "leave it out: with executor = 'ray', ray_cpus and ray_gpus decide how many runs train at a time"
        check_setting(self.executor == "local" or self.jobs == 1, "jobs", self.jobs, remedy)
        remote = self.executor == "ray" and not {*self.track} <= {"tensorboard"}
        check_setting(not remote, "track", list(self.track), "with executor = 'ray', give tensorboard or nothing")

    @property
    def n_workers(self) -> int:
        """Number of worker processes."""
        return self.jobs or cores()
