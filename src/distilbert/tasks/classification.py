"""A text, or a pair of texts, and its label, its labels or its value."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from distilbert.distillation.text_files import decode
from distilbert.tasks import metrics
from distilbert.tasks.features import Features, encode
from distilbert.tasks.labels import Labels, as_whole, learn
from distilbert.tasks.tables import Table, read_table
from distilbert.tasks.task import Detail, Examples, Task, require_texts, require_values
from distilbert.tokenization.tokenizer import BertStyleTokenizer


@dataclass(frozen=True)
class TextTask(Task):
    """A task on a text or a pair of texts.

    Args:
        text_column: of the text.
        second_text_column: of the second text of a pair; none if there is one text.
        label_column: of what is to be predicted.
        label_names: what the labels 0, 1, … stand for where the file does not say so; of two, F1
            is that of the second.
        tsv_header: of a TSV file that has none.
        tsv_columns: other names that the columns have in a TSV file, to those above.
    """

    text_column: str = "text"
    second_text_column: str | None = None
    label_column: str = "label"
    label_names: tuple[str, ...] = ()
    tsv_header: tuple[str, ...] = ()
    tsv_columns: dict[str, str] = field(default_factory=dict)

    head: ClassVar[str] = "ForSequenceClassification"

    def read(self, path: str) -> Table:
        """Read a file, or a folder with a folder of text files per label.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        if Path(path).is_dir():
            return _read_folders(Path(path), self.text_column, self.label_column)
        table = read_table(path, self.tsv_header)
        columns = dict(table.columns)
        is_tsv = path.lower().endswith(".tsv")
        for old, new in self.tsv_columns.items() if is_tsv else ():
            if old in columns and new not in columns:
                columns[new] = columns.pop(old)
        names = dict(table.class_names)
        values = columns.get(self.label_column)
        if values and self.label_names and self.label_column not in names and _are_numbers(values):
            columns[self.label_column] = [int(value) for value in values]
            names[self.label_column] = list(self.label_names)
        return replace(table, columns=columns, class_names=names)

    def _labels(self, table: Table) -> list[Any]:
        """Return the labels as the table has them, each there."""
        values = table.column(self.label_column, "label_column")
        require_values(table, self.label_column, values)
        for row, value in enumerate(values):
            if isinstance(value, list | dict):
                raise ValueError(
                    f"{table.where(row)}: {self.label_column!r} is {value!r:.80}, not one label; "
                    "for lists of labels take the task multi-label"
                )
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
        seconds = columns[1] if len(columns) > 1 else None
        return encode(tokenizer, columns[0], seconds, max_length, labels)


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(
        isinstance(as_whole(v), int) or (isinstance(v, str) and v.isdecimal()) for v in values
    )


def _read_folders(folder: Path, text_column: str, label_column: str) -> Table:
    """Read IMDb's format: folders named for labels, of a text file per text.

    Raises:
        ValueError: there are no such folders, or a file is not UTF-8.
    """
    files = [
        file
        for label in sorted(folder.iterdir())
        if label.is_dir() and label.name != "unsup"
        for file in sorted(label.glob("*.txt"))
    ]
    if not files:
        raise ValueError(f"{folder} has no folders of .txt files, one folder per label")
    texts = []
    for file in files:
        texts.append(decode(file.read_bytes(), str(file), 0).removeprefix("\ufeff"))
    return Table(
        str(folder), {text_column: texts, label_column: [file.parent.name for file in files]}
    )


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
        return learn(table, self.label_column, self._labels(table))

    def examples(
        self, table: Table, labels: Labels, tokenizer: BertStyleTokenizer, max_length: int
    ) -> Examples:
        """Make examples of a table.

        Raises:
            ValueError: a column is missing, a row is empty, a label unknown.
        """
        true = labels.numbers(table, self.label_column, self._labels(table))
        features, cut = self._features(table, true, tokenizer, max_length)
        average = "binary" if len(labels) == 2 else "macro"
        positive = self._positive(table, labels)

        def score(outputs: np.ndarray) -> dict[str, float]:
            predicted = outputs.argmax(-1)
            return {
                "accuracy": metrics.accuracy(predicted, true),
                "f1": metrics.f1(predicted, true, average, positive),
                "matthews": metrics.matthews(predicted, true),
            }

        def detail(outputs: np.ndarray) -> Detail:
            counts = np.zeros((len(labels), len(labels)), np.int64)
            np.add.at(counts, (true, outputs.argmax(-1)), 1)
            rows = zip(labels.names, counts.tolist(), strict=True)
            return Detail(
                "confusion",
                ["true \\ predicted", *labels.names],
                [[name, *row] for name, row in rows],
            )

        return Examples(features, score, detail, cut, len(table))

    def _positive(self, table: Table, labels: Labels) -> int:
        """Return the number of the second of two labels as the task, or the file, has them.

        A model may number them otherwise.
        """
        names = self.label_names or table.class_names.get(self.label_column, ())
        found = labels.find(names[1]) if len(names) == len(labels) == 2 else None
        return 1 if found is None else found


