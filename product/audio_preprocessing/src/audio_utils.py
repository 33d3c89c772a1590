"""Paths of recordings and spectrograms, and functions to load and augment waveforms."""

from pathlib import Path

from earmark.audio.augment import add_noise, change_gain, shift_pitch, shift_time, stretch_time
from earmark.audio.io import load_audio
from earmark.product_cli.layout import AUGMENTED, EMODB, ESC50

__all__ = ["add_noise", "change_gain", "load_audio", "shift_pitch", "shift_time", "stretch_time"]

PROJECT_ROOT = Path(__file__).resolve().parents[3]


def esc50_folder() -> Path:
    """Folder of ESC-50, with audio/ and meta/esc50.csv."""
    return PROJECT_ROOT / ESC50.recordings


def emodb_folder() -> Path:
    """Folder of the recordings of EmoDB."""
    return PROJECT_ROOT / EMODB.recordings


def augmented_folder() -> Path:
    """Folder of the augmented recordings (WAV)."""
    return PROJECT_ROOT / AUGMENTED


def spectrogram_path(clip_id: str, augmentation: str = "orig", emodb: bool = False) -> Path:
    """Path of the spectrogram of a clip or of one of its augmentations (noisy, pitchUp2, stretch0.9)."""
    return PROJECT_ROOT / (EMODB if emodb else ESC50).spectrograms / f"{clip_id}_{augmentation}.png"
