"""What the C library does with the memory that tensors leave behind.

By default glibc gives large blocks back to the system, which has to clear their pages before they
are asked for again. Where the library is another one, the functions here do nothing.
"""

import ctypes
import sys

import torch

# glibc's numbers of its options, and the largest value that one takes.
_TRIM_THRESHOLD, _MMAP_MAX, _MOST = -1, -4, (1 << 31) - 1
_TRIM_EVERY = 100_000  # tokens of training; fragmentation grows slowly


def _glibc() -> ctypes.CDLL | None:
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "gnu_get_libc_version"):
            return library
    return None


def keep_freed_memory() -> None:
    """Keep all of it, for a process that trains: a tenth of the time of a step on a CPU.

    No block is mapped by itself, so even the gradient of a vocabulary stays (docs/log.md).
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, _MOST)


def keep_for_next_layer() -> None:
    """Keep the megabytes that each layer, and each slice of texts in the native engine, frees.

    Allocate and free 31 MB once: glibc then keeps freed blocks of up to that size. Without it, 5 to
    8 % of the time goes to pages that are given back and cleared again.
    """
    torch.empty(31 << 20, dtype=torch.uint8, device="cpu")


def give_back() -> None:
    """Give everything back now.

    After loading that is a tenth of the memory of an 8-bit model. In training, where each step has
    other shapes, the holes between blocks come to several times of what is in use.
    """
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


class Trimming:
    """Gives everything back now and then, in training on a CPU.

    Args:
        device: that is trained on; nothing is done for another than a CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_on = device.type == "cpu"
        self._tokens = 0  # since the last time

    def after(self, tokens: int) -> None:
        """Count the tokens of a step."""
        self._tokens += tokens
        if self._is_on and self._tokens >= _TRIM_EVERY:
            give_back()
            self._tokens = 0
