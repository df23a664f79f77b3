"""The words that an option may take, and the error when it is none of them."""

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

Padding = Literal["do_not_pad", "longest", "max_length"]
Truncation = Literal["do_not_truncate", "longest_first", "only_first", "only_second"]
Side = Literal["left", "right"]
TensorKind = Literal["np", "pt", "tf"]

_Word = TypeVar("_Word", bound=str)


def choose(option: str, value: Any, allowed: Sequence[_Word]) -> _Word:
    """Return the allowed word that a value equals (string enumerations are strings too).

    Raises:
        ValueError: there is none; the message lists those that are.
    """
    if isinstance(value, str):
        for word in allowed:
            if value == word:
                return word
    raise ValueError(f"{option}={value!r} is not one of {', '.join(map(repr, allowed))}")
