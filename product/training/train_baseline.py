"""Train the baseline network: python -m product.training.train_baseline"""

from pathlib import Path

from earmark.product_cli.training import training

if __name__ == "__main__":
    training("baseline_cnn", Path(__file__).resolve().parents[2], "train_baseline")
