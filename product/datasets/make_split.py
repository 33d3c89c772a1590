"""Split ESC-50 by source recording: python product/datasets/make_split.py --val_ratio 0.1 --seed 123"""

from pathlib import Path

from earmark.product_cli.layout import ESC50
from earmark.product_cli.splits import split

if __name__ == "__main__":
    split(ESC50, Path(__file__).resolve().parents[2], val_ratio=0.1)
