"""The network of a checkpoint as an ONNX graph: windows of one width in, logits and embeddings out.

The width is fixed, because adaptive pooling (AlexNet) exports wrongly with a dynamic one; the number of windows is not.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from earmark.deploy.onnx_graph import IR_VERSION, OPSET
from earmark.deploy.torch_engine import EnsembleNetwork, SplitNetwork

SMALLEST_HALF = 256
"""Weights of fewer numbers stay in float32: they weigh nothing, and biases and gains matter most."""
LARGEST_HALF = 65504.0
"""The largest float16."""


def network_graph(network: SplitNetwork | EnsembleNetwork, n_mels: int, window_frames: int) -> onnx.ModelProto:
    """The network with input `images` (windows, 1, F, T) in [0, 1] and outputs `logits` and `embedding`."""
    example = torch.rand(2, 1, n_mels, window_frames, generator=torch.Generator().manual_seed(0))
    with quiet("torch.onnx"):
        program = torch.onnx.export(
            network.cpu(),
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("windows")},),
            opset_version=OPSET,
            input_names=["images"],
            output_names=["logits", "embedding"],
            verbose=False,
        )
    assert program is not None, "the exporter returns a program unless it is given a file"
    model = program.model_proto
    for node in model.graph.node:  # names of source files and lines, which are nobody's business
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    model.ir_version = IR_VERSION
    return model


@contextlib.contextmanager
def quiet(logger: str, least: int = logging.ERROR) -> Iterator[None]:
    """Exporter and quantizer report their progress and warn about their own internals.

    Args:
        logger: its messages below the level `least` are dropped, as are warnings and what is printed.
    """
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(least)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def halve_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose large weights are stored as float16; arithmetic stays float32."""
    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    casts = []
    for tensor in halved.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALLEST_HALF or np.abs(values).max() > LARGEST_HALF:
            continue
        name, stored = tensor.name, f"{tensor.name}_float16"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *halved.graph.node]
    del halved.graph.node[:]
    halved.graph.node.extend(nodes)
    return halved


def quantize_network(model: onnx.ModelProto, images_BFT: np.ndarray) -> onnx.ModelProto:
    """A copy with weights and activations in 8 bits, their ranges measured on images.

    Weights take 7 bits (`reduce_range`): on processors without VNNI, sums of 8-bit products saturate.

    Args:
        images_BFT: uint8 windows of training clips.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._images = iter(images_BFT)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._images, None)
            return None if image is None else {"images": image[None, None].astype(np.float32) / np.float32(255)}

    with tempfile.TemporaryDirectory() as folder, quiet("root"):
        paths = [str(Path(folder) / name) for name in ("network.onnx", "prepared.onnx", "int8.onnx")]
        onnx.save(model, paths[0])
        quant_pre_process(paths[0], paths[1], skip_symbolic_shape=True)
        quantize_static(
            paths[1],
            paths[2],
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
        )
        quantized = onnx.load(paths[2])
    quantized.ir_version = IR_VERSION
    del quantized.graph.value_info[:]
    return quantized
