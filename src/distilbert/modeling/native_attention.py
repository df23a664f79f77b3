"""Attention by the native engine, with dropout, and its gradients, on a CPU.

PyTorch has no kernel for it there: step by step it takes seven operations, each over all weights,
and for each length of the sequences again.
"""

from ctypes import byref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from distilbert.modeling import inputs
from distilbert.native import library


def takes(query: Tensor) -> bool:
    """Whether it can be done: float32 or bfloat16 on a CPU for which the engine was compiled.

    Not while somebody looks on at every operation, as `torch.func` and `make_fx` do.
    """
    return (
        query.dtype in (torch.float32, torch.bfloat16)
        and inputs.readable(query)
        and type(query) is Tensor
        and not torch._C._are_functorch_transforms_active()
        and _get_current_dispatch_mode() is None
        and library.engine() is not None
    )


def needs_gradient(*tensors: Tensor) -> bool:
    """Whether a backward pass will follow."""
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: Tensor,
    dropout: float,
    first_only: bool = False,
) -> Tensor:
    """Attention inside each sequence of a row of tokens.

    Args:
        query: (N, H, D), or with `first_only` (B, H, D) for the first token of each sequence, of
            which none is empty.
        key, value: (N, H, D).
        starts: (B + 1,) int32, where each sequence starts in the row, and N.
        dropout: share of the weights that is dropped.

    Returns:
        Like `query`. It is computed in float32. It has first derivatives, one at a time: neither
        second ones nor forward-mode or batched ones (`is_grads_batched`).
    """
    seed = int(torch.empty((), dtype=torch.int64, device="cpu").random_()) if dropout else 0
    context = _Attention.apply(
        query.float(), key.float(), value.float(), starts, dropout, seed, first_only
    )
    assert isinstance(context, Tensor)
    return context.to(query.dtype)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        starts: Tensor,
        rate: float,
        seed: int,
        first_only: bool,
    ) -> Tensor:
        query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
        context = torch.empty_like(query)
        logs = query.new_empty(query.shape[:2])
        options = rate, seed, first_only
        call = _call(query, key, value, starts, context, logs, *options)
        _run(call, back=False)
        ctx.save_for_backward(query, key, value, starts, context, logs)
        ctx.options = options
        return context

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "the native engine's attention has no second derivatives (create_graph=True): take "
                "attn_implementation='eager'"
            )
        query, key, value, starts, context, logs = ctx.saved_tensors
        grad = grad.contiguous()
        gradients = [torch.empty_like(x) for x in (query, key, value)]
        call = _call(query, key, value, starts, context, logs, *ctx.options)
        call.d_context = grad.data_ptr()
        call.dq, call.dk, call.dv = (x.data_ptr() for x in gradients)
        _run(call, back=True)
        return *gradients, None, None, None, None


def _call(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: Tensor,
    context: Tensor,
    logs: Tensor,
    rate: float,
    seed: int,
    first_only: bool,
) -> library.Training:
    sequences, (_, heads, size) = len(starts) - 1, key.shape
    return library.Training(
        q=query.data_ptr(),
        k=key.data_ptr(),
        v=value.data_ptr(),
        starts=starts.data_ptr(),
        sequences=sequences,
        heads=heads,
        head_size=size,
        first_only=first_only,
        dropout=rate,
        seed=seed,
        context=context.data_ptr(),
        logs=logs.data_ptr(),
        threads=torch.get_num_threads(),
    )


def _run(call: library.Training, *, back: bool) -> None:
    engine = library.engine()
    assert engine is not None
    if engine.distilbert_attention(byref(call), back):
        raise MemoryError("not enough memory for attention")
