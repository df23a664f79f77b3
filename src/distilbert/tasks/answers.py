"""Answers to questions, read off the start and end logits of windows.

An answer is a span of the context's characters; [CLS] stands for "no answer" (BERT, arXiv
1810.04805, section 4.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from distilbert.tasks.windows import Windows

Logits = Sequence[NDArray[Any]] | NDArray[Any]


class Answer(NamedTuple):
    """Characters `start` to `end - 1` of a context, and how well they answer."""

    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Answers:
    """The answers to one question, the best first, and the score of there being none."""

    best: list[Answer]
    null_score: float

    @property
    def null_odds(self) -> float:
        """How much more no answer scores than the best one; infinite where there is none."""
        return self.null_score - self.best[0].score if self.best else float("inf")

    def text(self, threshold: float = float("inf")) -> str:
        """Return the best answer, or "" where `null_odds` is above the threshold (SQuAD 2.0)."""
        return self.best[0].text if self.best and self.null_odds <= threshold else ""


def log_probabilities(
    windows: Windows, start_logits: Logits, end_logits: Logits
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Return logits as log-probabilities of each window, over [CLS] and the context's tokens.

    Training compares the tokens of one window only, so that this makes windows comparable; the
    question's tokens get minus infinity.

    Args:
        start_logits, end_logits: per window, at least as many as it has tokens.
    """
    return _normalised(windows, start_logits), _normalised(windows, end_logits)


def _normalised(windows: Windows, logits: Logits) -> list[NDArray[np.float64]]:
    rows = []
    for w, (start, stop) in enumerate(zip(windows.starts, windows.stops, strict=True)):
        values = np.full(stop, -np.inf)
        values[0] = logits[w][0]
        values[start:] = logits[w][start:stop]
        highest = values.max()
        rows.append(values - (highest + np.log(np.exp(values - highest).sum())))
    return rows


def find_answers(
    windows: Windows,
    start_logits: Logits,
    end_logits: Logits,
    n_best: int = 20,
    max_answer_tokens: int = 30,
    whole_words: bool = False,
) -> list[Answers]:
    """Return the best answers to each question, over all of its windows.

    The score of a span is start + end; it adds up (as probabilities do) over spans of one window
    that spell the same answer, and of several windows the best one counts, since windows overlap.
    Give logits for SQuAD's scores, `log_probabilities` for scores whose exponential is a
    probability.

    Args:
        start_logits, end_logits: per window, at least as many as it has tokens.
        n_best: answers per question, and spans looked at per window.
        max_answer_tokens: longest answer.
        whole_words: widens answers to the words that they touch.

    Raises:
        ValueError: `n_best` or `max_answer_tokens` below 1, or logits for other windows.
    """
    if n_best < 1 or max_answer_tokens < 1:
        raise ValueError(
            f"n_best={n_best} and max_answer_tokens={max_answer_tokens} must be at least 1"
        )
    for logits in (start_logits, end_logits):
        if len(logits) != len(windows):
            raise ValueError(f"there are {len(windows)} windows and logits for {len(logits)}")
    null = np.full(len(windows.contexts), np.inf)
    found: list[dict[str, Answer]] = [{} for _ in windows.contexts]
    for w, q in enumerate(windows.question):
        at, stop = windows.starts[w], windows.stops[w]
        start = np.asarray(start_logits[w], np.float64)
        end = np.asarray(end_logits[w], np.float64)
        null[q] = min(null[q], start[0] + end[0])
        first, last, scores = _best_spans(start[at:stop], end[at:stop], n_best, max_answer_tokens)
        chars = windows.words[w] if whole_words else windows.chars[w]
        here: dict[str, Answer] = {}
        for a, b, score in zip(chars[first, 0], chars[last, 1], scores, strict=True):
            text = windows.contexts[q][a:b]
            key = text.lower()
            if key in here:
                total = np.logaddexp(here[key].score, score)
                here[key] = here[key]._replace(score=float(total))
            else:
                here[key] = Answer(text, int(a), int(b), float(score))
        for key, answer in here.items():
            if key not in found[q] or answer.score > found[q][key].score:
                found[q][key] = answer
    return [
        Answers(sorted(each.values(), key=lambda x: -x.score)[:n_best], float(low))
        for each, low in zip(found, null, strict=True)
    ]


def _best_spans(
    start: NDArray[np.float64], end: NDArray[np.float64], n_best: int, longest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return first token, last token and score of the best spans of a window, the best first."""
    n = len(start)
    longest = min(longest, n)
    if not n:
        none = np.zeros(0, np.int64)
        return none, none, np.zeros(0)
    padded = np.concatenate([end, np.full(longest - 1, -np.inf)])
    band = np.lib.stride_tricks.sliding_window_view(padded, longest)  # (n, longest)
    scores = (start[:, None] + band).ravel()
    if len(scores) > n_best:
        kept = np.argpartition(-scores, n_best - 1)[:n_best]
    else:
        kept = np.arange(len(scores))
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    kept = kept[np.isfinite(scores[kept])]
    first = kept // longest
    return first, first + kept % longest, scores[kept]
