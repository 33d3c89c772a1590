"""From a waveform to the 8-bit log-mel image that a network sees, and the store of such images."""
