"""A small writer of ONNX graphs: each method of `Graph` adds one node and returns the name of its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from earmark.runtime.files import digest

OPSET = 18
IR_VERSION = 9
"""ONNX Runtime reads these from 1.15 on."""


class Graph:
    """Nodes and constants in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._n_names = 0

    def add(self, operator: str, *inputs: str, n_outputs: int = 1, output: str = "", **attributes: Any) -> Any:
        """Add a node; returns the name of its output, or a list of names."""
        names = [output] if output else [self._name(operator) for _ in range(n_outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0] if n_outputs == 1 else names

    def constant(self, values: np.ndarray, name: str = "") -> str:
        """Add a constant; returns its name. Equal ones are stored once."""
        values = np.asarray(values, order="C")
        shape = "x".join(map(str, values.shape))
        name = name or f"c_{values.dtype}_{shape}_{digest(values.tobytes())}"
        self.constants[name] = numpy_helper.from_array(values, name)
        return name

    def integers(self, *values: int) -> str:
        """A constant int64 vector."""
        return self.constant(np.array(values, np.int64))

    def number(self, value: float, dtype: type[np.generic] = np.float32) -> str:
        """A constant scalar."""
        return self.constant(np.array(value, dtype))

    def size(self, tensor: str, axis: int) -> str:
        """The length of an axis, int64 (1,)."""
        return self.add("Shape", tensor, start=axis, end=axis + 1)

    def slice(self, tensor: str, axis: int, start: str, end: str) -> str:
        """tensor[..., start:end, ...] along one axis; start and end are int64 (1,)."""
        return self.add("Slice", tensor, start, end, self.integers(axis))

    def reshape(self, tensor: str, *shape: int | str) -> str:
        """Reshape to numbers (-1: the rest, 0: as it is) and int64 (1,) tensors."""
        if all(isinstance(n, int) for n in shape):
            return self.add("Reshape", tensor, self.integers(*shape))  # type: ignore[arg-type]
        parts = [self.integers(n) if isinstance(n, int) else n for n in shape]
        return self.add("Reshape", tensor, self.add("Concat", *parts, axis=0))

    def _name(self, operator: str) -> str:
        self._n_names += 1
        return f"{operator.lower()}_{self._n_names}"

    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto], name: str
    ) -> onnx.ModelProto:
        """The graph as a model of the stated opset."""
        graph = helper.make_graph(self.nodes, name, inputs, outputs, list(self.constants.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="earmark")
        model.ir_version = IR_VERSION
        return model


def tensor_info(name: str, dtype: type[np.generic], shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """An input or output; names in the shape are dynamic axes."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
