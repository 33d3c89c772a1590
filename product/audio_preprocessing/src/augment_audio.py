"""Augmented recordings of ESC-50: python product/audio_preprocessing/src/augment_audio.py"""

from audio_utils import PROJECT_ROOT

from earmark.documented.corpora import ESC50
from earmark.documented.recordings import augmented_wavs

if __name__ == "__main__":
    augmented_wavs(ESC50, PROJECT_ROOT)
