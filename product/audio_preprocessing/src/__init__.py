"""Scripts that make spectrograms and augmented recordings."""
