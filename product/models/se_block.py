"""The squeeze-and-excitation block (Hu et al. 2018)."""

from earmark.models.attention import SqueezeExcite as SEBlock

__all__ = ["SEBlock"]
