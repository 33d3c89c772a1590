"""Augmented recordings of ESC-50: python product/audio_preprocessing/src/augment_audio.py"""

from audio_utils import PROJECT_ROOT

from earmark.product_cli.layout import ESC50
from earmark.product_cli.recordings import augmented_wavs

if __name__ == "__main__":
    augmented_wavs(ESC50, PROJECT_ROOT)
