"""Backbones from a local Hugging Face folder; needs the extra `hf`.

AST, wav2vec 2.0, HuBERT, WavLM, CLAP, the encoder of Whisper, and every network of transformers whose feature extractor
takes audio. Weights are safetensors; nothing is downloaded or unpickled, and no code of the folder is run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from earmark.models.backbone import Backbone
from earmark.models.network import ModelError
from earmark.runtime.console import format_names
from earmark.runtime.errors import missing_extra

SAFE = {"local_files_only": True, "trust_remote_code": False}
ONLY_IN_TRAINING = ("masked_spec_embed",)
"""Weights that wav2vec 2.0 and its kin use in training only; some published files lack them."""
FRAME_SECONDS = 0.01
"""Hop of the Kaldi filterbank of AST, whose feature extractor counts in frames."""


def load_hf_backbone(name: str, folder: Path, device: torch.device) -> Backbone:
    """The backbone in a folder that `save_pretrained` wrote or `hf download` fetched.

    The embedding is the network's pooled output where it has one (AST, CLAP), else the mean of its last hidden states
    over time (wav2vec 2.0, HuBERT, WavLM, Whisper: without the padding of the feature extractor).

    Args:
        name: for messages.
        folder: with config.json, the settings of the feature extractor and .safetensors.
        device: where to compute.

    Raises:
        ModelError: transformers is not installed, or the folder cannot be used; the message says why.
    """
    _check_folder(name, folder)
    extractor, model = _load(name, folder, _import_transformers(name))
    rate = getattr(extractor, "sampling_rate", 0)
    if not rate:
        raise ModelError(f"model.name = {name!r}: its feature extractor takes no audio; give a network for sound")
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    model = model.to(device).eval()

    @torch.inference_mode()
    def apply(windows_WN: np.ndarray) -> np.ndarray:
        inputs = extractor(list(windows_WN), sampling_rate=rate, return_tensors="pt").to(device)
        return _pooled(model, extractor, inputs, windows_WN.shape[1]).float().cpu().numpy()

    n_parameters = sum(p.numel() for p in model.parameters())
    return Backbone(name, rate, apply, most_samples=_most_samples(extractor), n_parameters=n_parameters)


def _import_transformers(name: str) -> ModuleType:
    try:
        import transformers
    except ImportError:
        raise ModelError(f"model.name = {name!r}: {missing_extra('transformers', 'hf')}") from None
    return transformers


def _check_folder(name: str, folder: Path) -> None:
    if not folder.is_dir():
        raise ModelError(
            f"model.name = {name!r}: no such folder; fetch one with `hf download NAME --local-dir FOLDER`, "
            "earmark downloads none"
        )
    if (folder / "model.json").is_file():
        raise ModelError(
            f"model.name = {name!r}: is a model of earmark, not a network of transformers; give its network as "
            "model.name and one of its .safetensors as model.weights"
        )
    if not (folder / "config.json").is_file():
        raise ModelError(f"model.name = {name!r}: has no config.json; give a folder that save_pretrained wrote")
    if not list(folder.glob("*.safetensors")):
        raise ModelError(
            f"model.name = {name!r}: has no .safetensors, and other files are never unpickled; save the network again "
            "with save_pretrained(folder)"
        )


def _load(name: str, folder: Path, transformers: ModuleType) -> tuple[Any, Any]:
    """The feature extractor and the network of a folder, in float32."""
    options = {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True, **SAFE}
    try:
        with _quiet(transformers):
            _check_size(folder, transformers)
            extractor = transformers.AutoFeatureExtractor.from_pretrained(str(folder), **SAFE)
            model, info = transformers.AutoModel.from_pretrained(str(folder), **options)
    except Exception as error:  # of every network of transformers and of its files
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"model.name = {name!r}: cannot be loaded by transformers ({reason})") from None
    missing = sorted(key for key in info["missing_keys"] if not key.endswith(ONLY_IN_TRAINING))
    if missing:  # transformers would leave them random
        raise ModelError(f"model.name = {name!r}: has no weights for {format_names(missing)}; fetch the folder again")
    return extractor, model


def _check_size(folder: Path, transformers: ModuleType) -> None:
    """Refuse, before it takes memory, a network that has more parameters than its files have bytes."""
    config = transformers.AutoConfig.from_pretrained(str(folder), **SAFE)
    with torch.device("meta"):
        n_parameters = transformers.AutoModel.from_config(config, trust_remote_code=False).num_parameters()
    n_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if n_parameters > n_bytes:
        raise ValueError(f"config.json asks for {n_parameters} parameters, but the weights have {n_bytes} bytes")


@contextlib.contextmanager
def _quiet(transformers: ModuleType) -> Iterator[None]:
    """Without progress bars and without the report on the weights of other heads."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _pooled(model: Any, extractor: Any, inputs: Any, n_samples: int) -> torch.Tensor:
    """Embeddings (W, D) of what the feature extractor made of windows of `n_samples`."""
    if hasattr(model, "get_audio_features"):  # CLAP
        if "is_longer" in inputs:  # its extractor calls a random window "longer", though none is cut off here
            inputs["is_longer"] = torch.zeros_like(inputs["is_longer"])
        return model.get_audio_features(**inputs).pooler_output
    outputs = model(**inputs)
    pooled = getattr(outputs, "pooler_output", None)
    if pooled is not None:
        return pooled
    hidden_WTD = outputs.last_hidden_state
    if hasattr(extractor, "n_samples"):  # Whisper pads all windows to 30 s
        share = min(1.0, n_samples / extractor.n_samples)
        hidden_WTD = hidden_WTD[:, : max(1, round(share * hidden_WTD.shape[1]))]
    return hidden_WTD.mean(dim=1)


def _most_samples(extractor: Any) -> int:
    """How much audio the feature extractor takes without cutting it off; 0: any."""
    seconds = getattr(extractor, "chunk_length", None) or getattr(extractor, "max_length_s", None)
    frames = getattr(extractor, "max_length", None)
    if not seconds and frames and hasattr(extractor, "num_mel_bins"):
        seconds = frames * FRAME_SECONDS
    return int((seconds or 0) * extractor.sampling_rate)
