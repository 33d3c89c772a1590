"""The training scripts: one network on two lists of spectrograms, as one run of earmark."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.analysis.records import read_runs
from earmark.config.sections import ConfigError, DataConfig, FrontEndConfig, SplitConfig
from earmark.config.suite import RunConfig, merge
from earmark.config.training import AugmentConfig
from earmark.datasets.manifest import class_names, safe_id
from earmark.features.store import open_store
from earmark.product_cli.command import run_script
from earmark.product_cli.image_lists import ImageLists, read_image_lists, write_subset_files
from earmark.product_cli.layout import RUNS, SPLITS, WORK, find_layout
from earmark.runtime.console import Progress
from earmark.runtime.files import write_json
from earmark.runtime.schema import read_json
from earmark.splits.make import make_split

if TYPE_CHECKING:
    from earmark.runs.plan import PlannedRun

PRETRAINED = {"weights": "imagenet"}
NETWORKS: dict[str, dict[str, dict[str, Any]]] = {
    "baseline_cnn": {"model": {"name": "baseline_cnn", "weights": "none"}, "train": {"lr": 3e-3}},
    "resnet50": {"model": {"name": "resnet50", **PRETRAINED}, "train": {"lr": 1e-3}},
    "resnet50_se": {"model": {"name": "resnet50", "attention": "se", **PRETRAINED}, "train": {"lr": 1e-3}},
    "resnet50_cbam": {"model": {"name": "resnet50", "attention": "cbam", **PRETRAINED}, "train": {"lr": 1e-3}},
    "alexnet": {"model": {"name": "alexnet", **PRETRAINED}, "train": {"lr": 5e-4}},
}
"""Settings of each network; pretrained layers use a tenth of the learning rate."""


@dataclass(frozen=True)
class Arguments:
    """Options of the training scripts."""

    project_root: Path
    """Folder that contains product/; relative paths start from it."""
    lr: float
    """Maximum learning rate."""
    weights: str
    """Initial weights: imagenet, none, or the path of a file."""
    epochs: int = 30
    """Number of epochs."""
    batch_size: int = 32
    """Clips per training step."""
    weight_decay: float = 0.05
    """Decoupled weight decay."""
    seed: int = 42
    """Seed of weights, batches and augmentation."""
    run_name: str = ""
    """Name of the run folder; empty uses network, data set, seed and run id."""
    train_csv: Path = SPLITS / "train.csv"
    """List of spectrograms to train on: filepath,label."""
    val_csv: Path = SPLITS / "val.csv"
    """List of spectrograms to evaluate on; nothing is selected on them, the last epoch is kept."""
    img_size: int = 0
    """Width of a training window in frames (images are never resized); 0 uses the median clip."""
    workers: int = 0
    """Accepted without effect: images are decoded once, before training, on all cores."""
    logdir: Path = RUNS
    """Folder of run folders, for `tensorboard --logdir`."""
    device: str = "auto"
    """Device to run on: auto, cpu or cuda."""


def training(network: str, project_root: Path, program: str) -> None:
    """The script that trains one of `NETWORKS`."""

    def work(given: Arguments) -> None:
        """Train a network on one list of spectrograms and evaluate it on another one."""
        folder = train(network, given)
        print(f"{folder}: {_headline(folder)}")

    run_script(program, work, default_arguments(network, project_root))


def default_arguments(network: str, project_root: Path) -> Arguments:
    """The default options of a script."""
    settings = NETWORKS[network]
    return Arguments(project_root, settings["train"]["lr"], settings["model"]["weights"])


def train(network: str, given: Arguments) -> Path:
    """Train and evaluate one run, or resume it; returns its folder.

    Raises:
        EarmarkError: a list, an image, a setting or the weights cannot be used, a group is in both lists, or the
            folder contains another run.
    """
    run, data = plan_training(network, given)
    from earmark.product_cli.plots import write_plots
    from earmark.runs.prepare import load_data
    from earmark.runs.train import train_and_evaluate
    from earmark.training.devices import select_device

    device, progress = select_device(given.device), Progress()
    if not run.finished:
        images = load_data(run.config, data, device)
        train_and_evaluate(run, data, images, device, lambda text: progress.status(f"{run.folder.name}  {text}"))
        progress.line(f"{run.folder.name}  done")
    write_plots(run.folder, data.class_names)
    write_json(run.folder / "summary.json", summary(run.folder))
    return run.folder


def plan_training(network: str, given: Arguments) -> tuple[PlannedRun, Any]:
    """The run that the options describe, with its `RunData`; trains nothing."""
    root = given.project_root
    lists = read_image_lists(root / given.train_csv, root / given.val_csv, root)
    store = open_store(lists.folder)
    config = run_config(network, given, lists, store.front_end, store.n_mels)
    from earmark.runs.plan import RunData, plan_run

    data = RunData(lists.clips, class_names(lists.clips), store)
    run = plan_run(config, data, make_split(data.clips, config.split, config.fold), root / given.logdir)
    name = given.run_name or f"{network}-{lists.dataset}-seed{given.seed}-{run.id}"
    run = dataclasses.replace(run, folder=root / given.logdir / name)
    _check_folder(run, name)
    return run, data


def run_config(
    network: str, given: Arguments, lists: ImageLists, front_end: FrontEndConfig | None, n_mels: int
) -> RunConfig:
    """The options as the config of a run, equal to those of configs/product_esc50.toml and product_emodb.toml."""
    root = given.project_root
    layout, lists_folder = find_layout(clip.clip_id for clip in lists.clips), write_subset_files(lists, root / WORK)
    window = window_seconds(given.img_size, front_end)
    train = {name: getattr(given, name) for name in ("epochs", "batch_size", "lr", "weight_decay")}
    changes = {
        "model": {**NETWORKS[network]["model"], "weights": _weights(given.weights, root)},
        "train": {**train, "backbone_lr_ratio": 0.1, "window_seconds": window},
    }
    base = RunConfig(
        name=lists.dataset,
        variant=network,
        seed=given.seed,
        data=DataConfig(
            dataset=layout.name if layout else "manifest",
            root=str(root / layout.recordings if layout else lists_folder / "clips.csv"),
            images=str(lists.folder),
        ),
        front_end=dataclasses.replace(front_end, sample_rate=0) if front_end else FrontEndConfig(),
        split=SplitConfig(kind="files", path=str(lists_folder)),
        augment=AugmentConfig(waveform=lists.augmentations, freq_mask_bins=n_mels // 8),
    )
    return merge(base, changes)


def window_seconds(img_size: int, front_end: FrontEndConfig | None) -> float:
    """The length of a window that is `img_size` frames wide; 0 for 0, the median clip.

    Raises:
        ConfigError: the duration of a frame is unknown, or `img_size` is negative.
    """
    if img_size == 0:
        return 0.0
    if img_size < 0 or front_end is None:
        why = "give 0 (the median clip) or more" if front_end else "the duration of a frame is unknown; give 0"
        raise ConfigError(f"--img_size = {img_size}: {why}")
    return img_size * front_end.hop_length / front_end.sample_rate


def _weights(given: str, project_root: Path) -> str:
    """Weights by name or path; a path may be relative to the project root."""
    file = project_root / given
    return str(file) if file.is_file() else given


def _check_folder(run: PlannedRun, name: str) -> None:
    """Refuse a name that is no folder name, and a folder that contains the work of another run."""
    if safe_id(name) != name or not name.strip("."):
        raise ConfigError(f"--run_name = {name!r}: use letters, digits and . _ + - only")
    started = any((run.folder / file).is_file() for file in ("last.safetensors", "result.json"))
    if started and _recorded_ids(run.folder) != {run.id}:
        raise ConfigError(
            f"--run_name = {name!r}: {run.folder} holds a run with other settings or data; choose another name or "
            "delete the folder"
        )


def _recorded_ids(folder: Path) -> set[str]:
    """The run ids that a run folder records; one unless somebody mixed two runs."""
    files = [path for name in ("config.json", "result.json") if (path := folder / name).is_file()]
    return {read_json(path, {"id": str})["id"] for path in files}


def summary(folder: Path) -> dict[str, Any]:
    """The main results of a finished run, from the files in its folder."""
    (record,) = read_runs(folder)
    kept = ("seed", "epochs", "kept_epoch", "reported_subset", "selected_on", "n_clips", "n_parameters")
    return {
        "run_name": folder.name,
        "dataset": record.config.name,
        "model": record.variant,
        **{name: record.result[name] for name in kept},
        **record.result["metrics"],
        "train_seconds": record.timing["train_seconds"],
        "device": record.timing["device"],
        "checkpoint": "last.safetensors",
    }


def _headline(folder: Path) -> str:
    facts = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return (
        f"accuracy {100 * facts['accuracy']:.1f} %, UAR {100 * facts['uar']:.1f} % on {facts['n_clips']} held-out "
        f"clips ({facts['dataset']}, {facts['model']}, seed {facts['seed']})"
    )
