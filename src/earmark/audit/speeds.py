"""The speeds at which recordings are compared; a module of its own, because the command line imports it at once."""

SPEEDS = (0.9, 1.1)
"""The usual ones of speed perturbation (Ko et al., "Audio Augmentation for Speech Recognition", Interspeech 2015)."""
MIN_SPEED, MAX_SPEED = 0.5, 2.0
"""Others may be asked for."""
