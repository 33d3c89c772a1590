"""Training scripts: python -m product.training.<name>."""
