"""What a task is: which columns it reads, which head it needs, how its outputs are scored."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from distilbert.tasks.features import Features
from distilbert.tasks.labels import Labels
from distilbert.tasks.tables import Table, read_table
from distilbert.tokenization.tokenizer import BertStyleTokenizer


@dataclass(frozen=True, eq=False)
class Examples:
    """A split of a task's data, ready for a model.

    Args:
        features: what the model reads.
        score: from outputs, (E, …) or (N, …) float, to scores by name.
        detail: from the same to a table: confusion, or scores by entity; none where there is none.
        cut: texts (or questions) that were cut to the longest length.
        texts: how many there are.
        scores: names of what they are scored by, the one that chooses the best weights first; the
            task's where it doesn't depend on the data.
        kind: what is learnt from them, in words, where that depends on the data.
    """

    features: Features
    score: Callable[[np.ndarray], dict[str, float]]
    detail: Callable[[np.ndarray], "Detail"] | None
    cut: int
    texts: int
    scores: tuple[str, ...] = ()
    kind: str = ""


class Detail(NamedTuple):
    """A table that says where scores come from.

    Attributes:
        title: such as confusion.
        columns: their names, the first that of the rows.
        rows: a name and numbers each.
    """

    title: str
    columns: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True)
class Task(ABC):
    """A task that a model is fine-tuned for.

    Args:
        name: what the user calls it.
        metric: the score by which the best weights are chosen.

    Attributes:
        head: the end of the name of the model class that does it, such as "ForMultipleChoice".
        scores: names of what it is scored by, besides the loss.
        problem_type: of the model's configuration.
    """

    name: str
    metric: str

    head: ClassVar[str]
    scores: ClassVar[tuple[str, ...]]
    problem_type: ClassVar[str | None] = None

    def read(self, path: str) -> Table:
        """Read a file in the task's formats.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        return read_table(path)

    def fitted(self, table: Table) -> "Task":
        """Return the task with what else training data say, such as the range of a value."""
        return self

    def metric_of(self, examples: Examples) -> str:
        """Return the score that chooses the best weights, of those that the examples allow."""
        return examples.scores[0] if examples.scores else self.metric

    @abstractmethod
    def learn(self, table: Table) -> Labels:
        """Return the labels of training data; none where the task has no names of labels."""

    @abstractmethod
    def examples(
        self, table: Table, labels: Labels, tokenizer: BertStyleTokenizer, max_length: int
    ) -> Examples:
        """Make examples of a table.

        Args:
            labels: of the model.
            max_length: tokens of a row; longer texts are cut, or split where the task allows it.

        Raises:
            ValueError: a column is missing, a row is empty, a label unknown.
        """


def require_values(table: Table, column: str, values: Sequence[Any]) -> None:
    """Check that every row has a value.

    Raises:
        ValueError: one has none; the message names its row.
    """
    for row, value in enumerate(values):
        is_nan = isinstance(value, float) and math.isnan(value)  # a missing number
        if value is None or is_nan or (isinstance(value, str) and not value.strip()):
            raise ValueError(
                f"{table.where(row)}: {column!r} is empty; fill it in or remove the row"
            )


def require_texts(table: Table, column: str, values: Sequence[Any]) -> list[str]:
    """Return the texts of a column; nothing is an empty text.

    Raises:
        ValueError: a value is something else, or has a lone surrogate; the message names its row.
    """
    for row, value in enumerate(values):
        if value is None:
            continue
        if not isinstance(value, str):
            kind = type(value).__name__
            raise ValueError(f"{table.where(row)}: {column!r} is not text but of type {kind}")
        table.check_text(row, column, value)
    return [value or "" for value in values]
