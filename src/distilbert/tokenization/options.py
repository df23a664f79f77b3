"""What an option may be, by the checks of `distilbert.fields`, and an attribute that has one."""

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar, get_args

from distilbert.fields import integer, one_of, optional

Padding = Literal["do_not_pad", "longest", "max_length"]
Truncation = Literal["do_not_truncate", "longest_first", "only_first", "only_second"]
Side = Literal["left", "right"]
TensorKind = Literal["np", "pt", "tf"]

UNBOUNDED = int(1e30)

_Value = TypeVar("_Value")

side = one_of(*get_args(Side))
length = optional(integer(1, UNBOUNDED))


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


def bound(name: str, value: Any) -> int:
    """How many tokens fit, `UNBOUNDED` for None; files have floats too."""
    if isinstance(value, float):
        value = int(min(value, UNBOUNDED))
    return length(name, value) or UNBOUNDED
