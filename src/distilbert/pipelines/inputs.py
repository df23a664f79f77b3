"""What pipelines are given: one input after the other, checked, with its number in an error."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import length_hint
from typing import Any, TypeVar

from distilbert.errors import reworded

Item = TypeVar("Item")

Count = Callable[[int], None]
"""Is told the tokens of rows as they are made; what it raises, but for TypeError and ValueError,
which are about inputs, ends that."""


def is_dataset(inputs: Any) -> bool:
    """Whether this has a length and items by number, as map-style datasets have."""
    return hasattr(type(inputs), "__len__") and hasattr(type(inputs), "__getitem__")


def items_of(inputs: Any) -> Iterable[Any]:
    """Return the items of an iterable or dataset; many a dataset does not say where it ends."""
    # No `map`: it would end at a StopIteration of an item.
    return inputs if isinstance(inputs, Iterable) else (inputs[i] for i in range(len(inputs)))


def length_of(inputs: Any) -> int | None:
    """Return how many there are, if they know."""
    try:
        return length_hint(inputs) or None
    except Exception:  # many a stream has a length that raises
        return None


def until_error(items: Iterable[Item], errors: list[Exception]) -> list[Item]:
    """Return the items before an error, which is put into the list."""
    found: list[Item] = []
    try:
        for item in items:
            found.append(item)
    except Exception as error:  # is raised once what came before it is answered
        errors.append(error)
    return found


def until_full(items: Iterator[Item], size: Callable[[Item], int], most: int) -> Iterator[Item]:
    """Yield items until they have `most` characters together; the rest can be read on."""
    total = 0
    for item in items:
        yield item
        total += size(item)
        if total >= most:
            return


def characters(value: Any) -> int:
    """Return how many there are in a text, or in all texts of a list or tuple."""
    if isinstance(value, str):
        return len(value)
    return sum(map(characters, value)) if isinstance(value, tuple | list) else 0


@contextmanager
def named(number: int) -> Iterator[None]:
    """Say in an error which input it is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise reworded(error, f"input {number}: {error}") from None


def text_of(value: Any, name: str = "the text", *, may_be_empty: bool = False) -> str:
    """Return a text that has something in it.

    Raises:
        TypeError: it is no string.
        ValueError: it is empty, or white space only.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {value!r:.60} ({type(value).__name__})")
    if not may_be_empty and not value.strip():
        raise ValueError(f"{name} is empty")
    return value


def words(name: str, value: Any) -> tuple[str, ...]:
    """Strings of any iterable, kept: an iterator would be used up by the first input."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a list of strings, got {value!r:.60}")
    kept = tuple(value)
    for word in kept:
        if not isinstance(word, str):
            raise TypeError(f"{name} must be a list of strings, and {word!r:.60} is none")
    return kept
