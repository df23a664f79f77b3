"""A tag for every word of a sentence: named entities and the like.

The tag of a word is learned and read at its first piece (BERT, arXiv 1810.04805, section 5.3). A
sentence that is too long is split between words.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from distilbert.distillation.masking import IGNORED
from distilbert.tasks import metrics
from distilbert.tasks.entities import entity_scores
from distilbert.tasks.features import Features
from distilbert.tasks.labels import Labels, learn
from distilbert.tasks.tables import Table, read_table
from distilbert.tasks.task import Detail, Examples, Task
from distilbert.tasks.text_records import decoded_lines
from distilbert.tokenization.tokenizer import BertStyleTokenizer

_TABLES = (".parquet", ".jsonl", ".ndjson", ".json")
_SENTENCES = 1024  # that are encoded at a time


@dataclass(frozen=True)
class Tagging(Task):
    """Words and their tags.

    Args:
        text_column: of the lists of words.
        label_column: of the lists of tags.
    """

    text_column: str = "tokens"
    label_column: str = "ner_tags"

    head: ClassVar[str] = "ForTokenClassification"
    scores: ClassVar[tuple[str, ...]] = ("precision", "recall", "f1", "accuracy")

    def read(self, path: str) -> Table:
        """Read Parquet, JSON lines or a hub data set; any other file has CoNLL's columns.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        if path.startswith("hf:") or path.lower().endswith(_TABLES):
            return read_table(path)
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no file {path}")
        return _read_conll(path, self.text_column, self.label_column)

    def _sentences(self, table: Table) -> tuple[list[list[str]], list[list[Any]]]:
        words = table.column(self.text_column, "text_column")
        tags = table.column(self.label_column, "label_column")
        for row, (ours, theirs) in enumerate(zip(words, tags, strict=True)):
            if not isinstance(ours, list) or not isinstance(theirs, list):
                raise ValueError(
                    f"{table.where(row)}: {self.text_column!r} and {self.label_column!r} must be "
                    "lists, of words and of their tags"
                )
            if len(ours) != len(theirs):
                raise ValueError(
                    f"{table.where(row)}: there are {len(ours)} words and {len(theirs)} tags"
                )
            for word, tag in zip(ours, theirs, strict=True):
                if not isinstance(word, str) or not isinstance(tag, str | int):
                    raise ValueError(
                        f"{table.where(row)}: a word must be text and its tag a name or a number, "
                        f"got {word!r:.80} and {tag!r:.80}"
                    )
                table.check_text(row, self.text_column, word)
        return words, tags

    def learn(self, table: Table) -> Labels:
        """Return the tags of training data.

        Raises:
            ValueError: a column is missing, lists differ in length, or there is one tag only.
        """
        _, tags = self._sentences(table)
        return learn(table, self.label_column, [tag for each in tags for tag in each])

    def examples(
        self, table: Table, labels: Labels, tokenizer: BertStyleTokenizer, max_length: int
    ) -> Examples:
        """Make examples of a table; `cut` is 0, as nothing is left out.

        Raises:
            ValueError: a column is missing, a tag unknown, or a word alone longer than a row.
        """
        words, tags = self._sentences(table)
        sizes = [len(each) for each in words]
        flat = [tag for each in tags for tag in each]
        owners = np.repeat(np.arange(len(table)), sizes)
        true = labels.numbers(table, self.label_column, flat, owners)
        tokens, lengths, firsts = _rows(table, words, tokenizer, max_length)
        if not len(lengths):
            raise ValueError(f"{table.path} has no words: every sentence is empty")
        token_labels = np.full(len(tokens), IGNORED, np.int64)
        has_piece = firsts >= 0
        token_labels[firsts[has_piece]] = true[has_piece]
        pad_id = tokenizer.pad_token_id or 0
        features = Features(
            tokens, lengths, lengths, token_labels, pad_id, has_outputs_per_token=True
        )
        outside = labels.names.index("O") if "O" in labels.names else 0

        def predicted(outputs: np.ndarray) -> np.ndarray:
            chosen = outputs.argmax(-1)[np.maximum(firsts, 0)]
            return np.where(has_piece, chosen, outside)  # a word may have no piece at all

        def by_sentence(numbers: np.ndarray) -> list[list[str]]:
            cuts = np.cumsum(sizes)[:-1]
            return [[labels.names[i] for i in part] for part in np.split(numbers, cuts)]

        def score(outputs: np.ndarray) -> dict[str, float]:
            chosen = predicted(outputs)
            total, _ = entity_scores(by_sentence(chosen), by_sentence(true))
            return {
                "precision": total.precision,
                "recall": total.recall,
                "f1": total.f1,
                "accuracy": metrics.accuracy(chosen, true),
            }

        def detail(outputs: np.ndarray) -> Detail:
            _, by_type = entity_scores(by_sentence(predicted(outputs)), by_sentence(true))
            columns = ["entity", "precision", "recall", "f1", "true", "predicted"]
            return Detail("entities", columns, [[name, *each] for name, each in by_type.items()])

        return Examples(features, score, detail, 0, len(table))


