"""Export to ONNX: one file from waveform to probabilities, or two, the front end and the network.

Only ordinary operators of opset 18 are used, so that every runtime takes the files. Resampling is the caller's; the
rate stands in the metadata, with class names, front end, calibration, checksum and expected score.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx

from earmark.deploy.info import DeployError, ExpectedScore, ModelInfo
from earmark.deploy.onnx_front_end import add_front_end
from earmark.deploy.onnx_graph import OPSET, Graph, tensor_info
from earmark.deploy.onnx_network import halve_weights, network_graph, quantize_network
from earmark.deploy.torch_engine import LoadedModel
from earmark.deploy.unknown import References
from earmark.runtime.files import write_bytes

MAX_SECONDS = 120
"""The longest waveform of the one-file form: its memory grows with the length."""
Precision = Literal["float32", "float16", "int8"]
Kind = Literal["waveform", "front_end", "network"]


@dataclass(frozen=True)
class Exported:
    """The graphs of one model, not yet written."""

    info: ModelInfo
    precision: Precision
    network: onnx.ModelProto
    int8_score: ExpectedScore | None = None
    """Accuracy of the 8-bit network on the clips that it was exported with."""
    references: References | None = None
    """None without an unknown score."""

    def whole(self, with_image: bool = False) -> onnx.ModelProto:
        """Waveform (batch, samples) in; probabilities, logits, embedding, level and unknown score out.

        The unknown score where the model has references, and the image of the front end if asked for.
        """
        graph = Graph()
        image = add_front_end(graph, self.info.front_end)
        _add_scores(graph, _add_windows(graph, image, self.info.window_frames), self.network, self.info)
        _add_level(graph)
        n_classes, n_features = (output_size(self.network, name) for name in ("logits", "embedding"))
        outputs = [
            tensor_info("probabilities", np.float32, ["batch", n_classes]),
            tensor_info("logits", np.float32, ["batch", n_classes]),
            tensor_info("embedding", np.float32, ["batch", n_features]),
            tensor_info("level_dbfs", np.float32, ["batch"]),
        ]
        if self.references is not None:
            _add_unknown(graph, self.references)
            outputs.append(tensor_info("unknown", np.float32, ["batch"]))
        if with_image:
            outputs.append(_add_image_output(graph, image, self.info))
        model = graph.model([_WAVEFORM], outputs, "earmark")
        return self._described(model, "waveform", self.precision)

    def front_end(self) -> onnx.ModelProto:
        """Waveform (batch, samples) in, image uint8 (batch, F, frames) out."""
        graph = Graph()
        output = _add_image_output(graph, add_front_end(graph, self.info.front_end), self.info)
        return self._described(graph.model([_WAVEFORM], [output], "earmark"), "front_end", "float32")

    def network_alone(self) -> onnx.ModelProto:
        """Windows uint8 (windows, F, T) of the image in, logits and embedding of each out, and the references."""
        graph = Graph()
        shape: list[int | str] = ["windows", self.info.front_end.n_mels, self.info.window_frames]
        values = graph.add("Cast", "image", to=onnx.TensorProto.FLOAT)
        images = graph.add("Unsqueeze", values, graph.integers(1))
        _add_network(graph, graph.add("Div", images, graph.number(255)), self.network)
        outputs = []
        for name in ("logits", "embedding"):
            graph.add("Identity", f"network.{name}", output=name)
            outputs.append(tensor_info(name, np.float32, ["windows", output_size(self.network, name)]))
        if self.references is not None:
            stored = {"references": self.references.vectors, "reference_scales": self.references.scales}
            for name, values in stored.items():
                graph.add("Identity", graph.constant(values, f"stored_{name}"), output=name)
                outputs.append(tensor_info(name, values.dtype.type, list(values.shape)))
        model = graph.model([tensor_info("image", np.uint8, shape)], outputs, "earmark")
        return self._described(model, "network", self.precision)

    def _described(self, model: onnx.ModelProto, kind: Kind, precision: Precision) -> onnx.ModelProto:
        scores = {"int8_score": self.int8_score.sentence()} if self.int8_score and kind != "front_end" else {}
        onnx.helper.set_model_props(model, metadata_of(self.info, kind, precision) | scores)
        return model


_WAVEFORM = tensor_info("waveform", np.float32, ["batch", "samples"])


def build_graphs(
    loaded: LoadedModel, precision: Precision = "float32", images_BFT: np.ndarray | None = None
) -> Exported:
    """The graphs of a loaded model.

    Args:
        images_BFT: with `int8`, windows of training clips, uint8 (B, F, T), on which value ranges are measured.
    """
    info = loaded.info
    graph = network_graph(loaded.network, info.front_end.n_mels, info.window_frames)
    if precision == "float16":
        graph = halve_weights(graph)
    elif precision == "int8":
        if images_BFT is None or not len(images_BFT):
            raise DeployError("precision = 'int8': needs training clips to measure value ranges on; name a folder")
        graph = quantize_network(graph, images_BFT)
    return Exported(info, precision, graph, references=loaded.references)


def write_onnx(exported: Exported, path: Path, split: bool = False) -> list[Path]:
    """Write `path`, or with `split` its front end and network as `<name>.front_end.onnx` and `<name>.network.onnx`."""
    if not split:
        write_bytes(path, checked(exported.whole()))
        return [path]
    parts = {"front_end": exported.front_end(), "network": exported.network_alone()}
    paths = {name: path.with_suffix(f".{name}.onnx") for name in parts}
    for name, model in parts.items():
        write_bytes(paths[name], checked(model))
    return list(paths.values())


def checked(model: onnx.ModelProto) -> bytes:
    """The serialized model, after ONNX's own check."""
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def metadata_of(info: ModelInfo, kind: Kind, precision: Precision) -> dict[str, str]:
    """What stands in the metadata of a file."""
    return {
        "earmark": info.to_json(),
        "kind": kind,
        "precision": precision,
        "opset": str(OPSET),
        "class_names": json.dumps(info.class_names, ensure_ascii=False),
        "sample_rate": str(info.sample_rate),
        "window_seconds": f"{info.window_seconds:.6g}",
        "max_seconds": str(MAX_SECONDS),
        "silence_dbfs": f"{info.silence_dbfs:g}",
        **({"unknown_threshold": f"{info.unknown.threshold:.6g}"} if info.unknown else {}),
        "expected_score": info.expected_score.sentence() if info.expected_score else "not measured",
    }


