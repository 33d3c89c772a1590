"""The convolutional block attention module (Woo et al. 2018)."""

from earmark.models.attention import Cbam

CBAM = Cbam
