"""Scripts that split, and a PyTorch data set over their lists."""