def output_size(model: onnx.ModelProto, name: str) -> int:
    """Length of the last axis of an output."""
    output = next(output for output in model.graph.output if output.name == name)
    return output.type.tensor_type.shape.dim[-1].dim_value


def _add_image_output(graph: Graph, image: str, info: ModelInfo) -> onnx.ValueInfoProto:
    """The image of the front end as an output, uint8 (batch, F, frames)."""
    graph.add("Cast", image, to=onnx.TensorProto.UINT8, output="image")
    return tensor_info("image", np.uint8, ["batch", info.front_end.n_mels, "frames"])


def _add_windows(graph: Graph, image: str, width: int) -> str:
    """Windows (batch * W, 1, F, width) in [0, 1] that cover an image (batch, F, T), as `cut_windows` does."""
    n_frames, width_name, one, zero = graph.size(image, 2), graph.integers(width), graph.integers(1), graph.integers(0)
    missing = graph.add("Max", graph.add("Sub", width_name, n_frames), zero)
    pads = graph.add("Concat", graph.integers(0, 0, 0, 0, 0), missing, axis=0)
    padded = graph.add("Pad", image, pads, graph.number(0))
    room = graph.add("Max", graph.add("Sub", n_frames, width_name), zero)
    doubled = graph.add("Add", graph.add("Mul", room, graph.integers(2)), graph.integers(width - 1))
    n_gaps = graph.add("Min", graph.add("Div", doubled, width_name), room)  # ceil(2 room / width)
    starts = _add_starts(graph, room, n_gaps)
    frames = graph.add("Add", graph.add("Unsqueeze", starts, one), graph.constant(np.arange(width), "frames"))
    windows = graph.add("Transpose", graph.add("Gather", padded, frames, axis=2), perm=[0, 2, 1, 3])
    n_mels = graph.size(image, 1)
    flat = graph.reshape(windows, -1, 1, n_mels, width)
    return graph.add("Div", flat, graph.number(255))


