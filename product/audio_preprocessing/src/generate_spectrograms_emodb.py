"""Spectrograms of EmoDB: python product/audio_preprocessing/src/generate_spectrograms_emodb.py"""

from audio_utils import PROJECT_ROOT

from earmark.product_cli.layout import EMODB
from earmark.product_cli.recordings import spectrograms

if __name__ == "__main__":
    spectrograms(EMODB, PROJECT_ROOT)
