"""One network, one split: batches, image augmentation, the loop, checkpoints."""