def _add_starts(graph: Graph, room: str, n_gaps: str) -> str:
    """First frames of the windows: `linspace(0, room, n_gaps + 1)`, rounded half to even in double precision."""
    double = onnx.TensorProto.DOUBLE
    divisor = graph.add("Cast", graph.add("Max", n_gaps, graph.integers(1)), to=double)
    step = graph.add("Div", graph.add("Cast", room, to=double), divisor)
    count = graph.add("Squeeze", graph.add("Add", n_gaps, graph.integers(1)))
    window = graph.add("Range", graph.number(0, np.int64), count, graph.number(1, np.int64))
    exact = graph.add("Mul", graph.add("Cast", window, to=double), step)
    return graph.add("Cast", graph.add("Round", exact), to=onnx.TensorProto.INT64)


def _add_scores(graph: Graph, windows: str, network: onnx.ModelProto, info: ModelInfo) -> None:
    """Logits and embedding as means over the windows, and calibrated probabilities."""
    _add_network(graph, windows, network)
    batch = graph.size("waveform", 0)
    for name in ("logits", "embedding"):
        per_window = graph.reshape(f"network.{name}", batch, -1, output_size(network, name))
        graph.add("ReduceMean", per_window, graph.integers(1), keepdims=0, output=name)
    scaled = graph.add("Div", "logits", graph.number(info.calibration.temperature))
    if info.calibration.bias:
        scaled = graph.add("Add", scaled, graph.constant(np.array(info.calibration.bias, np.float32), "bias"))
    graph.add("Softmax", scaled, axis=1, output="probabilities")


def _add_network(graph: Graph, images: str, network: onnx.ModelProto) -> None:
    """Copy the network's nodes and weights, with the prefix `network.` in all names and `images` as its input."""
    renamed = {"images": images, "": ""}

    def rename(name: str) -> str:
        return renamed.get(name, f"network.{name}")

    for tensor in network.graph.initializer:
        copied = graph.constants[rename(tensor.name)] = onnx.TensorProto()
        copied.CopyFrom(tensor)
        copied.name = rename(tensor.name)
    for node in network.graph.node:
        assert not any(attribute.HasField("g") for attribute in node.attribute), "networks have no branches"
        copied_node = onnx.NodeProto()
        copied_node.CopyFrom(node)
        copied_node.name = ""
        copied_node.input[:] = [rename(name) for name in node.input]
        copied_node.output[:] = [rename(name) for name in node.output]
        graph.nodes.append(copied_node)


def _add_unknown(graph: Graph, references: References) -> None:
    """Relative distance to the nearest reference, mean over the networks, (batch,); as `unknown_scores`.

    In double precision: in single precision, `1 - cosine` of nearly equal embeddings is a rounding error.
    """
    n_networks, _, size = references.vectors.shape
    parts = graph.reshape(graph.add("Cast", "embedding", to=onnx.TensorProto.DOUBLE), -1, n_networks, size)
    units = graph.add("Transpose", _add_unit(graph, parts, axis=2), perm=[1, 0, 2])
    stored = graph.constant(references.vectors.transpose(0, 2, 1).astype(np.float16), "stored_references")
    rounded = graph.add("Cast", stored, to=onnx.TensorProto.DOUBLE)
    cosines = graph.add("MatMul", units, _add_unit(graph, rounded, axis=1))
    scales = graph.constant(references.scales[:, None], "reference_scales")
    distances = graph.add("Sub", graph.number(1, np.float64), cosines)
    relative = graph.add("Div", graph.add("Cast", distances, to=onnx.TensorProto.FLOAT), scales)
    nearest = graph.add("ReduceMin", relative, graph.integers(2), keepdims=0)
    graph.add("ReduceMean", nearest, graph.integers(0), keepdims=0, output="unknown")


def _add_unit(graph: Graph, vectors: str, axis: int) -> str:
    """Vectors along an axis of a tensor in double precision, divided by their lengths."""
    lengths = graph.add("Sqrt", graph.add("ReduceSumSquare", vectors, graph.integers(axis)))
    return graph.add("Div", vectors, graph.add("Max", lengths, graph.number(1e-12, np.float64)))


def _add_level(graph: Graph) -> None:
    """RMS level in dB relative to full scale, (batch,)."""
    power = graph.add("ReduceMean", graph.add("Mul", "waveform", "waveform"), graph.integers(1), keepdims=0)
    level = graph.add("Log", graph.add("Max", power, graph.number(1e-20)))
    graph.add("Mul", level, graph.number(10 / np.log(10)), output="level_dbfs")
