"""Scripts that compute spectrograms and augment recordings."""