@dataclass(frozen=True)
class MultiLabel(TextTask):
    """Any number of several labels: a list, or in CSV and TSV names with commas between them."""

    scores: ClassVar[tuple[str, ...]] = ("accuracy", "f1_micro", "f1_macro")
    problem_type: ClassVar[str] = "multi_label_classification"

    def _sets(self, table: Table) -> list[list[Any]]:
        """Return the labels of each row; a row may have none."""
        sets: list[list[Any]] = []
        for row, value in enumerate(table.column(self.label_column, "label_column")):
            if isinstance(value, str):
                sets.append([name.strip() for name in value.split(",") if name.strip()])
            elif value is None or isinstance(value, list):
                sets.append([as_whole(label) for label in value or []])
                for label in sets[-1]:
                    if not isinstance(label, str | int):
                        raise ValueError(
                            f"{table.where(row)}: {self.label_column!r} has {label!r:.80} in its "
                            "list, which is no label; labels are texts or numbers"
                        )
            else:
                kind = type(value).__name__
                raise ValueError(
                    f"{table.where(row)}: {self.label_column!r} must be a list of labels or names "
                    f"with commas between them, not of type {kind}"
                )
        return sets

    def learn(self, table: Table) -> Labels:
        """Return the labels of training data.

        Raises:
            ValueError: the column is missing or no list, or there are fewer than two labels.
        """
        values = [value for labels in self._sets(table) for value in labels]
        return learn(table, self.label_column, values)

    def examples(
        self, table: Table, labels: Labels, tokenizer: BertStyleTokenizer, max_length: int
    ) -> Examples:
        """Make examples of a table.

        Raises:
            ValueError: a column is missing, a text is empty, a label unknown.
        """
        sets = self._sets(table)
        owners = [row for row, values in enumerate(sets) for _ in values]
        flat = [value for values in sets for value in values]
        found = labels.numbers(table, self.label_column, flat, owners)
        true = np.zeros((len(sets), len(labels)), np.float32)
        true[owners, found] = 1
        features, cut = self._features(table, true, tokenizer, max_length)

        def score(outputs: np.ndarray) -> dict[str, float]:
            predicted = (outputs > 0).astype(np.int64)
            known = true.astype(np.int64)
            return {
                "accuracy": metrics.accuracy(predicted, known),
                "f1_micro": metrics.f1(predicted, known, "micro"),
                "f1_macro": metrics.f1(predicted, known, "macro"),
            }

        def detail(outputs: np.ndarray) -> Detail:
            predicted, known = outputs > 0, true > 0
            rows: list[list[str | int]] = [
                [name, *(int(each[:, i].sum()) for each in (known, predicted, known & predicted))]
                for i, name in enumerate(labels.names)
            ]
            return Detail("labels", ["label", "true", "predicted", "right"], rows)

        return Examples(features, score, detail, cut, len(table))


@dataclass(frozen=True)
class Regression(TextTask):
    """A number."""

    scores: ClassVar[tuple[str, ...]] = ("pearson", "spearman")
    problem_type: ClassVar[str] = "regression"

    def learn(self, table: Table) -> Labels:
        """Return one label, named as the column is."""
        return Labels((self.label_column,))

    def examples(
        self, table: Table, labels: Labels, tokenizer: BertStyleTokenizer, max_length: int
    ) -> Examples:
        """Make examples of a table.

        Raises:
            ValueError: a column is missing, a row is empty, a value is not a number, or there is
                one row only.
        """
        values = self._labels(table)
        if len(values) < 2:
            raise ValueError(f"{table.path} has one row; a correlation needs at least two")
        true = numbers(table, self.label_column, values).astype(np.float32)
        features, cut = self._features(table, true, tokenizer, max_length)

        def score(outputs: np.ndarray) -> dict[str, float]:
            return {
                "pearson": metrics.pearson(outputs[:, 0], true),
                "spearman": metrics.spearman(outputs[:, 0], true),
            }

        return Examples(features, score, None, cut, len(table))


def numbers(table: Table, column: str, values: Sequence[Any]) -> np.ndarray:
    """Return the values of a column as numbers, (E,) float64.

    Raises:
        ValueError: one is none, or not finite; the message names its row.
    """
    found = np.empty(len(values))
    for row, value in enumerate(values):
        try:
            found[row] = float(value)
        except (TypeError, ValueError):
            found[row] = math.nan
        if not math.isfinite(found[row]):
            raise ValueError(
                f"{table.where(row)}: {column!r} is {value!r}, not a number; for labels with "
                "names take the task classification"
            )
    return found
