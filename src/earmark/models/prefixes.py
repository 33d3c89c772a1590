"""Prefixes of model names: frozen backbones of other tools, and models of earmark on the Hugging Face hub."""

NPZ, ONNX, TRANSFORMERS = "npz:", "onnx:", "transformers:"
"""Backbones: a file of vectors, an ONNX file, a folder of Hugging Face Transformers. For `model.name` of a probe."""
HUB = "hf:"
"""A trained model of earmark in a repository of the hub, for whatever loads a model."""


def is_external(name: str) -> bool:
    """Whether a model name stands for a file or folder of another tool, so that there is no network to create."""
    return name.startswith((NPZ, ONNX, TRANSFORMERS))


def takes_waveform(name: str) -> bool:
    """Whether a model name stands for a backbone that is applied to recordings, not to images."""
    return name.startswith((ONNX, TRANSFORMERS))
