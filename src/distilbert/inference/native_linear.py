"""A linear layer of the engine, in float32 or 8 bits."""

import ctypes

import torch
from torch import Tensor

from distilbert.inference.linear import FastLinear
from distilbert.native import library, threads

_NUMBERS = {"native": library.FLOAT32, "int8": library.INT8}


class NativeLinear(FastLinear):
    """The engine's layer: y = activation(x W + b), in float32.

    In 8 bits weights are integers times a scale per output, and each row is lowest + step * q with
    q from 0 to 255, so what a row gives does not depend on the rows beside it.

    Args:
        weight, bias, activation: as for `FastLinear`.
        kind: "native", which is float32, or "int8".
    """

    def __init__(self, weight: Tensor, bias: Tensor, activation: str | None, kind: str) -> None:
        super().__init__(weight, bias, activation)
        self.kind = kind
        engine = library.engine()
        assert engine is not None
        self._engine = engine
        number, (outputs, inputs) = _NUMBERS[kind], weight.shape
        weight = weight.detach().float().contiguous()
        self.bias_ = bias.detach().float().clone()
        size = engine.distilbert_packed_size(number, inputs, outputs)
        # The engine writes bytes and float32 there, whatever PyTorch's defaults are.
        self.packed = torch.empty(size, dtype=torch.uint8, device="cpu")
        count = outputs if kind == "int8" else 0
        self.scales, self.sums = (
            torch.empty(count, dtype=torch.float32, device="cpu") for _ in range(2)
        )
        engine.distilbert_pack(
            number,
            inputs,
            outputs,
            weight.data_ptr(),
            self.packed.data_ptr(),
            self.scales.data_ptr(),
            self.sums.data_ptr(),
        )
        self.structure = library.Linear(
            number, inputs, outputs, library.ACTIVATIONS[activation], self.packed.data_ptr(),
            self.bias_.data_ptr(), self.scales.data_ptr(), self.sums.data_ptr(),
        )  # fmt: skip

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """(…, K) -> (…, N)."""
        rows = x.reshape(-1, self.in_features).float().contiguous()
        y = rows.new_empty(len(rows), self.out_features)
        if self._engine.distilbert_linear(
            ctypes.byref(self.structure), rows.data_ptr(), len(rows), y.data_ptr(), threads.count()
        ):
            raise MemoryError(f"not enough memory to quantise {tuple(rows.shape)} numbers")
        y = y.view(*x.shape[:-1], self.out_features)
        return y if residual is None else y.add_(residual)
