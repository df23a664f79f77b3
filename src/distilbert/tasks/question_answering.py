"""SQuAD 1.1 and 2.0 (arXiv 1606.05250, 1806.03822): the answer to a question in a text.

Contexts of any length are read through windows with stride (see `windows.py`).
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from distilbert.tasks import metrics
from distilbert.tasks.answers import Answers, find_answers
from distilbert.tasks.features import Features, flatten
from distilbert.tasks.labels import Labels
from distilbert.tasks.tables import Table, read_table
from distilbert.tasks.task import Examples, Task, require_texts, require_values
from distilbert.tasks.text_records import decoded_lines
from distilbert.tasks.windows import Windows, answer_positions, make_windows
from distilbert.tokenization.tokenizer import BertStyleTokenizer

_QUESTIONS = 1024  # that are encoded at a time


@dataclass(frozen=True)
class QuestionAnswering(Task):
    """Questions, contexts, and the answers' texts and places.

    Columns are those of SQuAD in `datasets`: id, question, context, and answers with the lists
    text and answer_start, empty where there is no answer.

    Args:
        stride: pieces that consecutive windows of a context share.
    """

    stride: int = 128

    head: ClassVar[str] = "ForQuestionAnswering"
    scores: ClassVar[tuple[str, ...]] = ("exact_match", "f1")

    def read(self, path: str) -> Table:
        """Read SQuAD's JSON, or a table of its columns.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        return _read_squad(path) if path.lower().endswith(".json") else read_table(path)

    def learn(self, table: Table) -> Labels:
        """Return none: an answer is a place, not a label."""
        return Labels(())

    def examples(
        self, table: Table, labels: Labels, tokenizer: BertStyleTokenizer, max_length: int
    ) -> Examples:
        """Make examples of a table: windows; `cut` is 0, as nothing is left out.

        Raises:
            ValueError: a column is missing, a row is empty, an answer is not where it is said to
                be, or a question leaves a window no room.
        """
        columns = {name: table.column(name) for name in ("id", "question", "context", "answers")}
        for name in ("id", "question", "context"):
            require_values(table, name, columns[name])
        questions = require_texts(table, "question", columns["question"])
        contexts = require_texts(table, "context", columns["context"])
        spans = [_first_span(table, row, context) for row, context in enumerate(contexts)]
        parts = []
        labels_of_parts = []
        for start in range(0, len(table), _QUESTIONS):
            part = slice(start, start + _QUESTIONS)
            parts.append(
                make_windows(tokenizer, questions[part], contexts[part], max_length, self.stride)
            )
            starts, ends = zip(*spans[part], strict=True)
            positions = answer_positions(parts[-1], starts, ends)
            labels_of_parts.append(np.stack(positions, 1))
        lengths = _sizes(ids for part in parts for ids in part.input_ids)
        seconds = np.array([sum(types) for part in parts for types in part.token_type_ids])
        features = Features(
            np.concatenate([flatten(part.input_ids) for part in parts]),
            lengths,
            lengths - seconds,
            np.concatenate(labels_of_parts),
            tokenizer.pad_token_id or 0,
            has_outputs_per_token=True,
        )
        answers = {
            str(key): list(each["text"])
            for key, each in zip(columns["id"], columns["answers"], strict=True)
        }
        if len(answers) < len(table):
            raise ValueError(f"{table.path}: several questions have the same id")
        return Examples(features, _score(parts, answers), None, 0, len(table))


def _sizes(rows: Iterable[Sequence[int]]) -> np.ndarray:
    return np.array([len(row) for row in rows], np.int64)


def _score(
    parts: Sequence[Windows], answers: dict[str, list[str]]
) -> Callable[[np.ndarray], dict[str, float]]:
    """Return what scores outputs, (N, 2): SQuAD 2.0's way where a question has no answer."""

    def score(outputs: np.ndarray) -> dict[str, float]:
        found: list[Answers] = []
        start = 0
        for part in parts:
            ends = start + np.cumsum(_sizes(part.input_ids))
            windows = np.split(outputs[start : ends[-1]], ends[:-1] - start)
            found += find_answers(part, [w[:, 0] for w in windows], [w[:, 1] for w in windows])
            start = ends[-1]
        best = dict(zip(answers, found, strict=True))
        texts = {key: each.text() for key, each in best.items()}
        if all(answers.values()):
            return metrics.squad(texts, answers)
        odds = {key: each.null_odds for key, each in best.items()}
        scores = metrics.squad({key: each.text(0.0) for key, each in best.items()}, answers)
        free = metrics.squad(texts, answers, odds)
        return scores | {name: s for name, s in free.items() if name.startswith("best_")}

    return score


def _first_span(table: Table, row: int, context: str) -> tuple[int, int]:
    """Return the characters of the first answer, (-1, -1) where there is none.

    Raises:
        ValueError: it is not where it is said to be.
    """
    answers = table.columns["answers"][row]
    if not _are_answers(answers):
        raise ValueError(
            f"{table.where(row)}: 'answers' must be an object with a list of texts, 'text', and "
            f"one of as many numbers, 'answer_start'; got {answers!r:.80}"
        )
    if not answers["text"]:
        return -1, -1
    text, start = answers["text"][0], answers["answer_start"][0]
    if not text.strip():
        raise ValueError(f"{table.where(row)}: the answer is empty; no answer is an empty list")
    if start < 0 or context[start : start + len(text)] != text:
        there = context[max(start, 0) : max(start, 0) + len(text)]
        raise ValueError(
            f"{table.where(row)}: the answer {text!r:.80} is not in the context at character "
            f"{start}, where there is {there!r:.80}"
        )
    stripped = text.strip()
    start += text.index(stripped)
    return start, start + len(stripped)


def _are_answers(value: Any) -> bool:
    """Whether a value is what SQuAD has for answers."""
    if not isinstance(value, dict) or not {"text", "answer_start"} <= value.keys():
        return False
    texts, starts = value["text"], value["answer_start"]
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        return False
    return all(isinstance(t, str) for t in texts) and all(isinstance(s, int) for s in starts)


def _read_squad(path: str) -> Table:
    """Read the JSON of SQuAD 1.1 or 2.0.

    Raises:
        OSError: there is no such file. ValueError: it is something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    columns: dict[str, list[Any]] = {"id": [], "question": [], "context": [], "answers": []}
    try:
        content = json.loads("".join(decoded_lines(path)))
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                for entry in paragraph["qas"]:
                    known = [] if entry.get("is_impossible") else entry["answers"]
                    columns["id"].append(entry["id"])
                    columns["question"].append(entry["question"])
                    columns["context"].append(paragraph["context"])
                    columns["answers"].append(
                        {
                            "text": [each["text"] for each in known],
                            "answer_start": [each["answer_start"] for each in known],
                        }
                    )
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not SQuAD's JSON: {error!r}") from None
    if not columns["id"]:
        raise ValueError(f"{path} has no questions")
    return Table(path, columns)
