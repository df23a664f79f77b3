"""What a field of a configuration may hold: checks that return the value to keep.

A check takes the field's name and a value, and raises a TypeError or ValueError that names both.
"""

import math
import operator
from collections.abc import Callable
from numbers import Real
from typing import Any

ACTIVATIONS = (
    "gelu",
    "gelu_new",
    "gelu_pytorch_tanh",
    "quick_gelu",
    "relu",
    "silu",
    "swish",
    "tanh",
)
ATTENTION = ("eager", "sdpa", "varlen")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")

Check = Callable[[str, Any], Any]


# Far above any real model: a file that asks for more would only exhaust the memory.
MOST_LAYERS = 1_000
MOST_WIDTH = 1_000_000
MOST_LABELS = 100_000  # without names: a file that has these is as large itself


def integer(least: int, most: int = 2**31 - 1) -> Check:
    """An integer from `least` to `most`."""

    def check(name: str, value: Any) -> int:
        if isinstance(value, bool):
            raise TypeError(f"{name} must be an integer, got {value!r:.80}")
        try:
            number = operator.index(value)
        except TypeError:
            raise TypeError(f"{name} must be an integer, got {value!r:.80}") from None
        if number < least:
            raise ValueError(f"{name} must be at least {least}, got {number}")
        if number > most:
            raise ValueError(f"{name} must be at most {most}, got {number}")
        return number

    return check


def number(least: float, most: float) -> Check:
    """A finite number from `least` to `most`."""

    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} must be a number, got {value!r:.80}")
        number = float(value)
        if not least <= number <= most or math.isinf(number):
            raise ValueError(f"{name} must be between {least} and {most}, got {value!r:.80}")
        return number

    return check


def boolean(name: str, value: Any) -> bool:
    """True or False, not 1 or 0."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be true or false, got {value!r:.80}")
    return value


def string(name: str, value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {value!r:.80}")
    return value


def one_of(*allowed: str) -> Check:
    """One of these strings."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r:.80}")
        return value

    return check


def optional(inner: Check) -> Check:
    """None, or what another check lets pass."""

    def check(name: str, value: Any) -> Any:
        return None if value is None else inner(name, value)

    return check


def strings(name: str, value: Any) -> list[str]:
    """A list of strings."""
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        raise TypeError(f"{name} must be a list of strings, got {value!r:.80}")
    return list(value)


def dtype(name: str, value: Any) -> Any:
    """Return `torch.float32` as it is, and "float32" for "float32" and "torch.float32"."""
    text = dtype_name(value)
    if text not in ("float32", "float16", "bfloat16", "float64"):
        raise ValueError(f"{name} must be float32, float16, bfloat16 or float64; got {value!r:.80}")
    return text if isinstance(value, str) else value


def dtype_name(value: Any) -> str:
    """Return "float32" for "float32", "torch.float32" and `torch.float32`."""
    return str(value).removeprefix("torch.")


def label_names(name: str, value: Any) -> dict[int, str]:
    """Names by label number, 0 to n - 1, in this order: a head has a logit for each."""
    try:
        names = {int(index): str(label) for index, label in value.items()}
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"{name} must map label numbers to names, got {value!r:.80}") from None
    if not names:
        raise ValueError(f"{name} must name at least one label")
    numbers = sorted(names)  # a JSON file has 10 before 2
    if numbers != list(range(len(numbers))):
        shown = ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")
        raise ValueError(f"{name} must name the labels 0 to {len(numbers) - 1}, got [{shown}]")
    return {number: names[number] for number in numbers}


def label_numbers(name: str, value: Any) -> dict[str, int]:
    """Numbers by label name."""
    try:
        return {str(label): int(index) for label, index in value.items()}
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"{name} must map label names to numbers, got {value!r:.80}") from None


def names_by_number(name: str, value: Any) -> dict[int, str]:
    """Names by label number, from numbers by label name that are 0 to n - 1."""
    numbers = label_numbers(name, value)
    names = label_names(name, {index: label for label, index in numbers.items()})
    if len(names) < len(numbers):
        raise ValueError(f"{name} gives two labels one number, so say id2label; got {value!r:.80}")
    return names


def heads_by_layer(name: str, value: Any) -> dict[int, list[int]]:
    """Attention heads by layer number."""
    try:
        return {int(layer): sorted({int(h) for h in heads}) for layer, heads in value.items()}
    except (AttributeError, TypeError, ValueError):
        raise TypeError(
            f"{name} must map layer numbers to lists of heads, got {value!r:.80}"
        ) from None
