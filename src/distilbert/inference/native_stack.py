"""The stack of blocks as one call of the engine."""

from ctypes import addressof, byref, c_int64, pointer
from itertools import accumulate
from typing import Any, cast

import torch
from torch import Tensor

from distilbert.inference.encoder import FastBlock, FastTransformer
from distilbert.inference.native_linear import NativeLinear
from distilbert.modeling import inputs
from distilbert.modeling.model import AttentionPlan
from distilbert.native import library, threads
from distilbert.native.memory import keep_for_next_layer

SLICE_TOKENS = 160


class NativeTransformer(FastTransformer):
    """The stack as one call of the engine; the blocks of the base only hold the weights.

    While a layer is watched (it has a hook), the parts are called one by one.

    Raises:
        ValueError: where PyTorch records instead of computing: it would not see the engine.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        engine = library.engine()
        assert engine is not None
        self._forward = engine.distilbert_forward
        blocks = [_structure(cast(FastBlock, block)) for block in self.layer]
        self._blocks = (library.Block * len(blocks))(*blocks)
        self._linears = [layer for layer in self.modules() if isinstance(layer, NativeLinear)]
        keep_for_next_layer()

    def _encode(
        self, x: Tensor, plan: AttentionPlan, keep_hidden_states: bool
    ) -> tuple[Tensor, list[Tensor]]:
        if _is_unseen(x):
            raise ValueError(
                "a prepared model can be neither traced nor exported, and torch.func does not see "
                "what it computes: use the model that it was made from"
            )
        if any(layer._forward_hooks for layer in self._linears):
            return super()._encode(x, plan, keep_hidden_states)
        rows = x.flatten(0, -2).float().contiguous()
        y = torch.empty_like(rows)  # with `first_only` nothing is written but first tokens
        states = rows.new_empty(len(self.layer) if keep_hidden_states else 0, *rows.shape)
        lengths = plan.lengths(x)
        starts = (c_int64 * (len(lengths) + 1))(*accumulate(lengths, initial=0))
        stack = library.Stack(len(self.layer), x.shape[-1], self._blocks)
        call = library.Call(
            stack=pointer(stack),
            x=rows.data_ptr(),
            y=y.data_ptr(),
            states=states.data_ptr() if keep_hidden_states else None,
            starts=addressof(starts),
            sequences=len(lengths),
            first_only=plan.first_only,
            slice_tokens=SLICE_TOKENS,
            threads=threads.count(),
        )
        bias = None if plan.layout is not None else inputs.attention_bias(plan.mask, torch.float32)
        if bias is not None:  # (B or 1, H or 1, T or 1, T or 1)
            bias = bias.expand(*bias.shape[:-1], x.shape[1]).contiguous()
            call.bias = bias.data_ptr()
            call.bias_strides = tuple(
                0 if size == 1 else stride
                for size, stride in zip(bias.shape[:3], bias.stride(), strict=False)
            )
        if self._forward(byref(call)):
            raise MemoryError(f"not enough memory for {len(rows):,} tokens")
        return y.view_as(x), [state.view_as(x) for state in states]


def _is_unseen(x: Tensor) -> bool:
    """Whether PyTorch records this call, or only pretends to compute, and would not see the engine.

    torch.compile is welcome: it leaves the call out of its graph.
    """
    return not torch.compiler.is_dynamo_compiling() and not inputs.readable(x)


def _structure(block: FastBlock) -> library.Block:
    """Point to the weights of a block."""
    layers = [*block.projections, block.out_lin, block.lin1, block.lin2]
    structures = [cast(NativeLinear, layer).structure for layer in layers]
    if len(structures) == 4:  # queries are not apart
        structures.insert(0, library.Linear())
    norms = [library.Norm(w.data_ptr(), b.data_ptr(), eps) for w, b, eps in block.norms]
    return library.Block(*structures, (library.Norm * 2)(*norms), *block.heads)