def _rows(
    table: Table, sentences: list[list[str]], tokenizer: BertStyleTokenizer, max_length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids of all rows, their lengths, and the place of each word's first piece, or -1."""
    cls_id, sep_id = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert cls_id is not None
    assert sep_id is not None
    rows = [np.zeros(0, np.int32)]
    firsts = [np.zeros(0, np.int64)]
    start = 0  # of the row among all tokens
    pieces = _pieces(sentences, tokenizer)
    for number, (words, (ids, owners)) in enumerate(zip(sentences, pieces, strict=True)):
        first = np.full(len(words), -1, np.int64)
        begins = np.flatnonzero(np.diff(owners, prepend=-1))  # of words, among the pieces
        for begin, end in _stretches(begins, len(ids), max_length - 2):
            if end - begin > max_length - 2:
                raise ValueError(
                    f"{table.where(number)}: the word {words[owners[begin]]!r:.80} alone has "
                    f"{end - begin} pieces; raise max_length ({max_length})"
                )
            rows.append(np.array([cls_id, *ids[begin:end], sep_id], np.int32))
            inside = begins[slice(*np.searchsorted(begins, [begin, end]))]
            first[owners[inside]] = start + 1 + inside - begin
            start += end - begin + 2
        firsts.append(first)
    lengths = np.array([len(row) for row in rows[1:]], np.int64)
    return np.concatenate(rows), lengths, np.concatenate(firsts)


def _pieces(
    sentences: list[list[str]], tokenizer: BertStyleTokenizer
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Give the ids of each sentence, and the number of the word that each of them is of."""
    for start in range(0, len(sentences), _SENTENCES):
        part = sentences[start : start + _SENTENCES]
        encoded = tokenizer(part, is_split_into_words=True, add_special_tokens=False, verbose=False)
        for number, ids in enumerate(encoded["input_ids"]):
            yield ids, np.array(encoded.word_ids(number), np.int64)


def _stretches(begins: np.ndarray, count: int, room: int) -> list[tuple[int, int]]:
    """Cut pieces into stretches of at most `room`, between words."""
    cuts = [*begins.tolist(), count]
    stretches = []
    start = 0
    while start < count:
        # The last cut there is room for, or the next one, if a word is longer than that.
        end = cuts[max(bisect_right(cuts, start + room) - 1, bisect_right(cuts, start))]
        stretches.append((start, end))
        start = end
    return stretches


def _read_conll(path: str, text_column: str, label_column: str) -> Table:
    """Read a word per line, its tag in the last column, and an empty line between sentences.

    Between columns is a tab, or where a line has none, spaces.

    Raises:
        ValueError: a line has no tag, or there is no sentence.
    """
    words: list[list[str]] = []
    tags: list[list[str]] = []
    lines: list[int] = []
    inside = False
    for number, line in enumerate(decoded_lines(path), 1):
        # Other white space, such as U+00A0 in numbers and U+3000, belongs to words.
        text = line.strip(" \r\n")
        fields = [each.strip(" ") for each in text.split("\t")]
        if len(fields) == 1:
            fields = re.split(" +", text)
        fields[-1] = fields[-1].strip()
        if not line.strip() or fields[0] == "-DOCSTART-":
            inside = False
            continue
        if len(fields) < 2 or not fields[-1]:
            raise ValueError(
                f"{path}, line {number}: {line.strip()!r:.80} has no tag; a line is a word and, "
                "in its last column, the tag"
            )
        if not inside:
            words.append([])
            tags.append([])
            lines.append(number)
            inside = True
        words[-1].append(fields[0])
        tags[-1].append(fields[-1])
    if not words:
        raise ValueError(f"{path} has no sentences")
    return Table(path, {text_column: words, label_column: tags}, lines=lines)
