"""Train AlexNet: python -m product.training.alexnet_t1"""

from pathlib import Path

from earmark.product_cli.training import training

if __name__ == "__main__":
    training("alexnet", Path(__file__).resolve().parents[2], "alexnet_t1")
