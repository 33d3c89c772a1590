"""The two data sets of the documented command lines, and where everything lies below the project's root."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from earmark.config.sections import FrontEndConfig

AUDIO = Path("product/audio_preprocessing")
AUGMENTED = AUDIO / "data" / "augmented_wav"
ARTIFACTS = Path("product/artifacts")
SPLITS = ARTIFACTS / "splits"
RUNS = ARTIFACTS / "runs"
TABLES = ARTIFACTS / "tables"
WORK = ARTIFACTS / "work"

VARIANTS = ("noisy", "pitchUp2", "stretch0.9")
"""The waveform variants that are made beside the originals."""


@dataclass(frozen=True)
class Corpus:
    """A data set as the documented command lines know it; paths are relative to the project's root."""

    name: str
    """Its `data.dataset`."""
    recordings: Path
    spectrograms: Path
    ending: str
    """What stands behind ``train`` and ``val`` in the names of its split files."""
    front_end: FrontEndConfig
    file_name: re.Pattern[str]
    """Matches the names of its files, without extension; its part ``group`` is what must not cross parts."""
    group: str
    """What a group is."""


ESC50 = Corpus(
    name="esc50",
    recordings=AUDIO / "data" / "ESC-50",
    spectrograms=AUDIO / "outputs" / "spectrograms",
    ending="",
    front_end=FrontEndConfig(),
    file_name=re.compile(r"\d-(?P<group>\d+)-[A-Z]-\d+"),
    group="source recording",
)
EMODB = Corpus(
    name="emodb",
    recordings=AUDIO / "data" / "EmoDB-wav",
    spectrograms=AUDIO / "outputs" / "spectrograms_emodb",
    ending="_emodb",
    front_end=FrontEndConfig(n_fft=1024, hop_length=160, n_mels=64),
    file_name=re.compile(r"(?P<group>\d\d)[ab]\d\d(?P<emotion>[WLEAFTN])[a-z]"),
    group="speaker",
)


def corpus_of(clip_ids: Iterable[str]) -> Corpus | None:
    """The data set whose naming all of the clips follow; None: another one."""
    clip_ids = list(clip_ids)
    for corpus in (ESC50, EMODB):
        if all(corpus.file_name.fullmatch(clip_id) for clip_id in clip_ids):
            return corpus
    return None
