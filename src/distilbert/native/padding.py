"""Padding put back by the engine's threads, while PyTorch has only one."""

import math
from ctypes import byref

import torch
from torch import Tensor

from distilbert.native import library, threads


def takes(x: Tensor) -> bool:
    """Whether it is its turn: the engine has the threads, and what it knows is float32."""
    return threads.are_taken() and x.dtype == torch.float32 and type(x) is Tensor and x.is_cpu


def pad(x: Tensor, places: Tensor, rows: int, fill: float) -> Tensor:
    """(N, …) -> (rows, …): each row of `x` at its place, `fill` elsewhere.

    Args:
        places: (N,) int64.
    """
    engine = library.engine()
    assert engine is not None
    x = x.contiguous()
    y = x.new_empty(rows, *x.shape[1:])
    call = library.Padding(
        x=x.data_ptr(),
        places=places.data_ptr(),
        tokens=len(x),
        width=math.prod(x.shape[1:]),
        rows=rows,
        fill=fill,
        y=y.data_ptr(),
        threads=threads.count(),
    )
    if engine.distilbert_pad(byref(call)):
        raise MemoryError(f"not enough memory for {rows:,} rows")
    return y
