"""Which of several endings goes on best: SWAG (arXiv 1808.05326) and files like it."""

from dataclasses import dataclass
from itertools import count, takewhile
from typing import ClassVar

import numpy as np

from distilbert.tasks import metrics
from distilbert.tasks.features import encode
from distilbert.tasks.labels import Labels
from distilbert.tasks.tables import Table
from distilbert.tasks.task import Examples, Task, require_texts, require_values
from distilbert.tokenization.tokenizer import BertStyleTokenizer


@dataclass(frozen=True)
class Choice(Task):
    """A text, the beginning of the next sentence, and its endings: ending0, ending1, …

    Args:
        text_column: of the text, or the question.
        second_text_column: of the beginning; may be empty, and sent2 may be missing.
        label_column: of the number of the right ending, from 0.
    """

    text_column: str = "sent1"
    second_text_column: str = "sent2"
    label_column: str = "label"

    head: ClassVar[str] = "ForMultipleChoice"
    scores: ClassVar[tuple[str, ...]] = ("accuracy",)

    def learn(self, table: Table) -> Labels:
        """Return none: a choice is a place, not a label."""
        return Labels(())

    def examples(
        self, table: Table, labels: Labels, tokenizer: BertStyleTokenizer, max_length: int
    ) -> Examples:
        """Make examples of a table, a row per choice.

        Raises:
            ValueError: a column is missing, a row is empty, a label is no ending.
        """
        texts = table.column(self.text_column, "text_column")
        require_values(table, self.text_column, texts)
        texts = require_texts(table, self.text_column, texts)
        second = self.second_text_column
        if second in table.columns or second != Choice.second_text_column:
            beginnings = table.column(second, "second_text_column")
        else:
            beginnings = [""] * len(table)
        beginnings = require_texts(table, second, beginnings)
        names = list(takewhile(table.columns.__contains__, (f"ending{i}" for i in count())))
        if len(names) < 2:
            there = ", ".join(table.columns)
            raise ValueError(
                f"{table.path} needs the columns ending0, ending1, …; its columns are: {there}"
            )
        endings = [require_texts(table, name, table.columns[name]) for name in names]
        for name, column in zip(names, endings, strict=True):
            require_values(table, name, column)
        true = self._numbers(table, len(names))
        firsts = [text for text in texts for _ in names]
        seconds = [
            continued(beginning, ending)
            for beginning, row in zip(beginnings, zip(*endings, strict=True), strict=True)
            for ending in row
        ]
        features, cut = encode(tokenizer, firsts, seconds, max_length, true, len(names))

        def score(outputs: np.ndarray) -> dict[str, float]:
            return {"accuracy": metrics.accuracy(outputs.argmax(-1), true)}

        return Examples(features, score, None, cut, len(firsts))

    def _numbers(self, table: Table, choices: int) -> np.ndarray:
        values = table.column(self.label_column, "label_column")
        for row, value in enumerate(values):
            text = str(value)
            if not text.isdecimal() or int(text) >= choices:
                raise ValueError(
                    f"{table.where(row)}: {self.label_column!r} is {value!r}; it must be the "
                    f"number of the right ending, 0 to {choices - 1}"
                )
        return np.array([int(value) for value in values], np.int64)


def continued(beginning: str, ending: str) -> str:
    """Return the beginning of a sentence and its ending as one text."""
    return f"{beginning} {ending}".strip()
