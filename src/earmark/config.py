"""The settings of a run and of a suite: frozen dataclasses, read from TOML, checked, hashed.

A suite file names the data, the front end, the split, the model and the training once, then says what varies::

    name = "esc10"
    seeds = [42, 123, 999]

    [data]
    dataset = "esc10"

    [variants.se]
    model.attention = "se"

`read_suite` reads it, `SuiteConfig.runs` lists its runs, `run_id` names one.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


class ConfigError(ValueError):
    """A setting that cannot be used; the message gives its name, its value and the remedy."""


def check_setting(ok: bool, name: str, value: object, remedy: str) -> None:
    """Raise `ConfigError` naming the setting, its value and what would do, unless `ok`."""
    if not ok:
        raise ConfigError(f"{name} = {value!r}: {remedy}")


def runtime(default: Any) -> Any:
    """A field that says where or how fast, never what comes out: it is left out of a run's id."""
    return field(default=default, metadata={"identity": False})


@dataclass(frozen=True)
class DataConfig:
    """Which recordings, and where they are."""

    dataset: Literal["esc50", "esc10", "emodb", "folder", "csv", "manifest", "demo"] = "folder"
    """Layout of `root`: an official one, `folder` (one subfolder per class), `csv` (path,label) or `manifest`."""
    root: str = runtime("")
    """Folder of the recordings (a file for `csv` and `manifest`); looked up below $EARMARK_DATA as well."""
    images: str = runtime("")
    """Folder of ready-made `<clip_id>_orig.png` to train on instead of recordings; empty: made from `root`."""
    memory_gib: float = runtime(4.0)
    """Spectrograms are held in memory up to this size (GiB) and streamed from the store beyond it."""

    def __post_init__(self) -> None:
        check_setting(self.memory_gib >= 0, "data.memory_gib", self.memory_gib, "give 0 (always stream) or more")


@dataclass(frozen=True)
class FrontEndConfig:
    """How a file becomes a log-mel image; stored beside every spectrogram and inside every checkpoint."""

    sample_rate: int = 0
    """Sampling rate in Hz that every file is brought to; 0 keeps the files' own rate, which must then be one."""
    n_fft: int = 2048
    """Length of the discrete Fourier transform in samples."""
    win_length: int = 0
    """Length of the Hann window in samples, centred in the transform; 0 means `n_fft`."""
    hop_length: int = 512
    """Samples between two frames."""
    n_mels: int = 128
    """Number of mel bins."""
    f_min: float = 0.0
    """Lower edge of the first mel filter in Hz."""
    f_max: float = 0.0
    """Upper edge of the last mel filter in Hz; 0 means half the sampling rate."""
    mel_scale: Literal["slaney", "htk", "kaldi"] = "slaney"
    """Slaney's scale with area-normalised filters (librosa), HTK's formula with peak 1, or Kaldi's filterbank."""
    pre_emphasis: float = 0.0
    """Coefficient of the first-order high-pass before the transform; 0 leaves it out."""
    log_offset: float = 0.0
    """Added to the mel energies before the logarithm; 0 clips them at 1e-10 instead, as librosa does."""
    reference: Literal["peak", "fixed"] = "peak"
    """0 dB is the clip's own peak, or the fixed level `reference_db`."""
    reference_db: float = 0.0
    """With a fixed reference: the level in dB that becomes 255."""
    range_db: float = 80.0
    """Everything further than this below the reference becomes 0."""

    def __post_init__(self) -> None:
        def check(ok: bool, name: str, remedy: str) -> None:
            check_setting(ok, f"front_end.{name}", getattr(self, name), remedy)

        check(self.sample_rate == 0 or self.sample_rate >= 1000, "sample_rate", "give Hz, at least 1000, or 0")
        check(self.n_fft >= 16, "n_fft", "give at least 16 samples")
        check(
            0 <= self.win_length <= self.n_fft,
            "win_length",
            f"give 1 to n_fft = {self.n_fft}, or 0 for n_fft",
        )
        check(1 <= self.hop_length <= self.n_fft, "hop_length", f"give 1 to n_fft = {self.n_fft}")
        check(self.n_mels >= 1, "n_mels", "give at least 1")
        check(self.f_min >= 0, "f_min", "give 0 Hz or more")
        check(self.f_max == 0 or self.f_max > self.f_min, "f_max", f"give more than f_min = {self.f_min}, or 0")
        half = self.sample_rate / 2
        check(half == 0 or self.f_max <= half, "f_max", f"give at most half the sampling rate, {half:g} Hz")
        check(0 <= self.pre_emphasis < 1, "pre_emphasis", "give 0 to below 1")
        check(self.log_offset >= 0, "log_offset", "give 0 or more")
        check(self.range_db > 0, "range_db", "give more than 0 dB")


