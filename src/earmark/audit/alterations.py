"""The speeds, tempos and pitches at which copies are looked for; the command line imports this at once."""

SPEEDS = (0.9, 1.1)
"""The usual ones of speed perturbation (Ko et al., "Audio Augmentation for Speech Recognition", Interspeech 2015)."""
TEMPOS = (0.9, 1.1)
"""The usual ones of time stretching, which keeps the pitch."""
SEMITONES = (-2.0, -1.0, 1.0, 2.0)
"""The usual ones of pitch shifting, which keeps the tempo."""
MIN_SPEED, MAX_SPEED = 0.5, 2.0
"""Others may be asked for, of speeds and of tempos."""
MAX_SEMITONES = 12.0
