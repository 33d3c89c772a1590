"""Spectrograms of ESC-50: python product/audio_preprocessing/src/generate_spectrograms.py"""

from audio_utils import PROJECT_ROOT

from earmark.product_cli.layout import ESC50
from earmark.product_cli.recordings import spectrograms

if __name__ == "__main__":
    spectrograms(ESC50, PROJECT_ROOT)
