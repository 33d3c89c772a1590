"""Export to 8 bits with the accuracy before and after, so that nobody ships a loss without knowing it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from earmark.audio.io import audio_files, is_audio_name
from earmark.deploy.export import Exported, build_graphs
from earmark.deploy.info import DeployError, ExpectedScore
from earmark.deploy.remote import local_path
from earmark.deploy.torch_engine import load_networks
from earmark.deploy.verify import check_agreement, open_graph, read_clips
from earmark.features.log_mel import load_image
from earmark.features.windows import cut_windows
from earmark.runtime.console import format_names, pluralize
from earmark.runtime.files import file_digest
from earmark.splits.io import read_split_rows
from earmark.training.checkpoint_files import checkpoint_of

LOG = logging.getLogger("earmark")
RANGE_CLIPS = 100
"""The most clips on which value ranges are measured, spread evenly over the folder."""
SUBSETS = ("train", "test")
"""Of a run's split.csv: value ranges are measured on the first, accuracy on the second."""
LARGEST_LOSS = 0.01
"""Of accuracy, without `force`."""


class Recordings(NamedTuple):
    """What an 8-bit export needs: clips that set its value ranges, and labeled ones that measure its accuracy."""

    ranges: list[Path]
    tested: list[tuple[Path, str]]
    name: str
    """Of the tested clips, in messages."""


def read_recordings(model: Path, clips: Path | None, class_names: Sequence[str]) -> Recordings:
    """The training and test clips of a run (see `checkpoint_of`), or the class folders of `clips` for both.

    Raises:
        DeployError: there is no such clip, or one of another class.
    """
    if clips is not None:
        tested = [(file, file.parent.name) for file in audio_files(clips) if file.parent.name in class_names]
        if not tested:
            known = ", ".join(class_names)
            raise DeployError(f"clips {clips}: no recording in a subfolder named like a class, {known}")
        return Recordings([file for file, _ in tested], tested, f"the clips of {clips.name}")
    given = local_path(model)
    folder = given if given.is_dir() else checkpoint_of(given).parent
    table = folder / "split.csv"
    if not table.is_file():
        raise DeployError(
            "clips: int8 needs recordings to measure value ranges and accuracy on; name a folder with one subfolder "
            "per class, or export a run folder, whose own training and test clips are used"
        )
    rows = read_split_rows(folder)
    unknown = sorted({row.get("label", "") for row in rows} - set(class_names))
    if unknown:
        raise DeployError(f"{table}: {format_names(unknown)} is not a class of the model; name a folder with --clips")
    files = {
        name: [(folder / row.get("filepath", ""), row["label"]) for row in rows if row["subset"] == name]
        for name in SUBSETS
    }
    if not all(files[name] and all(is_audio_name(file.name) for file, _ in files[name]) for name in SUBSETS):
        raise DeployError(f"{table}: does not list recordings of train and test; name a folder of them with --clips")
    return Recordings([file for file, _ in files["train"]], files["test"], f"the test clips of {folder.resolve().name}")


def export_int8(model: Path, clips: Path | None = None) -> tuple[Exported, ExpectedScore, ExpectedScore]:
    """The 8-bit graphs, and the accuracy of float32 and int8.

    Args:
        model: a run folder, a model folder or a checkpoint.
        clips: a folder with one subfolder of recordings per class; a small part of it sets the value ranges. None
            takes training clips of the run folder for these, and its test clips for the accuracy. Clips that trained
            the model count for the accuracy only where there are no others.

    Raises:
        DeployError: there are no such clips that can be read.
    """
    loaded = load_networks(model)
    info = loaded.info
    recordings = read_recordings(model, clips, info.class_names)

    def windows_of(file: Path) -> np.ndarray:
        return cut_windows(load_image(file, info.front_end), info.window_frames)

    chosen = recordings.ranges[:: -(-len(recordings.ranges) // RANGE_CLIPS)]
    windows = read_clips([*chosen, *(file for file, _ in recordings.tested)], windows_of)
    ranges = [windows[file] for file in chosen if file in windows]
    read = [(file, label) for file, label in recordings.tested if file in windows]
    recordings = _prefer_new(recordings._replace(tested=read), info.recordings)
    tested = [(windows[file], info.class_names.index(label)) for file, label in recordings.tested]
    if not (ranges and tested):
        raise DeployError(f"{recordings.name}: too few of the run's recordings can be read; name a folder with --clips")
    plain = build_graphs(loaded)
    check_agreement(plain, loaded)
    quantized = build_graphs(loaded, "int8", np.concatenate(ranges))
    scores = [_accuracy(graphs, tested) for graphs in (plain, quantized)]
    before, after = (
        ExpectedScore("accuracy", value, len(tested), source=f"{recordings.name}, {form}")
        for value, form in zip(scores, ("float32", "int8"), strict=True)
    )
    return replace(quantized, int8_score=after), before, after


def _prefer_new(recordings: Recordings, trained: Collection[str]) -> Recordings:
    """The recordings without tested clips that trained the model; where there are no others, with a warning.

    Args:
        trained: digests of the files that trained the model.
    """
    tested = recordings.tested
    new = [(file, label) for file, label in tested if file_digest(file) not in trained]
    if len(new) == len(tested):
        return recordings
    if new:
        return recordings._replace(tested=new, name=f"{recordings.name} that did not train the model")
    LOG.warning(
        "the accuracy is that of %s which trained the model: it is no score, and int8 may lose more on new clips; "
        "name a folder of new ones with --clips",
        pluralize(len(tested), "clip"),
    )
    return recordings._replace(name=f"{recordings.name}, which trained the model")


def refuse_loss(before: ExpectedScore, after: ExpectedScore, force: bool) -> None:
    """Raise `DeployError` if more than a point of accuracy is lost, unless forced."""
    loss = before.value - after.value
    if loss > LARGEST_LOSS + 1e-9 and not force:  # one clip in a hundred is exactly a point
        raise DeployError(f"precision = 'int8': loses {100 * loss:.1f} points of accuracy; give float16, or --force")


def _accuracy(exported: Exported, tested: Sequence[tuple[np.ndarray, int]]) -> float:
    session = open_graph(exported.network_alone())
    right = 0
    for windows, target in tested:
        (logits,) = session.run(["logits"], {"image": windows})
        right += int(exported.info.probabilities(logits.mean(axis=0, keepdims=True)).argmax()) == target
    return right / len(tested)