@dataclass(frozen=True)
class SplitConfig:
    """Which clips train, which select the epoch and which are reported."""

    kind: Literal["folds", "group_kfold", "leave_one_group_out", "holdout", "files"] = "group_kfold"
    """Published folds, stratified group k-fold, one group out, one hold-out by group, or the CSVs in `path`."""
    n_folds: int = 5
    """Number of folds of `group_kfold`."""
    seed: int = 0
    """Seed of `group_kfold` and `holdout`; it is not the seed of training."""
    test_ratio: float = 0.2
    """Share of the clips that `holdout` keeps for test."""
    val_ratio: float = 0.0
    """Share of the clips taken out of train, by group, to select the epoch; 0 keeps the last epoch."""
    valid_fold: bool = False
    """With published folds: the fold after the test fold selects the epoch."""
    waiver: str = ""
    """Name of a published exception to group-disjointness, for example `esc50-published-folds`."""
    path: str = runtime("")
    """With `files`: a folder with train.csv, test.csv and perhaps valid.csv (filepath,label)."""

    def __post_init__(self) -> None:
        check_setting(self.n_folds >= 2, "split.n_folds", self.n_folds, "give at least 2")
        for name in ("test_ratio", "val_ratio"):
            value = getattr(self, name)
            check_setting(0 <= value < 1, f"split.{name}", value, "give 0 to below 1")
        both = self.valid_fold and self.val_ratio > 0
        check_setting(not both, "split.val_ratio", self.val_ratio, "give 0, or set valid_fold = false: one of them")


@dataclass(frozen=True)
class ModelConfig:
    """Which network."""

    name: str = "baseline_cnn"
    """`baseline_cnn`, `alexnet`, `resnet50`, `timm/<name>`, `mn04` ...: see `earmark models`."""
    attention: str = "none"
    """Attention block: `none`, `se`, `cbam` ...: see `earmark models`."""
    placement: Literal["block", "stage"] = "block"
    """Attention inside every block before the addition, or after each stage."""
    weights: str = "none"
    """What to start from: `none`, `imagenet`, `audioset` or a path to a file of weights."""
    train: Literal["all", "last_stage", "head"] = "all"
    """Which part of a pretrained network is trained; attention blocks and the head always are."""
    dropout: float = 0.3
    """Dropout before the classifier."""

    def __post_init__(self) -> None:
        check_setting(0 <= self.dropout < 1, "model.dropout", self.dropout, "give 0 to below 1")


@dataclass(frozen=True)
class AugmentConfig:
    """What is varied in training; valid and test always see the original clips."""

    waveform: tuple[str, ...] = ()
    """Waveform variants that stand in for a clip at random, for example noisy, pitchUp2, stretch0.9."""
    waveform_definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Further waveform variants: name = { function = ..., its arguments ... }."""
    time_roll: bool = True
    """Roll the window circularly by a random number of frames."""
    freq_masks: int = 2
    """SpecAugment: number of masks over mel bins."""
    freq_mask_bins: int = 16
    """SpecAugment: largest height of one of them in bins."""
    time_masks: int = 2
    """SpecAugment: number of masks over time."""
    time_mask_ratio: float = 0.1
    """SpecAugment: largest width of one of them as a share of the window."""
    mixup_alpha: float = 0.5
    """Mixup: parameter of the Beta distribution of the mixing weight; 0 switches it off."""

    def __post_init__(self) -> None:
        for name in ("freq_masks", "freq_mask_bins", "time_masks", "mixup_alpha"):
            value = getattr(self, name)
            check_setting(value >= 0, f"augment.{name}", value, "give 0 (off) or more")
        ratio = self.time_mask_ratio
        check_setting(0 <= ratio <= 1, "augment.time_mask_ratio", ratio, "give 0 (off) to 1 (the whole window)")


@dataclass(frozen=True)
class TrainConfig:
    """How the network is trained and scored."""

    epochs: int = 50
    """Passes over the training clips."""
    batch_size: int = 32
    """Clips per step."""
    lr: float = 3e-3
    """Highest learning rate of AdamW."""
    backbone_lr_ratio: float = 1.0
    """Learning rate of pretrained layers as a share of `lr`."""
    weight_decay: float = 0.05
    """Decoupled weight decay of AdamW; biases and normalisation layers have none."""
    schedule: Literal["one_cycle", "cosine", "constant"] = "one_cycle"
    """One-cycle (30 % up, cosine down), linear warm-up then cosine, or a constant rate after warm-up."""
    warmup_epochs: float = 1.0
    """Epochs of linear warm-up with `cosine` and `constant`."""
    label_smoothing: float = 0.1
    """Share of the target spread evenly over all classes."""
    clip_grad_norm: float = 0.0
    """Largest norm of the gradient; 0 does not clip."""
    window_seconds: float = 0.0
    """Length of a training window in seconds; 0 takes the median length of the training clips."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of training: bfloat16 autocast where the processor has it, or as named; scoring is float32."""
    compile: bool = False
    """Compile the network with torch.compile."""

    def __post_init__(self) -> None:
        def check(ok: bool, name: str, remedy: str) -> None:
            check_setting(ok, f"train.{name}", getattr(self, name), remedy)

        check(self.epochs >= 1, "epochs", "give at least 1")
        check(self.batch_size >= 2, "batch_size", "give at least 2 (batch normalisation needs two clips)")
        check(self.lr > 0, "lr", "give more than 0")
        check(self.backbone_lr_ratio >= 0, "backbone_lr_ratio", "give 0 or more")
        check(self.weight_decay >= 0, "weight_decay", "give 0 or more")
        check(self.warmup_epochs >= 0, "warmup_epochs", "give 0 or more")
        check(0 <= self.label_smoothing < 1, "label_smoothing", "give 0 to below 1")
        check(self.clip_grad_norm >= 0, "clip_grad_norm", "give 0 (off) or more")
        check(self.window_seconds >= 0, "window_seconds", "give 0 (median length) or more")


