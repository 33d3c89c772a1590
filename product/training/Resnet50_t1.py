"""Train ResNet-50: python -m product.training.Resnet50_t1"""

from pathlib import Path

from earmark.product_cli.training import training

if __name__ == "__main__":
    training("resnet50", Path(__file__).resolve().parents[2], "Resnet50_t1")
