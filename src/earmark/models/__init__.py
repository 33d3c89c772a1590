"""Networks, attention blocks, pretrained weights, Grad-CAM."""
