"""Small backbones of other tools: an ONNX file of frequency bands made by hand, and random Hugging Face networks."""

from pathlib import Path

import numpy as np

FRAME, N_BANDS = 80, 20
"""Samples of a frame and number of bands; at 8 kHz a band is 100 Hz wide."""
ANGLES = 2 * np.pi * np.outer(np.arange(FRAME), np.arange(1, N_BANDS + 1) * 1.25) / FRAME
TRANSFORM = np.concatenate([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)


def bands(windows_WN: np.ndarray) -> np.ndarray:
    """What the network of `write_onnx` computes: log of the mean power in each band, (W, 20)."""
    values = windows_WN.reshape(len(windows_WN), -1, FRAME) @ TRANSFORM
    power = (values[..., :N_BANDS] ** 2 + values[..., N_BANDS:] ** 2).mean(axis=1)
    return np.log(power + 1e-6)


def write_onnx(path: Path, shape=("batch", 1600), *, rate: int | None = 8000, names=("bands",), kind=None) -> Path:
    """The network of `bands` for waveforms of a shape, with each name of an output for the same values."""
    from onnx import TensorProto, helper, numpy_helper, save

    constants = {
        "frames": np.array([-1, shape[-1] // FRAME if isinstance(shape[-1], int) else 0, FRAME]),
        "transform": TRANSFORM,
        "small": np.float32(1e-6),
        "parts": np.array([N_BANDS, N_BANDS]),
        "axis": np.array([1]),
        "first": np.array([0]),
    }
    nodes = [
        helper.make_node("Reshape", ["waveform", "frames"], ["framed"]),
        helper.make_node("MatMul", ["framed", "transform"], ["values"]),
        helper.make_node("Mul", ["values", "values"], ["squares"]),
        helper.make_node("Split", ["squares", "parts"], ["real", "imaginary"], axis=2),
        helper.make_node("Add", ["real", "imaginary"], ["power"]),
        helper.make_node("ReduceMean", ["power", "axis"], ["mean"], keepdims=0),
        helper.make_node("Add", ["mean", "small"], ["raised"]),
        helper.make_node("Log", ["raised"], ["log"]),
    ]
    batched = len(shape) > 1
    for name in names:
        finish = ("Identity", ["log"]) if batched else ("Squeeze", ["log", "first"])
        nodes.append(helper.make_node(*finish, [name]))
    size = [shape[0], N_BANDS] if batched else [N_BANDS]
    inputs = [helper.make_tensor_value_info("waveform", kind or TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info(name, kind or TensorProto.FLOAT, size) for name in names]
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "bands", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if rate is not None:
        helper.set_model_props(model, {"sample_rate": str(rate)})
    save(model, path)
    return path


WAVE = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": (8, 8),
    "conv_stride": (5, 4),
    "conv_kernel": (10, 8),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
LAYERS = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 16}
AUDIO = {
    "window_size": 4,
    "num_mel_bins": 16,
    "spec_size": 64,
    "patch_size": 2,
    "patch_stride": 2,
    "depths": [1, 1],
    "num_attention_heads": [2, 2],
    "patch_embeds_hidden_size": 16,
    "hidden_size": 32,
    "projection_dim": 24,
}


def write_hf(folder: Path, kind: str) -> Path:
    """A random network of a kind with its feature extractor, as `save_pretrained` writes them."""
    import torch
    import transformers as hf

    torch.manual_seed(0)
    if kind == "ast":
        sizes = {"num_mel_bins": 16, "max_length": 64}
        model, extractor = hf.ASTModel(hf.ASTConfig(**LAYERS, **sizes)), hf.ASTFeatureExtractor(**sizes)
    elif kind == "whisper":
        text = {"vocab_size": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
        sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
        sizes |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "num_mel_bins": 16}
        model = hf.WhisperModel(hf.WhisperConfig(**sizes, **text, max_source_positions=50))
        extractor = hf.WhisperFeatureExtractor(feature_size=16, chunk_length=1)
    elif kind.startswith("clap"):
        fusion = kind == "clap-fused"
        audio = AUDIO | {"enable_fusion": fusion}
        config = hf.ClapConfig(text_config={**LAYERS, "vocab_size": 20}, audio_config=audio, projection_dim=24)
        truncation = "fusion" if fusion else "rand_trunc"
        model = hf.ClapModel(config)
        extractor = hf.ClapFeatureExtractor(
            feature_size=16, sampling_rate=16000, hop_length=160, max_length_s=1, frequency_max=8000,
            truncation=truncation,
        )  # fmt: skip
    else:
        name = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}[kind]
        model = getattr(hf, f"{name}Model")(getattr(hf, f"{name}Config")(**WAVE))
        extractor = hf.Wav2Vec2FeatureExtractor()
    model.eval().save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder
