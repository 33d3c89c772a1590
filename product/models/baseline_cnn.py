"""The baseline network."""

from earmark.models.baseline_cnn import BaselineCnn as BaselineCNN

__all__ = ["BaselineCNN"]
