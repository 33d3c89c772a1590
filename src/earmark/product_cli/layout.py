"""Where the scripts of `product/` read and write, for each of their two data sets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from earmark.config.sections import FrontEndConfig

AUDIO = Path("product/audio_preprocessing")
AUGMENTED = AUDIO / "data" / "augmented_wav"
ARTIFACTS = Path("product/artifacts")
SPLITS = ARTIFACTS / "splits"
RUNS = ARTIFACTS / "runs"
TABLES = ARTIFACTS / "tables"
WORK = ARTIFACTS / "work"

AUGMENTATIONS = ("noisy", "pitchUp2", "stretch0.9")
"""The augmentations that are made in addition to the originals."""


@dataclass(frozen=True)
class Layout:
    """Paths and names of a data set; paths are relative to the project root."""

    name: Literal["esc50", "emodb"]
    """Its `data.dataset`."""
    recordings: Path
    spectrograms: Path
    suffix: str
    """Follows ``train`` and ``val`` in the names of its split files."""
    front_end: FrontEndConfig
    file_name: re.Pattern[str]
    """Matches the names of its files without extension; ``group`` is what must not cross subsets."""
    group: str
    """What a group is."""

    def group_of(self, clip_id: str) -> str:
        """The group in the name of a clip, which must follow the naming scheme."""
        match = self.file_name.fullmatch(clip_id)
        assert match, f"{clip_id!r} is no clip of {self.name}"
        return match["group"]


ESC50 = Layout(
    name="esc50",
    recordings=AUDIO / "data" / "ESC-50",
    spectrograms=AUDIO / "outputs" / "spectrograms",
    suffix="",
    front_end=FrontEndConfig(),
    file_name=re.compile(r"\d-(?P<group>\d+)-[A-Z]-\d+"),
    group="source recording",
)
EMODB = Layout(
    name="emodb",
    recordings=AUDIO / "data" / "EmoDB-wav",
    spectrograms=AUDIO / "outputs" / "spectrograms_emodb",
    suffix="_emodb",
    front_end=FrontEndConfig(n_fft=1024, hop_length=160, n_mels=64),
    file_name=re.compile(r"(?P<group>\d\d)[ab]\d\d(?P<emotion>[WLEAFTN])[a-z]"),
    group="speaker",
)


def find_layout(clip_ids: Iterable[str]) -> Layout | None:
    """The data set whose naming scheme all of the clips follow; None for another one."""
    clip_ids = list(clip_ids)
    for layout in (ESC50, EMODB):
        if all(layout.file_name.fullmatch(clip_id) for clip_id in clip_ids):
            return layout
    return None
