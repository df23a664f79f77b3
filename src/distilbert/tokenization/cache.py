"""A dictionary that works out what it lacks, for short strings, and never outgrows its bound."""

from collections.abc import Callable
from typing import Generic, TypeVar

# Some tens of megabytes when full of words; texts rarely have longer ones worth remembering.
MAX_ENTRIES = 1 << 17
MAX_KEY_LENGTH = 64


Value = TypeVar("Value")


class Cache(dict[str, Value], Generic[Value]):
    """Remembers `make(key)` of every short key, and starts afresh when full.

    >>> lengths = Cache(len)
    >>> lengths["word"], dict(lengths)
    (4, {'word': 4})
    """

    def __init__(self, make: Callable[[str], Value]) -> None:
        self.make = make

    def __missing__(self, key: str) -> Value:
        value = self.make(key)
        if len(key) <= MAX_KEY_LENGTH:
            if len(self) >= MAX_ENTRIES:
                self.clear()
            self[key] = value
        return value

    def __reduce__(self) -> tuple[type["Cache[Value]"], tuple[Callable[[str], Value]]]:
        return type(self), (self.make,)  # a copy starts empty
