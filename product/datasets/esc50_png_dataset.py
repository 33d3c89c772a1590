"""A PyTorch data set over a list of spectrograms such as product/artifacts/splits/train.csv."""

from earmark.product_cli.png_dataset import PngDataset as ESC50PNGDataset

__all__ = ["ESC50PNGDataset"]
