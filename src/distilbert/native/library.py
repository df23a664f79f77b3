"""The compiled library: which one fits this processor, and its functions and structures."""

import ctypes
import os
import warnings
from ctypes import (
    POINTER,
    Structure,
    c_char_p,
    c_double,
    c_float,
    c_int64,
    c_uint64,
    c_void_p,
)
from functools import cache
from pathlib import Path

import torch

from distilbert.native import processor
from distilbert.native.building import digest, instruction_sets, is_whole, path_of

FLOAT32, INT8 = 0, 1
ENGINES = ("auto", "native", "torch")
ACTIVATIONS = {
    None: 0,
    "gelu": 1,
    "gelu_new": 2,
    "gelu_pytorch_tanh": 2,
    "relu": 3,
    "silu": 4,
    "swish": 4,
    "quick_gelu": 5,
    "tanh": 6,
}


class Linear(Structure):
    """A layer: see products.h."""

    _fields_ = (
        ("kind", c_int64),
        ("inputs", c_int64),
        ("outputs", c_int64),
        ("activation", c_int64),
        ("weights", c_void_p),
        ("bias", c_void_p),
        ("scales", c_void_p),
        ("sums", c_void_p),
    )


class Norm(Structure):
    """A layer normalisation."""

    _fields_ = (("weight", c_void_p), ("bias", c_void_p), ("epsilon", c_double))


class Block(Structure):
    """Attention and feed-forward."""

    _fields_ = (
        ("query", Linear),
        ("key_value", Linear),
        ("out", Linear),
        ("lin1", Linear),
        ("lin2", Linear),
        ("norms", Norm * 2),
        ("heads", c_int64),
        ("head_size", c_int64),
    )


class Stack(Structure):
    """All blocks."""

    _fields_ = (("layers", c_int64), ("width", c_int64), ("blocks", POINTER(Block)))


class Call(Structure):
    """What one forward pass is given: see slice.h."""

    _fields_ = (
        ("stack", POINTER(Stack)),
        ("x", c_void_p),
        ("y", c_void_p),
        ("states", c_void_p),
        ("starts", c_void_p),
        ("sequences", c_int64),
        ("bias", c_void_p),
        ("bias_strides", c_int64 * 3),
        ("first_only", c_int64),
        ("slice_tokens", c_int64),
        ("threads", c_int64),
    )


class Training(Structure):
    """What attention is given in training: see gradients.h."""

    _fields_ = (
        ("q", c_void_p),
        ("k", c_void_p),
        ("v", c_void_p),
        ("starts", c_void_p),
        ("sequences", c_int64),
        ("heads", c_int64),
        ("head_size", c_int64),
        ("first_only", c_int64),
        ("dropout", c_double),
        ("seed", c_uint64),
        ("context", c_void_p),
        ("logs", c_void_p),
        ("d_context", c_void_p),
        ("dq", c_void_p),
        ("dk", c_void_p),
        ("dv", c_void_p),
        ("threads", c_int64),
    )


class Table(Structure):
    """Rows to look up: see embedding.h."""

    _fields_ = (("rows", c_void_p), ("count", c_int64), ("is_int8", c_int64))


class Embedding(Structure):
    """All tables, and the layer normalisation of their sum."""

    _fields_ = (
        ("words", Table),
        ("positions", c_void_p),
        ("types", c_void_p),
        ("position_count", c_int64),
        ("type_count", c_int64),
        ("width", c_int64),
        ("norm", Norm),
    )


class Lookup(Structure):
    """Tokens whose embeddings are wanted."""

    _fields_ = (
        ("embedding", POINTER(Embedding)),
        ("words", c_void_p),
        ("positions", c_void_p),
        ("types", c_void_p),
        ("tokens", c_int64),
        ("y", c_void_p),
        ("threads", c_int64),
    )


class Padding(Structure):
    """Rows of tokens that are put back to their places in a batch."""

    _fields_ = (
        ("x", c_void_p),
        ("places", c_void_p),
        ("tokens", c_int64),
        ("width", c_int64),
        ("rows", c_int64),
        ("fill", c_float),
        ("y", c_void_p),
        ("threads", c_int64),
    )


def open_library(path: Path) -> ctypes.CDLL:
    """Load a library and declare its functions.

    Raises:
        OSError: it cannot be loaded, is not whole, or was compiled from other sources than are
            here.
    """
    if not is_whole(path):  # the process would die of SIGBUS
        raise OSError(f"{path} is not whole; install the package again")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:  # compiled for another system, say
        raise OSError(f"{error}; delete {path} and install the package again") from error
    library.distilbert_sources.restype = c_char_p
    if library.distilbert_sources().decode() != digest():
        raise OSError(f"{path} was compiled from other sources; install the package again")
    # For the others ctypes takes an int for granted.
    library.distilbert_packed_size.restype = c_int64
    library.distilbert_packed_size.argtypes = (c_int64, c_int64, c_int64)
    library.distilbert_pack.restype = None
    library.distilbert_pack.argtypes = (*[c_int64] * 3, *[c_void_p] * 4)
    library.distilbert_linear.argtypes = (POINTER(Linear), c_void_p, c_int64, c_void_p, c_int64)
    library.distilbert_forward.argtypes = (POINTER(Call),)
    library.distilbert_embed.argtypes = (POINTER(Lookup),)
    library.distilbert_pad.argtypes = (POINTER(Padding),)
    library.distilbert_attention.argtypes = (POINTER(Training), c_int64)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=library.distilbert_start_afresh)
    return library


@cache
def engine() -> ctypes.CDLL | None:
    """Return the best library that was compiled and that this processor can run; None if none is.

    One that was compiled from other sources is passed over with a warning.
    """
    for name in instruction_sets():
        path = path_of(name)
        if path.exists() and processor.has_instructions(name):
            try:
                return open_library(path)
            except (OSError, AttributeError) as error:  # the latter: it lacks a function
                warnings.warn(f"{path.name} is left out: {error}", stacklevel=2)
    return None


def engines(precision: str) -> list[str]:
    """Return the engines that compute a precision on this CPU, the one that "auto" takes first."""
    cpu = torch.device("cpu")
    native = ["native"] if is_chosen("auto", precision, cpu) else []
    return native + (["torch"] if precision != "int8" or processor.has_fbgemm() else [])


def multiplies_int8(name: str = "auto") -> bool:
    """Whether 8 bits can be computed on this CPU, by the engine of that name."""
    able = engines("int8")
    return "torch" in able if name == "torch" else bool(able)


def is_chosen(name: str, precision: str, device: torch.device) -> bool:
    """Whether the native engine computes, where "auto", "native" or "torch" was asked for.

    Raises:
        ValueError: another name, or native where it cannot be.
    """
    if name not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}; got {name!r}")
    can = device.type == "cpu" and precision in ("fp32", "int8")
    if name == "native" and not can:
        raise ValueError(
            f"engine='native' computes fp32 and int8 on a CPU, not {precision} on {device.type}; "
            "use engine='auto'"
        )
    if name == "native" and engine() is None:
        raise ValueError(
            "the native engine was not compiled for this processor when distilbert was installed: "
            "install it again where there is a C++ compiler (Linux, macOS), or use engine='auto'"
        )
    return name != "torch" and can and engine() is not None
