"""Attention itself, padded and unpadded: functions from queries, keys and values to contexts.

Shapes: `B` batch, `H` heads, `T` tokens, `N` real tokens, `D` head size.
"""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from distilbert.modeling import dropout as dropping
from distilbert.modeling import native_attention
from distilbert.modeling.unpadding import Unpadding


def eager(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    dropout: float,
    head_mask: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Attention step by step, the reference: (B, H, T, D) -> contexts and weights (B, H, T, T).

    Weights are returned as they act on the values: after dropout and `head_mask`.
    """
    query = query / math.sqrt(query.shape[-1])
    scores = query @ key.transpose(-1, -2)  # (B, H, T, T)
    if bias is not None:
        scores = scores + bias
    weights = dropping.dropout(scores.softmax(-1), dropout)
    if head_mask is not None:
        weights = weights * head_mask.to(weights.dtype)
    return weights @ value, weights


def sdpa(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, dropout: float) -> Tensor:
    """Attention by PyTorch's fused kernels: (B, H, T, D) -> (B, H, T, D).

    That for the CPU has no dropout: with it, by the native engine or step by step.
    """
    if dropout and query.device.type == "cpu":
        if bias is None and native_attention.takes(query):
            return _dense(query, key, value, dropout)
        return eager(query, key, value, bias, dropout, None)[0]
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout)


def _dense(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
    """Attention by the native engine, of sequences of one length: (B, H, T, D) -> (B, H, T, D)."""
    batch, length = len(key), key.shape[2]
    starts = torch.arange(batch + 1, dtype=torch.int32, device=key.device) * length
    q, k, v = (x.transpose(1, 2).flatten(0, 1) for x in (query, key, value))  # (N, H, D)
    context = native_attention.attend(q, k, v, starts, dropout, query.shape[2] != length)
    return context.unflatten(0, (batch, query.shape[2])).transpose(1, 2)


def unpadded(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: Unpadding,
    dropout: float,
    first_only: bool = False,
) -> Tensor:
    """Attention inside each sequence of a row of tokens: (N, H, D) -> (N, H, D).

    With `first_only` there is a query for each sequence's first token only, (B, H, D) -> (B, H, D),
    in the order of `layout`; no sequence may be empty.

    In training on a CPU the native engine does it in one call, and on CUDA in half precision a
    variable-length flash kernel. Without them sequences of equal length are a block without
    padding, and each block a call; on CUDA, where many small calls are slow, sequences of several
    lengths are padded for one.
    """
    trains = dropout or native_attention.needs_gradient(query, key, value)
    if trains and native_attention.takes(query):
        starts = layout.boundaries
        return native_attention.attend(query, key, value, starts, dropout, first_only)
    if flash_takes(query):
        starts, longest = layout.boundaries, layout.lengths[-1]
        return flash(query, key, value, starts, longest, dropout, first_only)
    blocks = list(layout.blocks())
    if query.is_cuda and len(blocks) > 1:
        k, v = (layout.pad(part).transpose(1, 2) for part in (key, value))
        mask = layout.mask()[:, None, None, :]  # (B, 1, 1, T)
        if first_only:
            q = layout.in_batch_order(query)[:, :, None]  # (B, H, 1, D)
            return sdpa(q, k, v, mask, dropout)[:, :, 0][layout.rows]
        q = layout.pad(query).transpose(1, 2)
        return layout.unpad(sdpa(q, k, v, mask, dropout).transpose(1, 2))
    sizes = [count * length for count, length in blocks]
    query_counts = [count for count, _ in blocks] if first_only else sizes
    contexts = []
    for (count, length), *parts in zip(
        blocks, query.split(query_counts), key.split(sizes), value.split(sizes), strict=True
    ):
        if length:
            q, k, v = (part.unflatten(0, (count, -1)).transpose(1, 2) for part in parts)
            contexts.append(sdpa(q, k, v, None, dropout).transpose(1, 2).flatten(0, 1))
    return torch.cat(contexts)


def flash_takes(query: Tensor) -> bool:
    """Whether the flash kernel takes these queries."""
    return query.is_cuda and flash_has(query.dtype, query.shape[-1])


def flash_has(dtype: torch.dtype, head_size: int) -> bool:
    """Whether the flash kernel is there for CUDA, half precision and a head size in steps of 8."""
    half = dtype in (torch.float16, torch.bfloat16)
    return half and head_size % 8 == 0 and head_size <= 256 and _has_flash()


@cache
def _has_flash() -> bool:
    return torch.backends.cuda.is_flash_attention_available() and all(
        torch.cuda.get_device_capability(device) >= (8, 0)
        for device in range(torch.cuda.device_count())
    )


def flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: Tensor,
    longest: int,
    dropout: float = 0.0,
    first_only: bool = False,
) -> Tensor:
    """What `unpadded` does, by the variable-length flash kernel.

    Args:
        starts: (B + 1,) int32, as `Unpadding.boundaries`.
        longest: tokens of the longest sequence, or more.
    """
    query_starts, most = starts, longest
    if first_only:
        query_starts, most = torch.arange(len(starts), dtype=starts.dtype, device=starts.device), 1
    if not dropout:
        from torch.nn.attention.varlen import varlen_attn  # its import takes a second

        context = varlen_attn(query, key, value, query_starts, starts, most, longest)
        assert isinstance(context, Tensor)
        return context
    # The operator under varlen_attn, and under nested tensors' attention: it can drop out as well.
    context, *_ = torch.ops.aten._flash_attention_forward(
        query, key, value, query_starts, starts, most, longest, dropout, False, False
    )
    return context
