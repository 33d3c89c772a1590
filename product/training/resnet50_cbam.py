"""Train ResNet-50 with CBAM: python -m product.training.resnet50_cbam"""

from pathlib import Path

from earmark.product_cli.training import training

if __name__ == "__main__":
    training("resnet50_cbam", Path(__file__).resolve().parents[2], "resnet50_cbam")
