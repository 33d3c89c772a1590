"""Picture and sound of a clip, found on this machine and made small enough to embed.

What is missing (the recording, an audio library) is reported, and never stops the report.
"""

from __future__ import annotations

import base64
import csv
import functools
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from earmark.analysis.records import RunRecord
from earmark.datasets.recordings import find_data
from earmark.features.palette import palette
from earmark.features.store import open_image
from earmark.runtime.errors import EarmarkError

LONGEST_SECONDS = 10.0
"""Picture and player of a longer recording end here."""
MP3_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000})


@dataclass(frozen=True, eq=False)
class Media:
    """What there is of a clip to see and hear."""

    image: np.ndarray | None = None
    """uint8 (F, T) log-mel image, row 0 the highest bin."""
    waveform: np.ndarray | None = None
    """float32 (N,)."""
    sample_rate: int = 0
    seconds: float = 0.0
    """Length of what is shown; 0 where the time scale is not known."""
    low_hz: float = 0.0
    high_hz: float = 0.0
    overlay: Path | None = None
    """PNG of the spectrogram with its Grad-CAM, from the `gallery` folder of a run."""
    remark: str = ""
    """What is missing or left out, and why."""


def find_media(runs: Sequence[RunRecord], clip_id: str) -> Media:
    """Picture and sound of a clip, all by one of its runs: spectrogram, scale and Grad-CAM are of the same front end.

    That is the first run with a Grad-CAM, else the first that earmark has trained: imported runs have no front end.
    """
    run = max(runs, key=lambda run: (_overlay(run, clip_id) is not None, not run.imported))
    media = _from_recording(clip_file(run, clip_id), run)
    ready_made = _ready_made_image(run, clip_id)
    if ready_made is not None:
        media = replace(media, image=ready_made, seconds=0.0)
    return replace(media, overlay=_overlay(run, clip_id))


def _overlay(run: RunRecord, clip_id: str) -> Path | None:
    path = run.folder / "gallery" / f"{clip_id}.png"
    return path if path.is_file() else None


def clip_file(record: RunRecord, clip_id: str) -> Path:
    """Where the recording of a clip lies, as split.csv says: relative to the run's folder, or absolute.

    Runs that were committed as predictions have no split.csv, and so no recordings.
    """
    filepath = _filepaths(record.folder).get(clip_id)
    if filepath is None:
        return record.folder / clip_id
    beside = record.folder / filepath
    below_root = Path(record.config.data.root) / filepath
    return below_root if record.config.data.root and not beside.is_file() else beside


@functools.lru_cache(maxsize=4)  # asked for each clip that is shown
def _filepaths(folder: Path) -> dict[str, str]:
    """What split.csv says of each clip; nothing without one."""
    if not (folder / "split.csv").is_file():
        return {}
    with (folder / "split.csv").open(newline="", encoding="utf-8") as file:
        return {row["clip_id"]: row["filepath"] for row in csv.DictReader(file)}


def _from_recording(path: Path, run: RunRecord) -> Media:
    if not path.is_file():
        return Media(remark=f"The recording {path.name} is not on this machine.")
    try:
        from earmark.audio.io import audio_info
        from earmark.features.log_mel import clip_images

        front_end = run.config.front_end
        (_, clip) = next(clip_images(path, front_end, max_seconds=LONGEST_SECONDS))
        seconds = audio_info(path).duration
    except ImportError as error:
        return Media(remark=f"The recording was not read: {error.name} is not installed.")
    except EarmarkError as error:
        return Media(remark=str(error))
    return Media(
        image=clip.image,
        waveform=clip.waveform,
        sample_rate=clip.sample_rate,
        seconds=len(clip.waveform) / clip.sample_rate,
        low_hz=front_end.f_min,
        high_hz=front_end.f_max or clip.sample_rate / 2,
        remark=f"Shown are the first {LONGEST_SECONDS:g} s of {seconds:.1f} s." if seconds > LONGEST_SECONDS else "",
    )


def _ready_made_image(run: RunRecord, clip_id: str) -> np.ndarray | None:
    """The image that the run has read, where it was trained on images made elsewhere."""
    if not run.config.data.images:
        return None
    try:
        path = find_data(run.config.data.images) / f"{clip_id}_orig.png"
        with open_image(path) as image:
            return np.asarray(image)
    except (OSError, ValueError):
        return None


def audio_url(waveform: np.ndarray, sample_rate: int) -> str:
    """A small file that browsers play, as a data URL: MP3 where the rate is one of MP3's, else WAV."""
    import soundfile

    mp3 = sample_rate in MP3_RATES and "MP3" in soundfile.available_formats()
    kind = {"format": "MP3", "subtype": "MPEG_LAYER_III"} if mp3 else {"format": "WAV", "subtype": "PCM_16"}
    with tempfile.TemporaryDirectory() as folder:  # Ctrl-C is lost in the callbacks that write to a buffer
        path = Path(folder) / "clip"
        soundfile.write(path, np.clip(waveform, -1, 1), sample_rate, **kind)
        return _url(path.read_bytes(), "audio/mpeg" if mp3 else "audio/wav")


def image_url(image: np.ndarray) -> str:
    """A uint8 log-mel image (F, T) as a color PNG in a data URL."""
    picture = Image.fromarray(image).convert("P")
    picture.putpalette(palette().tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return _url(buffer.getvalue(), "image/png")


def png_url(path: Path) -> str:
    """A PNG file as a data URL."""
    return _url(path.read_bytes(), "image/png")


def _url(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
