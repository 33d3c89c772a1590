"""Mean and spread over seeds, per data set and model: python -m product.training.aggregate_seeds"""

from pathlib import Path

from earmark.product_cli.seeds import seed_table

if __name__ == "__main__":
    seed_table(Path(__file__).resolve().parents[2])
