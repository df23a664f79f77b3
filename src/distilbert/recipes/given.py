"""Which of a command's settings were given, to refuse those that would change nothing."""

from collections.abc import Collection, Iterable
from typing import Any


def note(settings: Any, names: Collection[str]) -> None:
    """Note that these settings of a dataclass were given, even if they are at their defaults."""
    vars(settings)["_given"] = names


def given(settings: Any, names: Iterable[str]) -> list[str]:
    """Return the names of those settings, of a dataclass, that were given.

    Where nobody noted it, as in settings made in Python, these are the ones not at their defaults.
    """
    noted = vars(settings).get("_given")
    if noted is not None:
        return [name for name in names if name in noted]
    return [name for name in names if getattr(settings, name) != getattr(type(settings), name)]
