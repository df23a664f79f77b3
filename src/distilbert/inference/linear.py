"""Linear layers that are laid out once for the library that multiplies.

Each takes (…, K) and returns (…, N) in the type that it computes in. There are:

- `PlainLinear`: PyTorch's own, for any device and type;
- `PackedLinear`: oneDNN with the weights in its own order;
- `Int8Linear`: FBGEMM with 8-bit weights, a scale per output, and 8-bit activations, a scale per
  row. What a row gives therefore does not depend on the rows beside it;
- `VnniLinear`: the same by oneDNN, half as fast again where the processor has VNNI.
"""

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distilbert.modeling.model import ACTIVATION_FUNCTIONS
from distilbert.native import processor

_ROWS = 1024  # the number of rows that oneDNN lays weights out for
_TINY = 1e-30  # instead of the largest value of a row of zeros
# Activations that oneDNN applies while it writes its result; its ReLU would make 0 of nan.
_FUSED = {"gelu": ("gelu", "none"), "gelu_new": ("gelu", "tanh")}
_FUSED["gelu_pytorch_tanh"] = _FUSED["gelu_new"]


def _largest(x: Tensor) -> Tensor:
    """(…, K) -> (…, 1), the largest magnitude; in two passes, 20 times as fast as `abs` or a norm.

    Not 0, so that one can divide by it.
    """
    return torch.maximum(x.amax(-1, keepdim=True), -x.amin(-1, keepdim=True)).clamp_(min=_TINY)


_TAIL = 8  # bytes behind a row in 8 bits: two float32, its step and its lowest value


def _to_bytes(rows: Tensor) -> Tensor:
    """(N, K) float32 -> (N, K + 8) uint8: q from 0 to 255 so that row = lowest + step * q."""
    return torch.ops.quantized.embedding_bag_byte_prepack(rows)


def _step_and_lowest(q: Tensor) -> tuple[Tensor, Tensor]:
    """(N, K + 8) -> (N, 1) each."""
    # Elsewhere than at a multiple of 4 bytes there can be no float32. Of a single row any part is
    # contiguous already, so it is cloned.
    tail = q[:, -_TAIL:].clone(memory_format=torch.contiguous_format) if q.shape[1] % 4 else q
    numbers = tail.view(torch.float32)
    return numbers[:, -2:-1], numbers[:, -1:]


class FastLinear(nn.Module):
    """A linear layer, then perhaps an activation or the sum with a residual.

    Args:
        weight: (N, K).
        bias: (N,).
        activation: one of `ACTIVATION_FUNCTIONS`, or None.
    """

    kind: str

    def __init__(self, weight: Tensor, bias: Tensor, activation: str | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.activation = None if activation is None else ACTIVATION_FUNCTIONS[activation]

    def _finish(self, y: Tensor, residual: Tensor | None) -> Tensor:
        if self.activation is F.gelu:
            y = torch.ops.aten.gelu_(y)  # no other memory to fetch
        elif self.activation is not None:
            y = self.activation(y)
        return y if residual is None else y.add_(residual)

    def extra_repr(self) -> str:
        """Return the sizes, for the printed module."""
        return f"{self.in_features}, {self.out_features}"


class PlainLinear(FastLinear):
    """PyTorch's linear layer."""

    kind = "plain"

    def __init__(
        self, weight: Tensor, bias: Tensor, activation: str | None, dtype: torch.dtype
    ) -> None:
        super().__init__(weight, bias, activation)
        self.weight_, self.bias_ = (x.detach().to(dtype, copy=True) for x in (weight, bias))

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """(…, K) -> (…, N)."""
        return self._finish(F.linear(x.to(self.weight_.dtype), self.weight_, self.bias_), residual)


class PackedLinear(FastLinear):
    """oneDNN's linear layer on weights in its own order.

    With AVX-512 the activation and the residual are part of the multiplication. With AVX2 they
    are not: there oneDNN's GELU takes five times as long as PyTorch's.
    """

    kind = "packed"

    def __init__(
        self, weight: Tensor, bias: Tensor, activation: str | None, dtype: torch.dtype
    ) -> None:
        super().__init__(weight, bias, activation)
        self.dtype = dtype
        self.bias_ = bias.detach().to(dtype, copy=True)
        self.packed = torch.ops.mkldnn._reorder_linear_weight(
            weight.detach().to(dtype).contiguous(), _ROWS
        )
        fuses = processor.has_avx512()
        self._fused_activation = _FUSED.get(activation or "") if fuses else None
        self._fuses_residual = fuses and activation is None

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """(…, K) -> (…, N)."""
        linear = torch.ops.mkldnn._linear_pointwise
        x = x.to(self.dtype)
        if residual is not None and self._fuses_residual:
            return linear.binary(x, residual, self.packed, self.bias_, "add")
        if self._fused_activation is not None and residual is None:
            name, algorithm = self._fused_activation
            return linear(x, self.packed, self.bias_, name, [], algorithm)
        return self._finish(linear(x, self.packed, self.bias_, "none", [], ""), residual)


class Int8Linear(FastLinear):
    """FBGEMM's linear layer: y = scale(row) * (x / scale(row) in 8 bits) W + b, in float32.

    Rows are divided by their largest magnitude, so that one fixed scale (1/127, zero at 128) fits
    all of them. Weights have 8 bits with VNNI and 7 without: there the processor adds two products
    in 16 bits, and 2 * 255 * 63 fits while 2 * 255 * 127 does not.
    """

    kind = "int8"

    def __init__(self, weight: Tensor, bias: Tensor, activation: str | None) -> None:
        super().__init__(weight, bias, activation)
        weight = weight.detach().float()
        self.bias_ = bias.detach().float().clone()
        scales = _largest(weight) / (127 if processor.has_vnni() else 63)
        self.scales = scales[:, 0]
        integers = (weight * scales.reciprocal()).round_().to(torch.int8)
        with warnings.catch_warnings():  # PyTorch means to replace its quantised types, some day
            warnings.simplefilter("ignore")
            zeros = torch.zeros(len(scales), dtype=torch.long, device="cpu")
            quantised = torch._make_per_channel_quantized_tensor(
                integers, self.scales.double(), zeros, 0
            )
            self.packed = torch.ops.quantized.linear_prepack(quantised, None)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """(…, K) -> (…, N)."""
        x = x.float()
        scale = _largest(x)
        y = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            x * scale.reciprocal(), 1 / 127, 128, self.packed
        )
        return self._finish(torch.addcmul(self.bias_, y, scale, out=y), residual)


