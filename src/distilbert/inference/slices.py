"""Whole sequences that go through all layers together, so that what they leave stays in cache.

Shapes: `B` batch, `T` tokens, `N` tokens in a row, `H` heads, `D` head size, `C` width.
"""

import math
from bisect import bisect_left
from itertools import accumulate, pairwise
from typing import Protocol

import torch
from torch import Tensor

from distilbert.modeling import inputs
from distilbert.modeling.attention import sdpa, unpadded
from distilbert.modeling.model import AttentionPlan
from distilbert.modeling.unpadding import Unpadding

SLICE_TOKENS = 512
FEWEST_TOKENS = 64  # with fewer, threads share each operation instead


class Part(Protocol):
    """Whole sequences that go through all layers together."""

    @property
    def starts(self) -> list[int] | Tensor:
        """The first token of each sequence, in the part."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, first_only: bool) -> Tensor:
        """(N, H, D) -> (N, H, D), each token over those of its own sequence.

        With `first_only` there are queries of first tokens only, (B, H, D) -> (B, H, D).
        """


class Slice:
    """Whole sequences that go through all layers together.

    Args:
        start: their first token in the row of all tokens.
        layout: where their tokens are, if they are unpadded.
        shape: (B, T), if they are padded.
        bias: added to the attention scores of padded ones, (B or 1, 1, 1 or T, T); None for 0.
    """

    def __init__(
        self, start: int, layout: Unpadding | None, shape: tuple[int, int], bias: Tensor | None
    ) -> None:
        self.layout, self.shape, self.bias = layout, shape, bias
        batch, length = shape
        lengths = [length] * batch if layout is None else layout.lengths
        self.starts = list(accumulate(lengths, initial=0))[:-1]  # of each sequence, in the slice
        self.tokens = slice(start, start + sum(lengths))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, first_only: bool) -> Tensor:
        """As `Part.attend`."""
        if self.layout is not None:
            return unpadded(q, k, v, self.layout, 0.0, first_only)
        q = q[:, None] if first_only else q.unflatten(0, self.shape)
        k, v = (x.unflatten(0, self.shape) for x in (k, v))
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # (B, H, 1 or T, D)
        bias = self.bias[:, :, :1] if first_only and self.bias is not None else self.bias
        return sdpa(q, k, v, bias, 0.0).transpose(1, 2).flatten(0, 1)


def slices(plan: AttentionPlan, x: Tensor) -> list[Slice]:
    """Cut the tokens `x`, (N, C) or (B, T, C), into slices of whole sequences.

    There are as many of about equal size for each thread, of at most about `SLICE_TOKENS` tokens.
    What is too little for all threads is one slice, and so is everything off the CPU.
    """
    layout = plan.layout
    lengths = plan.lengths(x)
    starts = list(accumulate(lengths, initial=0))
    count = _count(starts[-1], len(lengths)) if x.device.type == "cpu" else 1
    ends = {_nearest(starts, starts[-1] * part / count) for part in range(1, count)}
    cuts = sorted({0, len(lengths)} | ends)
    if layout is None:
        bias = inputs.attention_bias(plan.mask, x.dtype)
        return [
            Slice(
                starts[first],
                None,
                (last - first, x.shape[1]),
                bias if bias is None or len(bias) == 1 else bias[first:last],
            )
            for first, last in pairwise(cuts)
        ]
    parts = []
    for first, last in pairwise(cuts):
        tokens = layout.indices[starts[first] : starts[last]]
        part_of = Unpadding(tokens, lengths[first:last], layout.rows[first:last], layout.shape)
        parts.append(Slice(starts[first], part_of, layout.shape, None))
    return parts


def _nearest(values: list[int], goal: float) -> int:
    """Return the place of the ascending value that is nearest to a goal between first and last."""
    after = bisect_left(values, goal)
    return after - (after > 0 and goal - values[after - 1] < values[after] - goal)


def _count(tokens: int, sequences: int) -> int:
    """Return into how many slices tokens are cut; one if there is not enough for every thread."""
    threads = torch.get_num_threads()
    if threads > 1 and (sequences < threads or tokens < threads * FEWEST_TOKENS):
        return 1
    return threads * math.ceil(tokens / (threads * SLICE_TOKENS)) or 1
