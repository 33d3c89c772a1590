"""Scripts that split a data set, and a PyTorch data set over their lists."""
