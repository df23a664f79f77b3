"""Examples of a task for a model, as the settings of a recipe say."""

from dataclasses import dataclass
from typing import Protocol

from distilbert.tasks.catalog import make_task
from distilbert.tasks.labels import Labels
from distilbert.tasks.tables import Table
from distilbert.tasks.task import Examples, Task
from distilbert.tokenization import DistilBertTokenizerFast


class TaskSettings(Protocol):
    """Those settings of a recipe that say which task it is, and where its examples are."""

    task: str
    text_column: str | None
    second_text_column: str | None
    label_column: str | None
    stride: int | None


def task_of(settings: TaskSettings) -> Task:
    """Return the task of a recipe's settings.

    Raises:
        ValueError: as `make_task`.
    """
    return make_task(
        settings.task,
        text_column=settings.text_column,
        second_text_column=settings.second_text_column,
        label_column=settings.label_column,
        stride=settings.stride,
    )


@dataclass(frozen=True)
class Reader:
    """Makes examples for a model.

    Args:
        max_length: tokens of a row; 0 is as many as the model has positions, and a longer text
            an error where the task cannot split it.

    Raises:
        ValueError: `max_length` is more than the model has positions for.
    """

    task: Task
    labels: Labels
    tokenizer: DistilBertTokenizerFast
    positions: int
    max_length: int

    def __post_init__(self) -> None:
        if not 0 <= self.max_length <= self.positions:
            raise ValueError(
                f"max_length must be at most {self.positions}, the positions of the model, or 0 "
                f"for all of them; got {self.max_length}"
            )

    def read(self, table: Table) -> Examples:
        """Make examples of a table.

        Raises:
            ValueError: a column is missing, a row is empty, a label unknown, a text too long.
        """
        longest = self.max_length or self.positions
        examples = self.task.examples(table, self.labels, self.tokenizer, longest)
        if examples.cut and not self.max_length:
            raise ValueError(
                f"{table.path}: {examples.cut} of {examples.texts} texts have more than the "
                f"{longest} tokens that the model has positions for; say max_length={longest} to "
                "cut them there"
            )
        return examples

    def note(self, table: Table, examples: Examples) -> str:
        """Return what the examples are, in words."""
        features = examples.features
        cut = f"; {examples.cut:,} cut to {self.max_length} tokens" if examples.cut else ""
        kind = f"; {examples.kind}" if examples.kind else ""
        return (
            f"{table.path}: {examples.texts:,} texts, {len(features.tokens):,} tokens, the "
            f"longest {features.lengths.max():,}{cut}{kind}"
        )


def require_labels(path: str, examples: Examples) -> None:
    """Check that examples can be scored.

    Raises:
        ValueError: they are texts alone, which only a teacher's embeddings score.
    """
    if not examples.features.labels.size:
        raise ValueError(
            f"{path} has texts alone, and no teacher to compare their embeddings with: pairs need "
            "a column of second texts, which second_text_column names"
        )
