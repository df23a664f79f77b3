"""Scores of predictions: those of GLUE (arXiv 1804.07461) and of SQuAD 1.1 and 2.0.

Every score is a fraction, not a percentage. Classification and correlation are scikit-learn's and
SciPy's, imported when called; SQuAD's rules are those of its evaluation scripts (arXiv 1606.05250,
1806.03822).
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from distilbert.extras import require

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def accuracy(predictions: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of predictions that are right.

    Args:
        predictions, labels: (n,) label numbers, or (n, labels) zeros and ones, of which a whole
            row must be right.

    Raises:
        ValueError: nothing to score, or different shapes.

    >>> accuracy([1, 0, 2], [1, 1, 2])  # doctest: +ELLIPSIS
    0.666...
    """
    predicted, true = _arrays(predictions, labels)
    right = predicted == true
    return float(right.all(axis=tuple(range(1, right.ndim))).mean())


def f1(
    predictions: ArrayLike, labels: ArrayLike, average: str = "binary", positive: int = 1
) -> float:
    """Return F1, the harmonic mean of precision and recall; 0 where both are.

    Args:
        predictions, labels: (n,) label numbers, or (n, labels) zeros and ones.
        average: "binary" is that of one label (GLUE's MRPC and QQP), "macro" the mean over labels,
            "micro" that of all decisions together.
        positive: the label of "binary".

    Raises:
        ValueError: nothing to score, different shapes, or "binary" with more than two labels.
    """
    predicted, true = _arrays(predictions, labels)
    score = require("sklearn.metrics").f1_score
    return float(score(true, predicted, average=average, pos_label=positive, zero_division=0))


def matthews(predictions: ArrayLike, labels: ArrayLike) -> float:
    """Return Matthews' correlation (GLUE's CoLA), -1 to 1; 0 where all predictions are equal.

    Raises:
        ValueError: nothing to score, or different shapes.
    """
    predicted, true = _arrays(predictions, labels)
    if (predicted == predicted[0]).all() or (true == true[0]).all():
        return 0.0
    return float(require("sklearn.metrics").matthews_corrcoef(true, predicted))


def pearson(predictions: ArrayLike, labels: ArrayLike) -> float:
    """Return Pearson's correlation (GLUE's STS-B), -1 to 1; 0 where a side does not vary.

    Raises:
        ValueError: fewer than two values, different shapes, or a value that is not finite.
    """
    return _correlation("pearsonr", predictions, labels)


def spearman(predictions: ArrayLike, labels: ArrayLike) -> float:
    """Return Spearman's correlation of ranks, -1 to 1; 0 where a side does not vary.

    Raises:
        ValueError: fewer than two values, different shapes, or a value that is not finite.
    """
    return _correlation("spearmanr", predictions, labels)


def _correlation(name: str, predictions: ArrayLike, labels: ArrayLike) -> float:
    predicted, true = (x.astype(float).ravel() for x in _arrays(predictions, labels))
    if len(true) < 2:
        raise ValueError("a correlation needs at least two values")
    if not (np.isfinite(predicted).all() and np.isfinite(true).all()):
        raise ValueError("a correlation needs finite numbers; there are inf or nan among these")
    if np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return 0.0
    return float(getattr(require("scipy.stats"), name)(predicted, true)[0])


def _arrays(predictions: ArrayLike, labels: ArrayLike) -> tuple[Any, Any]:
    predicted, true = np.asarray(predictions), np.asarray(labels)
    if predicted.shape != true.shape:
        raise ValueError(
            f"predictions {predicted.shape} and labels {true.shape} must have the same shape"
        )
    if predicted.ndim == 0 or not len(predicted):
        raise ValueError("there is nothing to score: no predictions")
    return predicted, true


