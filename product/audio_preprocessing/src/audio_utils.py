"""Where recordings and spectrograms lie, and functions to load and vary waveforms."""

from pathlib import Path

from earmark.audio.augment import add_noise, change_gain, shift_pitch, shift_time, stretch_time
from earmark.audio.io import load_audio
from earmark.product_cli.corpora import AUGMENTED, EMODB, ESC50

__all__ = ["add_noise", "change_gain", "load_audio", "shift_pitch", "shift_time", "stretch_time"]

PROJECT_ROOT = Path(__file__).resolve().parents[3]


def esc50_folder() -> Path:
    """The recordings of ESC-50: audio/ and meta/esc50.csv."""
    return PROJECT_ROOT / ESC50.recordings


def emodb_folder() -> Path:
    """The recordings of EmoDB, flat."""
    return PROJECT_ROOT / EMODB.recordings


def augmented_folder() -> Path:
    """Waveform variants as WAV files."""
    return PROJECT_ROOT / AUGMENTED


def spectrogram_path(clip_id: str, variant: str = "orig", emodb: bool = False) -> Path:
    """The spectrogram of a clip or of one of its waveform variants (noisy, pitchUp2, stretch0.9)."""
    return PROJECT_ROOT / (EMODB if emodb else ESC50).spectrograms / f"{clip_id}_{variant}.png"