class VnniLinear(FastLinear):
    """oneDNN's 8-bit layer: y = step(row) * q W + lowest(row) * sum(W) + b, in float32.

    Each row is written as lowest + step * q with q from 0 to 255, so all 8 bits are used even by
    what GELU leaves, which is nearly all positive. One operator does it, and puts the two numbers
    behind the row's q, in 8 bytes. The product reads these bytes too: its weights there are 0,
    which is cheaper than a copy without them.
    """

    kind = "int8"

    def __init__(self, weight: Tensor, bias: Tensor, activation: str | None) -> None:
        super().__init__(weight, bias, activation)
        weight = weight.detach().float()
        self.bias_ = bias.detach().float().clone()
        scales = _largest(weight) / 127
        integers = (weight * scales.reciprocal()).round_()
        self.scales = scales[:, 0]
        self.zeros = torch.zeros(len(scales), dtype=torch.int32, device="cpu")
        self.sums = integers.sum(1) * self.scales
        padded = F.pad(integers.to(torch.int8), (0, _TAIL))
        # It takes the memory as it is, whatever the strides.
        self.packed = torch.ops.onednn.qlinear_prepack(padded.contiguous(), None)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """(…, K) -> (…, N)."""
        rows = x.reshape(-1, self.in_features).float()
        if not len(rows):
            return rows.new_empty(*x.shape[:-1], self.out_features)
        q = _to_bytes(rows)
        step, lowest = _step_and_lowest(q)
        y = torch.ops.onednn.qlinear_pointwise(
            q, 1.0, 0, self.packed, self.scales, self.zeros, None, 1.0, 0, torch.float32,
            "none", [], "",
        )  # fmt: skip
        y = torch.addcmul(self.bias_, y, step, out=y).addcmul_(lowest, self.sums)
        y = y.unflatten(0, x.shape[:-1]) if x.dim() != 2 else y
        return self._finish(y, residual)


class InFloat32(nn.Module):
    """A linear layer whose result is float32."""

    def __init__(self, linear: FastLinear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        """(…, K) -> (…, N)."""
        return self.linear(x).float()


class _Table(nn.Embedding):
    """An embedding whose table is kept in fewer bits; what is looked up is float32."""

    def __init__(self, weight: Tensor) -> None:
        rows, width = weight.shape
        super().__init__(rows, width, _weight=torch.empty(rows, width, device="meta"))
        del self.weight


class Int8Embedding(_Table):
    """A table in 8 bits with two numbers per row."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight)
        self.table = _to_bytes(weight.detach().float().contiguous())

    def forward(self, ids: Tensor) -> Tensor:
        """(…) -> (…, C)."""
        q = F.embedding(ids, self.table).flatten(0, -2)
        step, lowest = _step_and_lowest(q)
        found = torch.addcmul(lowest, q[:, :-_TAIL].float(), step)
        return found.view(*ids.shape, self.embedding_dim)


class HalfEmbedding(_Table):
    """A table in bfloat16 or float16."""

    def __init__(self, weight: Tensor, dtype: torch.dtype) -> None:
        super().__init__(weight)
        self.table = weight.detach().to(dtype, copy=True)

    def forward(self, ids: Tensor) -> Tensor:
        """(…) -> (…, C)."""
        return F.embedding(ids, self.table).float()
