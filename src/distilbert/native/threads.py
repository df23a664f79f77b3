"""How many threads the engine has, while PyTorch's own operators around it have one.

PyTorch's threads go on spinning for milliseconds after each operation that they shared, and take
the cores from the engine's: one short text takes up to twice as long with them.
"""

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

_mine = threading.local()


@cache
def _openmp() -> ctypes.CDLL | None:
    """Return the library that PyTorch's threads come from, if it can be told their number."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "omp_set_num_threads") and torch.get_num_threads() == (
            library.omp_get_max_threads()
        ):
            return library
    return None


def count() -> int:
    """Return how many threads the engine has in this thread."""
    return getattr(_mine, "count", None) or torch.get_num_threads()


def are_taken() -> bool:
    """Whether the engine has PyTorch's threads in this thread."""
    return hasattr(_mine, "count")


@contextmanager
def alone() -> Iterator[None]:
    """Leave PyTorch one thread, in this thread only, and the engine as many as PyTorch had."""
    openmp = _openmp()
    if openmp is None or are_taken():
        yield
        return
    _mine.count = torch.get_num_threads()
    openmp.omp_set_num_threads(1)
    try:
        yield
    finally:
        openmp.omp_set_num_threads(_mine.count)
        del _mine.count