def normalize_answer(text: str) -> str:
    """Return an answer in lower case, without punctuation, articles and surplus white space.

    >>> normalize_answer("The  Eiffel-Tower!")
    'eiffeltower'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def answer_exact(prediction: str, answer: str) -> float:
    """Return 1.0 if two answers are equal once normalised, else 0.0."""
    return float(normalize_answer(prediction) == normalize_answer(answer))


def answer_f1(prediction: str, answer: str) -> float:
    """Return F1 over the words that two answers share; with an empty one, 1.0 if both are.

    The script of SQuAD 1.1 gives 0.0 where both normalise to nothing; that of 2.0 is followed.
    """
    ours, theirs = normalize_answer(prediction).split(), normalize_answer(answer).split()
    if not ours or not theirs:
        return float(ours == theirs)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * shared / (len(ours) + len(theirs))


def squad(
    predictions: Mapping[str, str],
    answers: Mapping[str, Sequence[str]],
    null_odds: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Score answers as SQuAD's scripts do, each against its best right answer.

    Args:
        predictions: text by question; "" says that there is no answer.
        answers: the right texts by question; none where it cannot be answered (SQuAD 2.0).
        null_odds: by question, how much more likely no answer is than the one predicted; then
            the threshold is found above which "" would score best.

    Returns:
        `exact_match` and `f1`. Where some question has no answer also both for the questions with
        answers (`has_answer_…`) and without (`no_answer_…`); with `null_odds` also
        `best_exact_match`, `best_exact_match_threshold`, `best_f1` and `best_f1_threshold`.

    Raises:
        ValueError: no questions, or a question without a prediction (or without its odds).

    >>> squad({"q1": "in the Paris", "q2": "x"}, {"q1": ["Paris"], "q2": []})["f1"]
    0.3333333333333333
    """
    if not answers:
        raise ValueError("there is nothing to score: no questions")
    for name, given in (("prediction", predictions), ("null_odds", null_odds)):
        absent = [] if given is None else [key for key in answers if key not in given]
        if absent:
            raise ValueError(
                f"{len(absent)} of {len(answers)} questions have no {name}, the first {absent[0]!r}"
            )
    second = any(not texts for texts in answers.values())
    exact = _best(predictions, answers, answer_exact, second)
    overlap = _best(predictions, answers, answer_f1, second)
    scores = {"exact_match": float(exact.mean()), "f1": float(overlap.mean())}
    if second:
        has = np.array([bool(texts) for texts in answers.values()])
        for name, chosen in (("has_answer", has), ("no_answer", ~has)):
            if chosen.any():
                scores[f"{name}_exact_match"] = float(exact[chosen].mean())
                scores[f"{name}_f1"] = float(overlap[chosen].mean())
        if null_odds is not None:
            odds = np.array([null_odds[key] for key in answers], dtype=float)
            silent = np.array([not predictions[key] for key in answers])
            for name, values in (("exact_match", exact), ("f1", overlap)):
                best, threshold = _best_threshold(values, odds, has, silent)
                scores |= {f"best_{name}": best, f"best_{name}_threshold": threshold}
    return scores


def _best(
    predictions: Mapping[str, str],
    answers: Mapping[str, Sequence[str]],
    score: Callable[[str, str], float],
    second: bool,
) -> np.ndarray:
    """Return each question's best score; 2.0 drops right answers that normalise to nothing."""
    best = []
    for key, texts in answers.items():
        kept = [text for text in texts if normalize_answer(text)] if second else texts
        best.append(max(score(predictions[key], text) for text in kept or [""]))
    return np.array(best)


def _best_threshold(
    values: np.ndarray, odds: np.ndarray, has: np.ndarray, silent: np.ndarray
) -> tuple[float, float]:
    """Return the best mean over all thresholds, odds above which mean no answer, and which it is.

    From "nothing is answered" questions are answered one by one, the likeliest first: one with
    an answer adds its score, one without takes away the point that silence had.
    """
    order = np.argsort(odds, kind="stable")
    change = np.where(has, values, np.where(silent, 0.0, -1.0))[order]
    totals = (~has).sum() + np.concatenate([[0.0], np.cumsum(change)])
    # Questions of equal odds are answered together.
    possible = np.concatenate([[True], odds[order][1:] != odds[order][:-1], [True]])
    best = int(np.argmax(np.where(possible, totals, -np.inf)))
    threshold = float(odds[order][best - 1]) if best else float(np.nextafter(odds.min(), -np.inf))
    return float(totals[best] / len(values)), threshold
