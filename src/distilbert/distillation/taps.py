"""Queries, keys and values of chosen layers, read while the encoder runs."""

from collections.abc import Iterable
from typing import Any, Self

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from distilbert.modeling.model import MultiHeadSelfAttention, Transformer, TransformerBlock


class Taps:
    """Keeps what the projections of some layers gave last, inside a `with`; after it nothing.

    Not with gradient checkpointing, which runs the layers twice.
    """

    def __init__(self, transformer: Transformer, layers: Iterable[int]) -> None:
        self._kept: dict[tuple[int, str], Tensor] = {}
        self._attentions: dict[int, MultiHeadSelfAttention] = {}
        self._handles: list[RemovableHandle] = []
        for layer in layers:
            block = transformer.layer[layer]
            assert isinstance(block, TransformerBlock)
            self._attentions[layer] = block.attention

    def __enter__(self) -> Self:
        for layer, attention in self._attentions.items():
            for name in ("q_lin", "k_lin", "v_lin"):
                self._tap(attention, layer, name)
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._kept.clear()

    def _tap(self, attention: MultiHeadSelfAttention, layer: int, name: str) -> None:
        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._kept[layer, name] = output

        self._handles.append(getattr(attention, name).register_forward_hook(keep))

    def rows(self, layer: int, name: str) -> Tensor:
        """Return what `name` (q_lin, k_lin or v_lin) gave last, (N, C)."""
        return self._kept[layer, name].flatten(0, -2)

    def queries_keys_values(self, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return all three, (N, C) each."""
        return self.rows(layer, "q_lin"), self.rows(layer, "k_lin"), self.rows(layer, "v_lin")

    def heads(self, layer: int, name: str) -> Tensor:
        """Return the same as (N, H, D)."""
        return self.rows(layer, name).unflatten(-1, (self._attentions[layer].n_heads, -1))