@dataclass(frozen=True)
class RunConfig:
    """One training: one variant, one fold, one seed."""

    name: str = "run"
    """Name of the comparison that the run belongs to."""
    variant: str = "base"
    """Name of the setting under comparison."""
    fold: int = 1
    """Which fold is the test part, from 1; with `leave_one_group_out` the group's place in sorted order."""
    seed: int = 42
    """Seed of weights, batches and augmentation."""
    data: DataConfig = field(default_factory=DataConfig)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        check_setting(self.fold >= 1, "fold", self.fold, "folds count from 1")
        check_setting(self.seed >= 0, "seed", self.seed, "give 0 or more")


@dataclass(frozen=True)
class SuiteConfig:
    """A comparison: variants x folds x seeds over the same data."""

    name: str = "suite"
    """Name of the comparison; its runs lie in `<runs>/<name>/`."""
    seeds: tuple[int, ...] = (42,)
    """Seeds of training, each run once per variant and fold."""
    folds: tuple[int, ...] = ()
    """Folds to run, from 1; empty runs all of the split."""
    data: DataConfig = field(default_factory=DataConfig)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What differs: name = { model.attention = "se", ... }; empty compares nothing and runs `base`."""

    def __post_init__(self) -> None:
        check_setting(len(self.seeds) > 0, "seeds", list(self.seeds), "give at least one")
        check_setting(len(set(self.seeds)) == len(self.seeds), "seeds", list(self.seeds), "give each seed once")
        for name in ("name", *self.variants):
            text = self.name if name == "name" else name
            good = bool(text) and all(c.isalnum() or c in "._+-" for c in text)
            check_setting(good, "name of the suite or variant", text, "use letters, digits and . _ + - only")
        for name in self.variants:
            self.run(name, fold=1, seed=self.seeds[0])  # a bad variant is reported when the file is read

    def run(self, variant: str, fold: int, seed: int) -> RunConfig:
        """The run of one variant, fold and seed."""
        shared = {f.name: getattr(self, f.name) for f in dataclasses.fields(RunConfig) if hasattr(self, f.name)}
        shared.pop("seed", None)
        base = RunConfig(**shared, variant=variant, fold=fold, seed=seed)
        return merge(base, self.variants.get(variant, {}), f"variants.{variant}.")

    def only(self, variant: str = "", fold: int = 0, seed: int = -1) -> SuiteConfig:
        """The suite cut down to one run; empty, 0 and -1 take the first variant, fold and seed.

        Raises:
            ConfigError: there is no such variant.
        """
        names = self.variants or {"base": {}}
        if variant and variant not in names:
            raise ConfigError(f"variant = {variant!r}: no such variant{_nearest(variant, names)}")
        name = variant or next(iter(names))
        return dataclasses.replace(
            self,
            variants={name: names[name]},
            folds=(fold or (self.folds or (1,))[0],),
            seeds=(seed if seed >= 0 else self.seeds[0],),
        )

    def runs(self, all_folds: typing.Sequence[int]) -> list[RunConfig]:
        """All runs, folds outermost so that every variant has a result early; `all_folds` are the split's."""
        return [
            self.run(variant, fold, seed)
            for fold in (self.folds or all_folds)
            for seed in self.seeds
            for variant in (self.variants or ("base",))
        ]


