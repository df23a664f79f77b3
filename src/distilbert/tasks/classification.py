"""A text, or a pair of texts, and its label."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from distilbert.tasks import metrics
from distilbert.tasks.features import Features, encode
from distilbert.tasks.labels import Labels, learn
from distilbert.tasks.tables import Table
from distilbert.tasks.task import Examples, Task, require_texts, require_values
from distilbert.tokenization.tokenizer import BertStyleTokenizer


@dataclass(frozen=True)
class TextTask(Task):
    """A task on a text or a pair of texts.

    Args:
        text_column: of the text.
        second_text_column: of the second text of a pair; none if there is one text.
        label_column: of what is to be predicted.
    """

    text_column: str
    second_text_column: str | None
    label_column: str

    head: ClassVar[str] = "SequenceClassification"

    def values(self, table: Table) -> list[object]:
        """Return the labels as the table has them, each there.

        Raises:
            ValueError: the column is missing, or a row without a label.
        """
        values = table.column(self.label_column, "label_column")
        require_values(table, self.label_column, values)
        return values

    def _features(
        self, table: Table, labels: np.ndarray, tokenizer: BertStyleTokenizer, max_length: int
    ) -> tuple[Features, int]:
        """Return features, and how many texts were cut."""
        names = {"text_column": self.text_column, "second_text_column": self.second_text_column}
        columns = [
            require_texts(table, name, table.column(name, setting))
            for setting, name in names.items()
            if name is not None
        ]
        for row, texts in enumerate(zip(*columns, strict=True)):
            if not any(text.strip() for text in texts):
                raise ValueError(f"{table.where(row)}: the text is empty; remove the row")
        rows = encode(tokenizer, columns[0], columns[1] if len(columns) > 1 else None, max_length)
        pad_id = tokenizer.pad_token_id or 0
        return Features(rows.tokens, rows.lengths, rows.firsts, labels, pad_id), rows.cut


@dataclass(frozen=True)
class Classification(TextTask):
    """One of several labels."""

    scores: ClassVar[tuple[str, ...]] = ("accuracy", "f1", "matthews")
    problem_type: ClassVar[str] = "single_label_classification"

    def learn(self, table: Table) -> Labels:
        """Return the labels of training data.

        Raises:
            ValueError: the column is missing, a row has no label, or all have the same.
        """
        return learn(table, self.label_column, self.values(table))

    def examples(
        self, table: Table, labels: Labels, tokenizer: BertStyleTokenizer, max_length: int
    ) -> Examples:
        """Make examples of a table.

        Raises:
            ValueError: a column is missing, a row is empty, a label unknown.
        """
        true = labels.numbers(table, self.label_column, self.values(table))
        features, cut = self._features(table, true, tokenizer, max_length)

        def score(outputs: np.ndarray) -> dict[str, float]:
            predicted = outputs.argmax(-1)
            average = "binary" if len(labels) == 2 else "macro"
            return {
                "accuracy": metrics.accuracy(predicted, true),
                "f1": metrics.f1(predicted, true, average),
                "matthews": metrics.matthews(predicted, true),
            }

        def confuse(outputs: np.ndarray) -> tuple[list[str], np.ndarray]:
            counts = np.zeros((len(labels), len(labels)), np.int64)
            np.add.at(counts, (true, outputs.argmax(-1)), 1)
            return list(labels.names), counts

        return Examples(features, score, confuse, cut, len(table))
