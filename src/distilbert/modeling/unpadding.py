"""Padding out before the first layer, and back in after the last.

The real tokens of a batch lie in one row, the sequences ordered by length, so that sequences of
equal length are neighbours and attention can take them as one dense block.

Shapes: `B` batch, `T` padded length, `N` real tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, groupby
from typing import Self

import torch
from torch import Tensor

from distilbert.native import padding


@dataclass(frozen=True)
class Unpadding:
    """Where the real tokens of a padded batch (B, T) are.

    Attributes:
        indices: (N,), position of each real token in the flattened batch.
        lengths: real tokens of each sequence, ascending; empty sequences included.
        rows: (B,), the row of the batch that each entry of `lengths` is.
        shape: (B, T).
    """

    indices: Tensor
    lengths: list[int]
    rows: Tensor
    shape: tuple[int, int]

    @classmethod
    def from_mask(cls, mask: Tensor) -> Self:
        """Read a boolean mask (B, T), true where a token is real, in any pattern."""
        counts, rows = mask.sum(1).sort(stable=True)
        flat = mask[rows].flatten().nonzero().squeeze(1)  # (N,), in the order of `rows`
        columns = mask.shape[1]
        indices = rows[flat // columns] * columns + flat % columns
        return cls(indices, counts.tolist(), rows, (mask.shape[0], columns))

    @classmethod
    def from_lengths(cls, lengths: Sequence[int], columns: int, device: torch.device) -> Self:
        """Take the lengths of right-padded sequences: nothing is read from the device."""
        counts, rows = torch.tensor(lengths, device="cpu").sort(stable=True)
        starts = counts.cumsum(0) - counts
        indices = torch.repeat_interleave(rows * columns - starts, counts)
        indices = indices + torch.arange(len(indices), device="cpu")
        indices, rows = (x.to(device, non_blocking=True) for x in (indices, rows))
        return cls(indices, counts.tolist(), rows, (len(lengths), columns))

    @property
    def total(self) -> int:
        """N, the number of real tokens."""
        return len(self.indices)

    @cached_property
    def boundaries(self) -> Tensor:
        """(B + 1,) int32, where each sequence starts in the row of tokens, and N."""
        starts = [0, *accumulate(self.lengths)]
        on_host = torch.tensor(starts, dtype=torch.int32, device="cpu")
        return on_host.to(self.indices.device, non_blocking=True)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield (sequences, length) for each run of sequences of equal length, empty ones too."""
        for length, run in groupby(self.lengths):
            yield len(list(run)), length

    def unpad(self, x: Tensor) -> Tensor:
        """(B, T, …) -> (N, …)."""
        return x.flatten(0, 1).index_select(0, self.indices)

    def pad(self, x: Tensor, fill: float = 0.0) -> Tensor:
        """(N, …) -> (B, T, …), `fill` at masked positions."""
        batch, columns = self.shape
        if padding.takes(x):
            full = padding.pad(x, self.indices, batch * columns, fill)
            return full.unflatten(0, (batch, columns))
        full = x.new_full((batch * columns, *x.shape[1:]), fill)
        return full.index_copy_(0, self.indices, x).unflatten(0, (batch, columns))

    def mask(self) -> Tensor:
        """(B, T), true where a token is real."""
        return self.pad(torch.ones_like(self.indices, dtype=torch.bool))

    def first(self, x: Tensor) -> Tensor:
        """(N, …) -> (B, …), each sequence's first token, the sequences still ordered by length."""
        return x[self.boundaries[:-1].long()]

    def in_batch_order(self, x: Tensor) -> Tensor:
        """(B, …) -> (B, …), from the order of `lengths` to that of the batch."""
        return torch.empty_like(x).index_copy_(0, self.rows, x)
