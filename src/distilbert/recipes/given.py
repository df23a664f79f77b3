"""Which of a command's settings were given, to refuse those that would change nothing."""

from collections.abc import Iterable
from typing import Any


def given(settings: Any, names: Iterable[str]) -> list[str]:
    """Return the names of those settings, of a dataclass, that are not at their defaults."""
    return [name for name in names if getattr(settings, name) != getattr(type(settings), name)]