@dataclass(frozen=True)
class Options:
    """Where and how runs are made; nothing here changes a result, except rounding by device and threads."""

    runs: Path = Path("runs")
    """Run folders are written below it, in `<name of the suite>/`."""
    work: Path = Path("work")
    """Manifests and spectrogram stores are kept below it."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:<number>`."""
    jobs: int = 1
    """Runs trained at the same time, each in a process of its own."""
    threads: int = 0
    """Processor threads of each run; 0 shares the cores out evenly."""
    allow_leakage: bool = False
    """Train on a split in which groups cross parts; the runs are marked for ever."""
    allow_unequal_budget: bool = False
    """Compare variants that differ in epochs, batches or augmentation."""

    def __post_init__(self) -> None:
        check_setting(self.jobs >= 1, "jobs", self.jobs, "give at least 1")
        check_setting(self.threads >= 0, "threads", self.threads, "give 0 (share the cores out) or more")


Section = typing.TypeVar("Section")


def merge(config: Section, changes: dict[str, Any], where: str = "") -> Section:
    """A copy of a config dataclass with nested `changes`; refuses unknown keys and wrong types by name."""
    hints = typing.get_type_hints(type(config))
    updates = {}
    for key, value in changes.items():
        if key not in hints:
            raise ConfigError(f"{where}{key} = {value!r}: no such setting{_nearest(key, hints)}")
        old = getattr(config, key)
        if dataclasses.is_dataclass(old):
            check_setting(isinstance(value, dict), where + key, value, f"give a table [{where}{key}]")
            updates[key] = merge(old, value, f"{where}{key}.")
        else:
            updates[key] = _coerce(hints[key], value, where + key)
    try:
        return dataclasses.replace(config, **updates)
    except ConfigError as error:
        raise ConfigError(f"{where if where.startswith('variants.') else ''}{error}") from None


def _nearest(key: str, names: typing.Iterable[str]) -> str:
    names = list(names)
    close = difflib.get_close_matches(key, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(names))}"


def _coerce(hint: Any, value: Any, name: str) -> Any:
    """The value as the annotated type, where TOML or JSON can express it."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ConfigError(f"{name} = {value!r}: no such choice{_nearest(str(value), choices)}")
        return value
    if origin is tuple:
        check_setting(isinstance(value, list | tuple), name, value, "give a list [...]")
        item = typing.get_args(hint)[0]
        return tuple(_coerce(item, v, f"{name}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        check_setting(isinstance(value, dict), name, value, f"give a table [{name}]")
        return value
    assert not isinstance(hint, types.UnionType), f"{name}: settings have one type"
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    good = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    check_setting(good, name, value, f"give a value of type {hint.__name__}")
    return value


def read_suite(path: str | Path) -> SuiteConfig:
    """Read a suite from a TOML file.

    Raises:
        ConfigError: the file is missing or no TOML, or a key or value in it cannot be used.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"config {path}: cannot be read ({error.strerror}); give a .toml file, see configs/"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path}: no valid TOML ({error})") from None
    try:
        return merge(SuiteConfig(), content)
    except ConfigError as error:
        raise ConfigError(f"config {path}: {error}") from None


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain dicts and lists, ready for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def run_from_dict(content: dict[str, Any]) -> RunConfig:
    """The inverse of `to_dict` for a run."""
    return merge(RunConfig(), content)


def run_id(config: RunConfig, data_fingerprint: str) -> str:
    """Ten hex digits that name a run: a hash of what decides its result.

    Settings that only say where things lie or how fast they go (`runtime` fields) do not count, and neither do
    names. `data_fingerprint` stands for the clips, their parts and their audio.
    """
    identity = _identity(config)
    for name in ("name", "variant"):
        del identity[name]
    text = json.dumps([identity, data_fingerprint], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _identity(config: Any) -> dict[str, Any]:
    result = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if f.metadata.get("identity", True):
            result[f.name] = _identity(value) if dataclasses.is_dataclass(value) else value
    return result


def unequal_budgets(runs: typing.Sequence[RunConfig]) -> list[str]:
    """Settings outside `model` and the learning rate that differ between runs of one comparison.

    Variants that train longer, on other data or with other augmentation do not compare networks.
    """
    free = {"lr", "weight_decay", "backbone_lr_ratio"}
    seen: dict[str, set[str]] = {}
    for run in runs:
        for section in ("data", "split", "augment", "train"):
            for key, value in _identity(getattr(run, section)).items():
                if key not in free:
                    seen.setdefault(f"{section}.{key}", set()).add(json.dumps(value, sort_keys=True))
    return sorted(name for name, values in seen.items() if len(values) > 1)
