"""The Berlin database of emotional speech (EmoDB): flat files whose names give speaker, text and emotion.

F. Burkhardt, A. Paeschke, M. Rolfes, W. Sendlmeier and B. Weiss, "A database of German emotional speech",
Interspeech 2005.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from earmark.audio.io import is_audio_name
from earmark.datasets.manifest import Clip, check_unique
from earmark.datasets.recordings import count_differences, warn_of_skipped, with_durations
from earmark.datasets.rows import ManifestError

LOG = logging.getLogger("earmark")

EMOTIONS = {
    "W": "anger",  # Wut (Ärger)
    "L": "boredom",  # Langeweile
    "E": "disgust",  # Ekel
    "A": "fear",  # Angst
    "F": "happiness",  # Freude
    "T": "sadness",  # Trauer
    "N": "neutral",
}
"""The sixth character of a file name, the initial of the German word, and the label it becomes."""

UTTERANCES = {
    "anger": 127, "boredom": 81, "neutral": 79, "happiness": 71, "fear": 69, "sadness": 62, "disgust": 46,
}  # fmt: skip
"""Number of utterances of each emotion in the complete dataset, 535 in all."""

SPEAKERS = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")

_NAME = re.compile(r"(?P<speaker>\d\d)[ab]\d\d(?P<emotion>[WLEAFTN])[a-z]")


def read_emodb(root: str | Path) -> list[Clip]:
    """Read EmoDB from a folder of its files, or from the unpacked archive with the files in ``wav/``.

    The label is the emotion, the group the speaker. Files of any audio extension are read; those with
    other names are skipped with a warning. When all files have the same duration, a warning says that this is not
    the original dataset.

    Raises:
        ManifestError: there is no file with an EmoDB name, or two share a name, or none can be read.
    """
    folder = Path(root) / "wav" if (Path(root) / "wav").is_dir() else Path(root)
    files = sorted(p for p in folder.glob("*") if is_audio_name(p.name))
    matches = [(path, _NAME.fullmatch(path.stem)) for path in files]
    clips = [Clip(path.stem, path, EMOTIONS[m["emotion"]], m["speaker"]) for path, m in matches if m]
    if not clips:
        raise ManifestError(
            f"{root}: holds no audio file named as in EmoDB (for example 03a01Fa.wav); give the folder of "
            "the files, which `earmark download emodb` fetches"
        )
    check_unique([clip.clip_id for clip in clips], [clip.path for clip in clips])
    warn_of_skipped([path.name for path, m in matches if not m], root, "not named as in EmoDB")
    clips = with_durations(clips, root)
    _warn_of_one_duration(clips, root)
    return clips


def _warn_of_one_duration(clips: Sequence[Clip], root: str | Path) -> None:
    durations = {clip.duration for clip in clips if clip.duration}
    if len(clips) > 1 and len(durations) == 1:
        message = "%s: every file lasts %.3g s, so this is not the original EmoDB but a copy cut or padded to that"
        LOG.warning(message, root, durations.pop())


def validate_emodb(clips: Sequence[Clip]) -> list[str]:
    """What is not as in the complete dataset, one line each: 535 utterances, 7 emotions, 10 speakers."""
    problems = [] if len(clips) == 535 else [f"{len(clips)} utterances instead of 535"]
    problems += count_differences(Counter(clip.label for clip in clips), UTTERANCES)
    speakers = sorted({clip.group for clip in clips})
    if speakers != list(SPEAKERS):
        problems.append(f"speakers {', '.join(speakers)} instead of {', '.join(SPEAKERS)}")
    return problems
