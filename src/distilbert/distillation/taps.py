"""Queries, keys and values of chosen layers, read while the encoder runs."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from distilbert.modeling.model import MultiHeadSelfAttention, Transformer, TransformerBlock


class Taps:
    """Keeps what the projections of some layers gave last.

    Not with gradient checkpointing, which runs the layers twice.
    """

    def __init__(self, transformer: Transformer, layers: Iterable[int]) -> None:
        self._kept: dict[tuple[int, str], Tensor] = {}
        self._heads: dict[int, int] = {}
        self._handles: list[RemovableHandle] = []
        for layer in layers:
            block = transformer.layer[layer]
            assert isinstance(block, TransformerBlock)
            attention = block.attention
            self._heads[layer] = attention.n_heads
            for name in ("q_lin", "k_lin", "v_lin"):
                self._tap(attention, layer, name)

    def _tap(self, attention: MultiHeadSelfAttention, layer: int, name: str) -> None:
        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._kept[layer, name] = output

        projection = getattr(attention, name)
        self._handles.append(projection.register_forward_hook(keep))

    def rows(self, layer: int, name: str) -> Tensor:
        """Return what `name` (q_lin, k_lin or v_lin) gave last, (N, C)."""
        return self._kept[layer, name].flatten(0, -2)

    def queries_keys_values(self, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return all three, (N, C) each."""
        return self.rows(layer, "q_lin"), self.rows(layer, "k_lin"), self.rows(layer, "v_lin")

    def heads(self, layer: int, name: str) -> Tensor:
        """Return the same as (N, H, D)."""
        return self.rows(layer, name).unflatten(-1, (self._heads[layer], -1))

    def clear(self) -> None:
        """Let go of what was kept."""
        self._kept.clear()
