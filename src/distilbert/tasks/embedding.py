"""Sentence embeddings: pairs and how similar they are, pairs that belong together, or texts alone.

What there is to learn from a file is decided by its columns; the losses are in `similarity.py`.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from distilbert.tasks import metrics
from distilbert.tasks.classification import numbers
from distilbert.tasks.features import encode
from distilbert.tasks.labels import Labels
from distilbert.tasks.tables import Table
from distilbert.tasks.task import Examples, Task, require_texts, require_values
from distilbert.tokenization.tokenizer import BertStyleTokenizer

_ROWS = 1024  # texts that are compared with all others at a time


@dataclass(frozen=True)
class Embedding(Task):
    """The mean of a text's last hidden states, compared by the cosine; an example is two texts.

    Args:
        text_column: of the text.
        second_text_column: of the second text of a pair; sentence2 may be missing.
        label_column: of the similarity of a pair; label may be missing.
        label_range: similarities that are cosines 0 and 1; by default the table's least and most.
    """

    text_column: str = "sentence1"
    second_text_column: str = "sentence2"
    label_column: str = "label"
    label_range: tuple[float, float] | None = None

    head: ClassVar[str] = "Model"
    scores: ClassVar[tuple[str, ...]] = ("spearman", "pearson", "mrr", "accuracy")

    def fitted(self, table: Table) -> "Embedding":
        """Return the task with the range of the similarities in training data, if there are any.

        Raises:
            ValueError: a similarity is no number, or all are equal.
        """
        if not (self._has_seconds(table) and self._has_labels(table)):
            return self
        values = self._similarities(table)
        return replace(self, label_range=(float(values.min()), float(values.max())))

    def learn(self, table: Table) -> Labels:
        """Return none: a similarity is a number, not a label."""
        return Labels(())

    def examples(
        self, table: Table, labels: Labels, tokenizer: BertStyleTokenizer, max_length: int
    ) -> Examples:
        """Make examples of a table, a row per text.

        Raises:
            ValueError: a column is missing, a text is empty, a similarity is no number, all are
                equal, or there is one pair only.
        """
        firsts = self._texts(table, self.text_column, "text_column")
        if not self._has_seconds(table):
            none = np.empty((len(firsts), 0), np.float32)
            features, cut = encode(tokenizer, firsts, None, max_length, none)
            features = replace(features, has_outputs_per_row=True)
            return Examples(
                features, lambda _: {}, None, cut, len(firsts), ("loss",), "texts alone"
            )
        seconds = self._texts(table, self.second_text_column, "second_text_column")
        if len(table) < 2:
            raise ValueError(
                f"one pair of {table.path} is there to compare, which takes at least two"
            )
        if self._has_labels(table):
            similarities = self._similarities(table)
            low, high = self.label_range or (similarities.min(), similarities.max())
            true = ((similarities - low) / (high - low)).astype(np.float32)
            kind = f"pairs with similarities of {similarities.min():g} to {similarities.max():g}"
            scores: tuple[str, ...] = ("spearman", "pearson")
        else:
            known = {text: number for number, text in enumerate(dict.fromkeys([*firsts, *seconds]))}
            true = np.array(
                [[known[text] for text in texts] for texts in (firsts, seconds)], np.int64
            ).T
            kind = "pairs that belong together"
            scores = ("mrr", "accuracy")
        texts = [text for pair in zip(firsts, seconds, strict=True) for text in pair]
        features, cut = encode(tokenizer, texts, None, max_length, true, rows=2)
        features = replace(features, has_outputs_per_row=True)

        def score(outputs: np.ndarray) -> dict[str, float]:
            judge = retrieval if features.are_contrasted else correlations
            return judge(unit(outputs[::2]), unit(outputs[1::2]), true)

        return Examples(features, score, None, cut, len(texts), scores, kind)

    def _has_seconds(self, table: Table) -> bool:
        """Whether there are second texts, or there should be."""
        name = self.second_text_column
        return name in table.columns or name != Embedding.second_text_column

    def _has_labels(self, table: Table) -> bool:
        """Whether there are similarities, or there should be."""
        name = self.label_column
        return name in table.columns or name != Embedding.label_column

    def _texts(self, table: Table, name: str, setting: str) -> list[str]:
        values = table.column(name, setting)
        require_values(table, name, values)
        return require_texts(table, name, values)

    def _similarities(self, table: Table) -> np.ndarray:
        name = self.label_column
        values = table.column(name, "label_column")
        require_values(table, name, values)
        classes = table.class_names.get(name, [])
        if classes and not (len(classes) == 2 and classes[0] == f"not_{classes[1]}"):
            raise ValueError(
                f"{table.path}: {name!r} has the classes {', '.join(classes)}, whose numbers are "
                "no similarity: say another label_column, or remove it to take all pairs as ones "
                "that belong together"
            )
        found = numbers(table, name, values)
        if len(found) and found.min() == found.max():
            raise ValueError(
                f"{table.path}: {name!r} is {found[0]:g} in every row, so there is nothing to "
                "compare; without that column all pairs are ones that belong together"
            )
        return found


def correlations(first: np.ndarray, second: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return those of the cosines of pairs, (E, C) each and of length 1, with `true`, (E,)."""
    cosines = (first * second).sum(1)
    return {"spearman": metrics.spearman(cosines, true), "pearson": metrics.pearson(cosines, true)}


def unit(embeddings: np.ndarray) -> np.ndarray:
    """Return embeddings, (n, C), with length 1."""
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)


def retrieval(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return how well first texts find their second ones among all, by the cosine.

    Each distinct first text is asked once; any of its second texts is right, and where a wrong one
    is as near as the nearest right one, it is counted as nearer.

    Args:
        first, second: (E, C), of length 1.
        labels: (E, 2), numbers of the texts.

    Returns:
        `mrr`, the mean of 1 / rank of the first right one, and `accuracy`, the share that comes
        first.

    >>> retrieval(np.eye(2), np.array([[1.0, 0.0], [0.8, 0.6]]), np.array([[0, 1], [2, 3]]))
    {'mrr': 1.0, 'accuracy': 1.0}
    """
    asked, places, queries = np.unique(labels[:, 0], return_index=True, return_inverse=True)
    found, origins, answers = np.unique(labels[:, 1], return_index=True, return_inverse=True)
    candidates = second[origins].T
    ranks = np.empty(len(asked))
    for start in range(0, len(asked), _ROWS):
        part = slice(start, start + _ROWS)
        cosines = first[places[part]] @ candidates
        here = (queries >= start) & (queries < start + _ROWS)
        is_right = np.zeros(cosines.shape, bool)
        is_right[queries[here] - start, answers[here]] = True
        best = np.where(is_right, cosines, -np.inf).max(1, keepdims=True)
        is_itself = asked[part, None] == found  # a text finds itself at once, which says nothing
        ranks[part] = 1 + ((cosines >= best) & ~is_right & ~is_itself).sum(1)
    return {"mrr": float((1 / ranks).mean()), "accuracy": float((ranks == 1).mean())}
