"""Data sets whose file names carry everything: RAVDESS, CREMA-D and the Free Spoken Digit Dataset (FSDD).

S. R. Livingstone and F. A. Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)",
PLoS ONE 13(5), 2018. H. Cao et al., "CREMA-D: Crowd-Sourced Emotional Multimodal Actors Dataset", IEEE Transactions on
Affective Computing 5(4), 2014. Z. Jackson et al., Free Spoken Digit Dataset, doi:10.5281/zenodo.1342401.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from earmark.audio.io import audio_files
from earmark.datasets.manifest import Clip
from earmark.datasets.recordings import contents, warn_of_skipped
from earmark.datasets.rows import ManifestError
from earmark.runtime.console import printable

LFS_POINTER = b"version https://git-lfs"
"""How a file begins that Git LFS has not fetched yet."""


@dataclass(frozen=True)
class Naming:
    """How the files of a data set are named."""

    title: str
    example: str
    """A file name, for messages."""
    pattern: re.Pattern[str]
    """Matches a name without its extension; the group `label` becomes the label, `group` the group."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The label of each code; a code that is not in it is the label itself."""
    test_indices: tuple[str, ...] = ()
    """Values of the group `index` that are in the official test subset, fold 1; the others are in fold 2."""


RAVDESS = Naming(
    title="RAVDESS speech",
    example="03-01-06-01-02-01-12.wav",
    # modality (03 audio only), channel (01 speech), emotion, intensity, statement, repetition, actor
    pattern=re.compile(r"03-01-(?P<label>0[1-8])-0[12]-0[12]-0[12]-(?P<group>\d\d)"),
    labels={
        "01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry", "06": "fearful", "07": "disgust",
        "08": "surprised",
    },
)  # fmt: skip

CREMA_D = Naming(
    title="CREMA-D",
    example="1001_DFA_ANG_XX.wav",
    # actor, sentence, emotion, level; 1040_ITH_SAD_X.wav is named so in the published set
    pattern=re.compile(r"(?P<group>1\d{3})_[A-Z]{3}_(?P<label>ANG|DIS|FEA|HAP|NEU|SAD)_(?:LO|MD|HI|XX?)"),
    labels={"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"},
)

FSDD = Naming(
    title="FSDD",
    example="7_jackson_32.wav",
    pattern=re.compile(r"(?P<label>\d)_(?P<group>[a-z]+)_(?P<index>\d+)"),
    test_indices=("0", "1", "2", "3", "4"),
)


def find_named(root: Path, naming: Naming) -> list[Clip]:
    """The clips below a folder by their names; other audio files are skipped with a warning.

    Raises:
        ManifestError: no audio file has such a name, one name occurs twice, or the files are pointers of Git LFS.
    """
    files = audio_files(root)
    matches = [(path, naming.pattern.fullmatch(path.stem)) for path in files]
    clips = [_clip(path, match, naming) for path, match in matches if match]
    if not clips:
        raise ManifestError(
            f"{root}: holds no audio file named as in {naming.title} (for example {naming.example}), but "
            f"{contents(root)}; give the folder that {naming.title} was unpacked to"
        )
    _check_no_copies(clips, naming)
    _check_fetched(clips[0].path)
    warn_of_skipped([path.name for path, match in matches if not match], root, f"not named as in {naming.title}")
    return clips


def _clip(path: Path, match: re.Match[str], naming: Naming) -> Clip:
    label = naming.labels.get(match["label"], match["label"])
    fold = (1 if match["index"] in naming.test_indices else 2) if naming.test_indices else None
    return Clip(path.stem, path, label, match["group"], fold)


def _check_no_copies(clips: list[Clip], naming: Naming) -> None:
    first: dict[str, Path] = {}
    for clip in clips:
        path = first.setdefault(clip.clip_id, clip.path)
        if path is not clip.path:
            both = f"{printable(path)} and {printable(clip.path)}"
            raise ManifestError(f"{both}: {naming.title} is there twice; give the folder of one copy")


def _check_fetched(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise ManifestError(f"{printable(path)}: is a pointer of Git LFS, not audio; fetch it with `git lfs pull`")
