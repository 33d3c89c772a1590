"""From a file to a waveform: decoding, resampling, augmentation."""
