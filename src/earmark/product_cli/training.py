"""The documented training scripts: one network on two lists of spectrograms, as one run of earmark."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.config.sections import AugmentConfig, ConfigError, DataConfig, FrontEndConfig, SplitConfig
from earmark.config.suite import RunConfig, merge
from earmark.datasets.manifest import class_names, safe_id
from earmark.features.store import open_store
from earmark.product_cli.command import run_script
from earmark.product_cli.corpora import RUNS, SPLITS, WORK, corpus_of
from earmark.product_cli.image_lists import ImageLists, read_image_lists, write_part_files
from earmark.runtime.console import Progress
from earmark.runtime.files import write_json
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
"""What the scripts train, and at which learning rate; pretrained layers have a tenth of it."""


@dataclass(frozen=True)
class Arguments:
    """Options of the training scripts."""

    project_root: Path
    """Folder that holds product/; other paths are looked up from it."""
    lr: float
    """Highest learning rate."""
    weights: str
    """What to start from: imagenet, none, or a path to a file of weights."""
    epochs: int = 30
    """Passes over the training clips."""
    batch_size: int = 32
    """Clips per step."""
    weight_decay: float = 0.05
    """Decoupled weight decay."""
    seed: int = 42
    """Seed of weights, batches and augmentation."""
    run_name: str = ""
    """Name of the run's folder; empty makes one of network, data set, seed and the run's id."""
    train_csv: Path = SPLITS / "train.csv"
    """List of spectrograms to train on: filepath,label."""
    val_csv: Path = SPLITS / "val.csv"
    """List of spectrograms to report on; nothing is selected on them, the last epoch is kept."""
    img_size: int = 0
    """Width of a training window in frames (images are never squeezed); 0 takes the median clip."""
    workers: int = 0
    """Accepted and without effect: images are decoded once, before training, on all cores."""
    logdir: Path = RUNS
    """The run's folder is made in it: `tensorboard --logdir` shows it."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda."""


def training(network: str, project_root: Path, program: str) -> None:
    """The script that trains one of `NETWORKS`."""

    def work(given: Arguments) -> None:
        """Train a network on a list of spectrograms and report on another one."""
        folder = train(network, given)
        print(f"{folder}: {_headline(folder)}")

    run_script(program, work, default_arguments(network, project_root))


def default_arguments(network: str, project_root: Path) -> Arguments:
    """What a script does when no option is given."""
    settings = NETWORKS[network]
    return Arguments(project_root, settings["train"]["lr"], settings["model"]["weights"])


def train(network: str, given: Arguments) -> Path:
    """Train and score one run, or go on with it; returns its folder.

    Raises:
        ValueError: a list, an image, a setting or the weights cannot be used, a group stands in both lists, or the
            folder holds another run.
    """
    run, data = plan_training(network, given)
    from earmark.product_cli.pictures import write_pictures
    from earmark.runs.prepare import load_data
    from earmark.runs.train import train_and_evaluate
    from earmark.training.loop import select_device

    device, progress = select_device(given.device), Progress()
    if not run.finished:
        images = load_data(run.config, data, device)
        train_and_evaluate(run, data, images, device, lambda text: progress.status(f"{run.folder.name}  {text}"))
        progress.line(f"{run.folder.name}  done")
    write_pictures(run.folder, data.class_names)
    write_json(run.folder / "summary.json", summary(run.folder))
    return run.folder


def plan_training(network: str, given: Arguments) -> tuple[PlannedRun, Any]:
    """The run that the options ask for, with its `RunData`; trains nothing."""
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
    """The options as the config of a run; configs/product_esc50.toml and product_emodb.toml say the same for suites."""
    root = given.project_root
    corpus, parts = corpus_of(clip.clip_id for clip in lists.clips), write_part_files(lists, root / WORK)
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
            dataset=corpus.name if corpus else "manifest",
            root=str(root / corpus.recordings if corpus else parts / "clips.csv"),
            images=str(lists.folder),
        ),
        front_end=dataclasses.replace(front_end, sample_rate=0) if front_end else FrontEndConfig(),
        split=SplitConfig(kind="files", path=str(parts)),
        augment=AugmentConfig(waveform=lists.waveforms, freq_mask_bins=n_mels // 8),
    )
    return merge(base, changes)


def window_seconds(img_size: int, front_end: FrontEndConfig | None) -> float:
    """The length of a window that is `img_size` frames wide; 0 for 0, the median clip.

    Raises:
        ConfigError: the images do not say how long a frame is.
    """
    if img_size == 0:
        return 0.0
    if img_size < 0 or front_end is None:
        why = "give 0 (the median clip) or more" if front_end else "the images do not say how long a frame is; give 0"
        raise ConfigError(f"--img_size = {img_size}: {why}")
    return img_size * front_end.hop_length / front_end.sample_rate


def _weights(given: str, project_root: Path) -> str:
    """The path of a file of weights is looked up from the project's root as well."""
    file = project_root / given
    return str(file) if file.is_file() else given


def _check_folder(run: PlannedRun, name: str) -> None:
    """Refuse a name that is no folder name, and a folder in which another run has trained."""
    if safe_id(name) != name or not name.strip("."):
        raise ConfigError(f"--run_name = {name!r}: use letters, digits and . _ + - only")
    begun = (run.folder / "last.safetensors").is_file()
    if begun and json.loads((run.folder / "config.json").read_text(encoding="utf-8"))["id"] != run.id:
        raise ConfigError(
            f"--run_name = {name!r}: {run.folder} holds a run of other settings or data; give another name or delete it"
        )


def summary(folder: Path) -> dict[str, Any]:
    """What is most asked for of a finished run, from its records."""
    read = {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("result", "timing")}
    result, config = read["result"], json.loads((folder / "config.json").read_text(encoding="utf-8"))["run"]
    kept = ("seed", "epochs", "kept_epoch", "selected_on", "n_clips", "n_parameters")
    return {
        "run_name": folder.name,
        "dataset": config["name"],
        "model": result["variant"],
        **{name: result[name] for name in kept},
        "reported_part": result.get("reported_subset") or result["reported_part"],  # format version 1
        **result["metrics"],
        "train_seconds": read["timing"]["train_seconds"],
        "device": read["timing"]["device"],
        "checkpoint": "last.safetensors",
    }


def _headline(folder: Path) -> str:
    facts = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return (
        f"accuracy {100 * facts['accuracy']:.1f} %, UAR {100 * facts['uar']:.1f} % on {facts['n_clips']} held-out "
        f"clips ({facts['dataset']}, {facts['model']}, seed {facts['seed']})"
    )
