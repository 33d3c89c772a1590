"""Split EmoDB by speaker: python product/datasets/make_split_emodb.py --spec_dir ... --out_dir ..."""

from pathlib import Path

from earmark.product_cli.layout import EMODB
from earmark.product_cli.splits import split

if __name__ == "__main__":
    split(EMODB, Path(__file__).resolve().parents[2], val_ratio=0.2)
