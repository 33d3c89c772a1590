"""The baseline network: `BaselineCNN(n_classes)`."""

import functools

from earmark.models.create import create_model

BaselineCNN = functools.partial(create_model, "baseline_cnn", n_mels=128)
