"""The public data sets other than ESC-50 and EmoDB: how each is found, and what the complete set holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from earmark.datasets.listed_files import find_dcase_scenes, find_gtzan, find_speech_commands, find_urbansound8k
from earmark.datasets.manifest import Clip, check_unique
from earmark.datasets.named_files import CREMA_D, FSDD, RAVDESS, find_named
from earmark.datasets.recordings import with_durations


@dataclass(frozen=True)
class PublicSet:
    """A public data set."""

    title: str
    find: Callable[[Path], list[Clip]]
    """Its clips in a folder of the official layout, without durations."""
    sizes: dict[str, tuple[int, ...]]
    """Numbers of clips, classes and groups in the complete set; several where there are several editions."""


PUBLIC_SETS = {
    "urbansound8k": PublicSet(
        "UrbanSound8K", find_urbansound8k, {"clips": (8732,), "classes": (10,), "groups": (1297,), "folds": (10,)}
    ),
    "speech_commands": PublicSet("Speech Commands", find_speech_commands, {"clips": (105829,), "classes": (35,)}),
    "fsdd": PublicSet(
        FSDD.title, partial(find_named, naming=FSDD), {"clips": (3000,), "classes": (10,), "groups": (6,)}
    ),
    "gtzan": PublicSet("GTZAN", find_gtzan, {"clips": (930, 1000), "classes": (10,)}),
    "dcase_scenes": PublicSet("DCASE acoustic scenes", find_dcase_scenes, {}),
    "ravdess": PublicSet(
        RAVDESS.title, partial(find_named, naming=RAVDESS), {"clips": (1440,), "classes": (8,), "groups": (24,)}
    ),
    "crema_d": PublicSet(
        CREMA_D.title, partial(find_named, naming=CREMA_D), {"clips": (7442,), "classes": (6,), "groups": (91,)}
    ),
}
"""The sets by `data.dataset`."""


def read_public(name: str, root: str | Path) -> list[Clip]:
    """Read one of `PUBLIC_SETS` from a folder of its official layout.

    Raises:
        ManifestError: the folder has another layout (what was looked for, what is there, the remedy), a table or list
            cannot be used, or no recording can be read.
    """
    clips = PUBLIC_SETS[name].find(Path(root))
    check_unique([clip.clip_id for clip in clips], [clip.path for clip in clips])
    return with_durations(clips, root)


def validate_public(name: str, clips: Sequence[Clip]) -> list[str]:
    """What is not as in the complete set, one line each."""
    folds = {clip.fold for clip in clips} - {None}
    found = {
        "clips": len(clips),
        "classes": len({clip.label for clip in clips}),
        "groups": len({clip.group for clip in clips}),
        "folds": len(folds),
    }
    return [
        f"{found[what]} {what} instead of {' or '.join(map(str, numbers))}"
        for what, numbers in PUBLIC_SETS[name].sizes.items()
        if found[what] not in numbers
    ]
