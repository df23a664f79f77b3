"""Questions and contexts of any length as windows with stride.

A window is `[CLS] question [SEP] a part of the context [SEP]`; consecutive ones share `stride`
pieces of the context.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distilbert.tokenization.tokenizer import BertStyleTokenizer
from distilbert.tokenization.truncation import tokens_in_windows


@dataclass(frozen=True)
class Windows:
    """The rows that questions and contexts make, unpadded.

    Attributes:
        input_ids, token_type_ids: a list per window; token types are for BERT models.
        question: (W,) which question each window belongs to, in order.
        starts, stops: (W,) the context's tokens are `starts[w]` to `stops[w] - 1` of window w.
        chars: per window (tokens of the context, 2), where each is in the context's characters.
        words: the same for the whole word of each token.
        contexts: the texts themselves.
    """

    input_ids: list[list[int]]
    token_type_ids: list[list[int]]
    question: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    chars: list[NDArray[np.int64]]
    words: list[NDArray[np.int64]]
    contexts: list[str]

    def __len__(self) -> int:
        return len(self.input_ids)


def make_windows(
    tokenizer: BertStyleTokenizer,
    questions: Sequence[str],
    contexts: Sequence[str],
    max_length: int = 384,
    stride: int = 128,
    count: Callable[[int], None] | None = None,
) -> Windows:
    """Cut contexts into windows, each with its question.

    Args:
        tokenizer: either of the two.
        questions, contexts: as many of each.
        max_length: tokens per window, special ones included.
        stride: pieces that consecutive windows of a context share.
        count: is told the tokens of each context's windows before there are any; it may raise.

    Raises:
        ValueError: a different number of each, or a question so long that its windows have no
            room to advance.
    """
    if len(questions) != len(contexts):
        raise ValueError(f"there are {len(questions)} questions and {len(contexts)} contexts")
    questions, contexts = list(questions), list(contexts)
    if not questions:
        none = np.zeros(0, np.int64)
        return Windows([], [], none, none, none, [], [], [])
    heads = tokenizer(questions, add_special_tokens=False, verbose=False)["input_ids"]
    special = tokenizer.num_special_tokens_to_add(pair=True)
    for text, head in zip(questions, heads, strict=True):
        room = max_length - special - len(head)
        if room <= stride:
            raise ValueError(
                f"the question {text!r:.80} has {len(head)} tokens: windows of {max_length} tokens "
                f"leave {max(room, 0)} for the context, which must be more than the {stride} that "
                "they share; shorten the question, lower stride (of a pipeline: doc_stride), or "
                "raise max_length, at most to the model's positions"
            )
    if count is not None:
        bodies = tokenizer(contexts, add_special_tokens=False, verbose=False)["input_ids"]
        for head, body in zip(heads, bodies, strict=True):
            around = special + len(head)
            count(tokens_in_windows(len(body), max_length - around, stride, around))
    rows = tokenizer(
        questions,
        contexts,
        truncation="only_second",
        truncation_side="right",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=True,
        verbose=False,
    )
    question = np.array(rows["overflow_to_sample_mapping"], np.int64)
    starts = np.array([len(heads[q]) + 2 for q in question], np.int64)
    stops = np.array([len(ids) - 1 for ids in rows["input_ids"]], np.int64)
    chars, words = [], []
    for w, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        offsets = rows["offset_mapping"][w][start:stop]
        chars.append(np.array(offsets, np.int64).reshape(-1, 2))
        words.append(np.array(rows.word_ids(w)[start:stop], np.int64))
    return Windows(
        rows["input_ids"],
        rows["token_type_ids"],
        question,
        starts,
        stops,
        chars,
        _word_chars(question, chars, words),
        contexts,
    )


def _word_chars(
    question: NDArray[np.int64], chars: list[NDArray[np.int64]], words: list[NDArray[np.int64]]
) -> list[NDArray[np.int64]]:
    """Return the characters of each token's word; a window may hold a part of the word only."""
    lengths = [len(each) for each in words]
    owner = np.repeat(question, lengths)
    number, span = np.concatenate(words), np.concatenate(chars)
    if not len(number):
        return list(chars)
    key = owner * (number.max() + 1) + number
    _, word = np.unique(key, return_inverse=True)
    first = np.full(word.max() + 1, np.iinfo(np.int64).max)
    last = np.zeros(word.max() + 1, np.int64)
    np.minimum.at(first, word, span[:, 0])
    np.maximum.at(last, word, span[:, 1])
    whole = np.stack([first[word], last[word]], axis=1)
    return np.split(whole, np.cumsum(lengths)[:-1])


def answer_positions(
    windows: Windows, starts: Sequence[int], ends: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and last token of each question's answer in each of its windows, to train.

    Args:
        starts, ends: per question, the answer's characters `start` to `end - 1` of the context;
            -1 where there is no answer.

    Returns:
        Two arrays (W,); 0, which is [CLS], where a window does not hold the whole answer.

    Raises:
        ValueError: an answer that is empty or outside its context.
    """
    first, last = np.asarray(starts, np.int64), np.asarray(ends, np.int64)
    sizes = np.array([len(context) for context in windows.contexts], np.int64)
    if not first.shape == last.shape == sizes.shape:
        raise ValueError(
            f"there are {len(first)} starts and {len(last)} ends for {len(sizes)} questions"
        )
    wrong = np.flatnonzero((first >= 0) & ((last <= first) | (last > sizes)))
    if len(wrong):
        q = wrong[0]
        raise ValueError(
            f"the answer to question {q} is said to be at characters {first[q]} to {last[q]} of a "
            f"context of {sizes[q]}"
        )
    found = np.zeros((2, len(windows)), np.int64)
    for w, (q, at, chars) in enumerate(
        zip(windows.question, windows.starts, windows.chars, strict=True)
    ):
        if first[q] < 0 or not len(chars):
            continue
        token = np.flatnonzero((chars[:, 1] > first[q]) & (chars[:, 0] < last[q]))
        begun = chars[0, 0] <= first[q] or _at_start(windows, w)
        ended = chars[-1, 1] >= last[q] or _at_end(windows, w)
        if len(token) and begun and ended:
            found[:, w] = at + token[0], at + token[-1]
    return found[0], found[1]


def _at_start(windows: Windows, window: int) -> bool:
    """Whether a window holds the beginning of its context."""
    return window == 0 or windows.question[window] != windows.question[window - 1]


def _at_end(windows: Windows, window: int) -> bool:
    """Whether a window holds the end of its context."""
    return window + 1 == len(windows) or windows.question[window] != windows.question[window + 1]
