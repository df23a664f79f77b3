"""The names of labels, learned from data or taken from a model, and their numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from distilbert.tasks.tables import Table


@dataclass(frozen=True)
class Labels:
    """Names of labels; a label's number is its place.

    >>> Labels(("no", "yes")).numbers_of(["yes", "no"]).tolist()
    [1, 0]
    """

    names: tuple[str, ...]

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

    def numbers(self, table: Table, column: str, rows: Sequence[Any]) -> np.ndarray:
        """Return the numbers of the values of a column.

        Args:
            rows: its values, one a row.

        Raises:
            ValueError: a value that is no label; the message names its row and the labels.
        """
        try:
            return self.numbers_of(rows, table.class_names.get(column))
        except UnknownLabelError as error:
            raise ValueError(f"{table.where(error.place)}: {error}") from None

    def numbers_of(
        self, values: Sequence[Any], class_names: Sequence[str] | None = None
    ) -> np.ndarray:
        """Return the numbers of some values, (n,) int64.

        Values are names; or numbers, of the file's own class names or, where either side has no
        names, of these labels. What holds for all values is what is meant.

        Raises:
            UnknownLabelError: a value that is no label.
        """
        distinct = list(dict.fromkeys(values))
        readings = [self._by_class_name(class_names), self._by_name]
        if not class_names or self.are_placeholders:
            readings.append(self._by_number)
        for reading in readings:
            known = {value: reading(value) for value in distinct}
            if None not in known.values():
                return np.array([known[value] for value in values], np.int64)
        known = {value: self._by_name(value) for value in distinct}
        if class_names:
            reading = self._by_class_name(class_names)
            known = {value: reading(value) for value in distinct}
        unknown = next(value for value in distinct if known[value] is None)
        named = class_names[unknown] if class_names and _is_place(unknown, class_names) else unknown
        message = f"the label {named!r} is none of the model's: {', '.join(self.names)}"
        if class_names:
            message += (
                f"; the file has {', '.join(class_names)}. If they mean the same, rename the "
                "model's in its config.json (id2label and label2id)"
            )
        raise UnknownLabelError(message, list(values).index(unknown))

    def _by_name(self, value: Any) -> int | None:
        return self._places.get(str(value))

    def _by_class_name(self, class_names: Sequence[str] | None) -> Any:
        def read(value: Any) -> int | None:
            if class_names is None or not _is_place(value, class_names):
                return None
            return self.find(class_names[value])

        return read

    def _by_number(self, value: Any) -> int | None:
        text = str(value)
        if self._are_numbers:
            return None  # numbers are names here
        return int(text) if text.isdecimal() and int(text) < len(self) else None


class UnknownLabelError(ValueError):
    """A value that is no label.

    Args:
        place: where among the values.
    """

    def __init__(self, message: str, place: int) -> None:
        super().__init__(message)
        self.place = place


def _first_places(names: Sequence[str]) -> dict[str, int]:
    """Return the first place of each name."""
    return {name: place for place, name in reversed(list(enumerate(names)))}


def _is_place(value: Any, names: Sequence[str] | None) -> bool:
    return names is not None and isinstance(value, int) and 0 <= value < len(names)


def learn(table: Table, column: str, values: Iterable[Any]) -> Labels:
    """Return the labels of a column: the file's class names, or its values in order.

    Numbers are in the order of numbers, other values in that of the alphabet.

    Raises:
        ValueError: all values are the same, so that there is nothing to learn, or one has a lone
            surrogate, which no file of a model can hold.
    """
    for row, value in enumerate(table.columns.get(column, [])):
        for name in value if isinstance(value, list) else [value]:
            if isinstance(name, str):
                table.check_text(row, column, name)
    distinct = set(values)
    if len(distinct) < 2:
        raise ValueError(
            f"{table.path}: every row has the label {next(iter(distinct), None)!r}; there is "
            "nothing to learn from one class"
        )
    if column in table.class_names:
        return Labels(tuple(table.class_names[column]))
    return Labels(tuple(map(str, sorted(distinct, key=_order))))


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers first, by size; a CSV file has them as text."""
    try:
        return 0, float(value), str(value)
    except (TypeError, ValueError):
        return 1, 0.0, str(value)
