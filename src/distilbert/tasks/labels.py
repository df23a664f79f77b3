"""The names of labels, learned from data or taken from a model, and their numbers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from distilbert.tasks.tables import Table


@dataclass(frozen=True)
class Labels:
    """Names of labels; a label's number is its place.

    Raises:
        ValueError: two have the same name.

    >>> Labels(("no", "yes")).find("Yes")
    1
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        twice = [name for place, name in enumerate(self.names) if self._places[name] != place]
        if twice:
            raise ValueError(
                f"the label {twice[0]!r} is there twice: {', '.join(self.names)}. Give each a name "
                "of its own; a model's are in its config.json (id2label and label2id)"
            )

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _places(self) -> dict[str, int]:
        return _first_places(self.names)

    @cached_property
    def _lowered_places(self) -> dict[str, int]:
        return _first_places([name.lower() for name in self.names])

    @cached_property
    def _are_numbers(self) -> bool:
        return any(name.isdecimal() for name in self.names)

    @property
    def are_placeholders(self) -> bool:
        """Whether they are LABEL_0, LABEL_1, …: those of a model that was given no names."""
        return self.names == tuple(f"LABEL_{i}" for i in range(len(self)))

    def find(self, name: str) -> int | None:
        """Return the number of a name, in upper or lower case; None where it is no label."""
        return self._lowered_places.get(name.lower())

    def numbers(
        self,
        table: Table,
        column: str,
        values: Sequence[Any],
        rows: Sequence[int] | np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the numbers of the values of a column, (n,) int64.

        Values are names; or numbers, of the file's own class names or, where either side has no
        names, of these labels. What holds for all values is what is meant.

        Args:
            rows: of the values, where a row may have several; by default each has one.

        Raises:
            ValueError: a value that is no label; the message names its row and the labels.
        """
        class_names = table.class_names.get(column, ())
        readings = [self._by_name]
        if class_names:
            readings.insert(0, lambda value: self._by_class_name(value, class_names))
        if not class_names or self.are_placeholders:
            readings.append(self._by_number)
        distinct = list(dict.fromkeys(values))
        for reading in readings:
            known = {value: reading(value) for value in distinct}
            if None not in known.values():
                return np.array([known[value] for value in values], np.int64)
        unknown = as_whole(next(value for value in distinct if readings[0](value) is None))
        name = class_names[unknown] if _is_place(unknown, class_names) else unknown
        place = list(values).index(unknown)
        where = table.where(place if rows is None else int(rows[place]))
        message = f"{where}: the label {name!r} is none of the model's: {', '.join(self.names)}"
        if class_names:
            message += (
                f"; the file has {', '.join(class_names)}. If they mean the same, rename the "
                "model's in its config.json (id2label and label2id)"
            )
        raise ValueError(message)

    def _by_name(self, value: Any) -> int | None:
        return self._places.get(str(value), self._places.get(str(as_whole(value))))

    def _by_class_name(self, value: Any, class_names: Sequence[str]) -> int | None:
        place = as_whole(value)
        return self.find(class_names[place]) if _is_place(place, class_names) else None

    def _by_number(self, value: Any) -> int | None:
        text = str(as_whole(value))
        if self._are_numbers:
            return None  # numbers are names here
        return int(text) if text.isdecimal() and int(text) < len(self) else None


def as_whole(value: Any) -> Any:
    """Return an integer for a float that is one: Parquet has such labels if some were missing."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _first_places(names: Sequence[str]) -> dict[str, int]:
    """Return the first place of each name."""
    return {name: place for place, name in reversed(list(enumerate(names)))}


def _is_place(value: Any, names: Sequence[str]) -> bool:
    return isinstance(value, int) and 0 <= value < len(names)


def learn(table: Table, column: str, values: Iterable[Any]) -> Labels:
    """Return the labels of a column: the file's class names, or its values in order.

    Numbers are in the order of numbers, other values in that of the alphabet. 1, 1.0 and "1" have
    one name, and are one label.

    Raises:
        ValueError: all values are the same, so that there is nothing to learn, or one has a lone
            surrogate, which no file of a model can hold.
    """
    for row, value in enumerate(table.columns[column]):
        for name in value if isinstance(value, list) else [value]:
            if isinstance(name, str):
                table.check_text(row, column, name)
    names = {str(as_whole(value)) for value in dict.fromkeys(values)}  # True and 1 are equal
    if len(names) < 2:
        raise ValueError(
            f"{table.path}: every row has the label {next(iter(names), None)!r}; there is "
            "nothing to learn from one class"
        )
    if column in table.class_names:
        return Labels(tuple(table.class_names[column]))
    return Labels(tuple(sorted(names, key=_order)))


def _order(name: str) -> tuple[int, float, str]:
    """Numbers first, by size."""
    try:
        number = float(name)
    except ValueError:
        number = math.nan
    return (0, number, name) if math.isfinite(number) else (1, 0.0, name)
