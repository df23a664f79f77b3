"""What an option may be, and the error when it is something else."""

from collections.abc import Callable, Sequence
from operator import index
from typing import Any, Generic, Literal, TypeVar, get_args

Padding = Literal["do_not_pad", "longest", "max_length"]
Truncation = Literal["do_not_truncate", "longest_first", "only_first", "only_second"]
Side = Literal["left", "right"]
TensorKind = Literal["np", "pt", "tf"]

UNBOUNDED = int(1e30)

_Word = TypeVar("_Word", bound=str)
_Value = TypeVar("_Value")


class Setting(Generic[_Value]):
    """An attribute that is checked when it is set.

    Args:
        read: returns what is kept, given the name of the attribute and what it is set to.
    """

    def __init__(self, read: Callable[[str, Any], _Value]) -> None:
        self.read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, holder: Any, owner: type) -> _Value:
        if holder is None:
            return self  # type: ignore[return-value]  # the class's own, as a property gives itself
        if self._name not in holder.__dict__:
            raise AttributeError(f"{self._name} has not been set yet")
        value: _Value = holder.__dict__[self._name]
        return value

    def __set__(self, holder: Any, value: Any) -> None:
        holder.__dict__[self._name] = self.read(self._name, value)


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


def read_number(option: str, value: Any, least: int) -> int | None:
    """Return an integer, NumPy's included, that an option may be.

    Raises:
        TypeError: it is none.
        ValueError: it is smaller than `least`.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{option} must be an integer, not {value!r}")
    if value < least:
        raise ValueError(f"{option}={value} must be at least {least}")
    return index(value)


def read_side(option: str, value: Any) -> Side:
    """Return the side that an option names.

    Raises:
        ValueError: it is neither `left` nor `right`.
    """
    return choose(option, value, get_args(Side))


def read_bound(option: str, value: Any) -> int:
    """Return how many tokens fit, `UNBOUNDED` for None; files have floats too.

    Raises:
        TypeError: it is no number.
        ValueError: it is smaller than 1.
    """
    if isinstance(value, float):
        value = int(min(value, UNBOUNDED))
    return read_number(option, value, 1) or UNBOUNDED


def read_flag(option: str, value: Any) -> bool:
    """Return a boolean.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{option} must be True or False, not {value!r}")
    return value


def read_names(option: str, value: Any) -> list[str]:
    """Return a list of names.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"{option} must be a list of names, not {value!r}")
    return list(value)
