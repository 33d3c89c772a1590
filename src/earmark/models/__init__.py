"""Networks, attention blocks, pretrained weights."""
