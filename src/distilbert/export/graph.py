"""An ONNX graph in the making: operators, constants, and layers in fp32 or 8 bits."""

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilbert.extras import require

OPSET = 20
"""The first with Gelu, of 2023."""
_IR_VERSION = 9
LARGEST = 2_000_000_000
"""Bytes of a file's weights: Protocol Buffers end at 2 GiB."""
_TINY = np.float32(1e-30)


class Graph:
    """Operators in the order in which they run. A value is known by its name, a `str`.

    Args:
        int8: weights of linear layers and embeddings are int8, one scale a row; what a linear layer
            reads becomes 8 bits with a scale for each token, so that no token's result depends on
            another one.
    """

    def __init__(self, *, int8: bool) -> None:
        self._onnx: Any = require("onnx")
        self._types = self._onnx.TensorProto
        self.int8 = int8
        self._model = self._onnx.ModelProto()  # grows in place: weights are large, copies too
        self._graph = self._model.graph
        self._constants: dict[bytes, str] = {}
        self._size = 0

    def input(self, name: str, shape: list[str]) -> str:
        """Add an input, int64."""
        make = self._onnx.helper.make_tensor_value_info
        self._graph.input.append(make(name, self._types.INT64, shape))
        return name

    def output(self, name: str, value: str, shape: list[str | int]) -> None:
        """Add an output, float32."""
        helper = self._onnx.helper
        self._graph.node.append(helper.make_node("Identity", [value], [name], name=name))
        info = helper.make_tensor_value_info(name, self._types.FLOAT, shape)
        self._graph.output.append(info)

    def constant(self, value: Any, name: str | None = None) -> str:
        """Add a tensor; one that is there already is used again."""
        array = np.asarray(value, order="C")
        known = blake2b(f"{array.dtype} {array.shape} ".encode())
        known.update(array.data)
        key = known.digest()
        if key not in self._constants:
            self._constants[key] = name or f"constant_{len(self._constants)}"
            self._size += array.nbytes
            if self._size > LARGEST:
                raise ValueError(
                    f"the model has more than {LARGEST / 1e9:.1f} GB of weights, the most that an "
                    "ONNX file holds" + ("" if self.int8 else "; in int8 it is a quarter as large")
                )
            tensor = self._onnx.numpy_helper.from_array(array, self._constants[key])
            self._graph.initializer.append(tensor)
        return self._constants[key]

    def whole(self, *values: int) -> str:
        """Add int64 numbers in a row, as shapes and axes are given."""
        return self.constant(np.array(values, np.int64))

    def number(self, value: int) -> str:
        """Add one int64."""
        return self.constant(np.int64(value))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator with one result."""
        name = f"{kind}_{len(self._graph.node)}"
        node = self._onnx.helper.make_node(kind, inputs, [name], name=name, **attributes)
        self._graph.node.append(node)
        return name

    def cast(self, x: str, kind: str) -> str:
        """Convert to FLOAT or INT64."""
        return self.op("Cast", x, to=getattr(self._types, kind))

    def linear(self, x: str, weight: NDArray[Any], bias: NDArray[Any], name: str) -> str:
        """(N, in) -> (N, out); the weight is (out, in)."""
        if not self.int8:
            matrix = self.constant(weight, f"{name}.weight")
            return self.op("Gemm", x, matrix, self.constant(bias, f"{name}.bias"), transB=1)
        rows, scales = _rows_in_8_bits(weight, _largest_of_pairs(weight))
        largest = self.op("ReduceMax", self.op("Abs", x), self.whole(1), keepdims=1)
        largest = self.op("Max", largest, self.constant(_TINY))
        middle, step = self.constant(np.uint8(128)), self.constant(np.float32(1 / 127))
        given = self.op("QuantizeLinear", self.op("Div", x, largest), step, middle)
        matrix = self.op("Transpose", self.constant(rows, f"{name}.weight"), perm=[1, 0])
        counts = self.op("MatMulInteger", given, matrix, middle)
        product = self.op("Mul", self.cast(counts, "FLOAT"), largest)
        product = self.op("Mul", product, self.constant(scales / 127, f"{name}.scale"))
        return self.op("Add", product, self.constant(bias, f"{name}.bias"))

    def rows(self, table: NDArray[Any], ids: str, name: str) -> str:
        """Look up (N,) ids in a table (rows, C): (N, C)."""
        if not self.int8:
            return self.op("Gather", self.constant(table, f"{name}.weight"), ids)
        rows, scales = _rows_in_8_bits(table, _largest(table))
        found = self.op("Gather", self.constant(rows, f"{name}.weight"), ids)
        scale = self.op("Gather", self.constant(scales[:, None], f"{name}.scale"), ids)
        return self.op("Mul", self.cast(found, "FLOAT"), scale)

    def norm(self, x: str, weight: NDArray[Any], bias: NDArray[Any], eps: float, name: str) -> str:
        """Normalise the last dimension."""
        scale = self.constant(weight, f"{name}.weight")
        shift = self.constant(bias, f"{name}.bias")
        return self.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=eps)

    def serialize(self, version: str) -> bytes:
        """Return the file of this version of the package."""
        model = self._model
        self._graph.name = model.producer_name = "distilbert"
        model.producer_version, model.ir_version = version, _IR_VERSION
        model.opset_import.append(self._onnx.helper.make_opsetid("", OPSET))
        return model.SerializeToString()


def _largest(weight: NDArray[Any]) -> NDArray[Any]:
    """Return the largest magnitude of each row of (rows, C)."""
    return np.maximum(weight.max(axis=1), -weight.min(axis=1))


def _largest_of_pairs(weight: NDArray[Any]) -> NDArray[Any]:
    """Return the largest magnitude that two columns side by side have together, with one sign.

    Without VNNI, ONNX Runtime adds up two products in 16 bits: 255 * 128 is the most they hold.
    """
    even = np.pad(weight, ((0, 0), (0, weight.shape[1] % 2)))
    left, right = even[:, ::2], even[:, 1::2]
    total = np.abs(left + right)
    total += np.abs(left)
    total += np.abs(right)
    return total.max(axis=1) / 2


def _rows_in_8_bits(
    weight: NDArray[Any], largest: NDArray[Any]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return (rows, C) as int8 and the scale of each row, with which 127 is the largest."""
    scales = np.maximum(largest, _TINY) / np.float32(127)
    steps = weight / scales[:, None]
    return np.rint(steps, out=steps).astype(np.int8), scales
