"""A property that is worked out when it is first read."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

_Value = TypeVar("_Value")


class lazy(Generic[_Value]):  # noqa: N801  # used like `property`
    """Keeps what a method returns in the place of the method.

    As `functools.cached_property`, which in Python 3.11 holds one lock for all objects: here one
    text that is cut again in full would keep all other threads waiting, and a forked process for
    ever.
    """

    def __init__(self, find: Callable[[Any], _Value]) -> None:
        self._find = find
        self.__doc__ = find.__doc__

    def __get__(self, holder: Any, owner: type) -> _Value:
        value: _Value = self._find(holder)
        holder.__dict__[self._find.__name__] = value
        return value
