"""Train ResNet-50 with squeeze-and-excitation: python -m product.training.resnet50_se"""

from pathlib import Path

from earmark.product_cli.training import training

if __name__ == "__main__":
    training("resnet50_se", Path(__file__).resolve().parents[2], "resnet50_se")
