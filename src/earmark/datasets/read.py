"""Read the dataset that a config names: a public one, your own recordings, a table, or the demo set."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

from earmark.config.sections import DataConfig, check_setting
from earmark.datasets.alike import warn_of_alike_names
from earmark.datasets.demo import read_demo
from earmark.datasets.emodb import read_emodb, validate_emodb
from earmark.datasets.esc50 import read_esc50, validate_esc50
from earmark.datasets.folder import read_csv, read_folder
from earmark.datasets.manifest import Clip, read_manifest
from earmark.datasets.public import PUBLIC_SETS, read_public, validate_public
from earmark.datasets.recordings import find_data
from earmark.datasets.tables import read_audformat, read_audiofolder

LOG = logging.getLogger("earmark")


def read_dataset(data: DataConfig, remedy: str = "") -> list[Clip]:
    """Read the clips that a config names; `data.root` is looked up as given and below $EARMARK_DATA.

    With `data.images` set, ESC-50 and ESC-10 need no audio. An incomplete public dataset
    is reported by a warning, and so are labels and groups that are written in two ways. A `demo` that does not exist
    is created.

    Args:
        data: what to read.
        remedy: for recordings that are not where runs found them; empty: to give the right path.

    Raises:
        ConfigError: `data.root` is empty.
        ManifestError: the recordings do not exist or cannot be used.
    """
    check_setting(bool(data.root), "data.root", data.root, "give the folder or file of the recordings")
    if remedy and data.dataset != "demo":  # which is created
        find_data(data.root, remedy=remedy)
    clips = READERS[data.dataset](data)
    warn_of_alike_names(clips, data.root)
    return clips


def _read_esc50(data: DataConfig) -> list[Clip]:
    esc10 = data.dataset == "esc10"
    clips = read_esc50(find_data(data.root), esc10, require_audio=not data.images)
    _warn_of_gaps("ESC-10" if esc10 else "ESC-50", data.root, validate_esc50(clips, esc10))
    return clips


def _read_emodb(data: DataConfig) -> list[Clip]:
    clips = read_emodb(find_data(data.root))
    _warn_of_gaps("EmoDB", data.root, validate_emodb(clips))
    return clips


def _read_public(data: DataConfig) -> list[Clip]:
    clips = read_public(data.dataset, find_data(data.root))
    _warn_of_gaps(PUBLIC_SETS[data.dataset].title, data.root, validate_public(data.dataset, clips))
    return clips


def _read_table(read: Callable[..., list[Clip]], data: DataConfig) -> list[Clip]:
    return read(find_data(data.root), data.label_column, data.group_column)


def _warn_of_gaps(name: str, root: str, problems: list[str]) -> None:
    if problems:
        LOG.warning("%s: not the complete %s: %s", root, name, "; ".join(problems))


READERS: dict[str, Callable[[DataConfig], list[Clip]]] = {
    "esc50": _read_esc50,
    "esc10": _read_esc50,
    "emodb": _read_emodb,
    **dict.fromkeys(PUBLIC_SETS, _read_public),
    "folder": lambda data: read_folder(find_data(data.root)),
    "csv": functools.partial(_read_table, read_csv),
    "audiofolder": functools.partial(_read_table, read_audiofolder),
    "audformat": functools.partial(_read_table, read_audformat),
    "manifest": lambda data: read_manifest(find_data(data.root)),
    "demo": lambda data: read_demo(data.root),
}
"""The reader of each `data.dataset`."""
