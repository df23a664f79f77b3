import itertools

import numpy as np
import pytest

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast
from distilbert.tasks.windows import answer_positions, make_windows

CONTEXT = "The smaller model (élan) is unaffable, 中é and\u200bthe \U0001f600 models. " * 4


@pytest.fixture(params=[DistilBertTokenizer, DistilBertTokenizerFast])
def tokenizer(request, tiny_vocab):
    return request.param(tiny_vocab)


def test_windows_cover_the_context_and_share_the_stride(tokenizer):
    windows = make_windows(tokenizer, ["the model?", "who"], [CONTEXT, "the model"], 24, 5)
    assert len(windows) > 5
    assert set(windows.question) == {0, 1}
    assert all(len(ids) <= 24 for ids in windows.input_ids)
    whole = tokenizer(CONTEXT, add_special_tokens=False, return_offsets_mapping=True)
    spans = [
        c for c, q in zip(windows.chars, windows.question, strict=True) if q == 0
    ]  # fmt: skip
    for before, after in itertools.pairwise(spans):
        assert (before[-5:] == after[:5]).all()
    joined = np.concatenate([spans[0], *(s[5:] for s in spans[1:])])
    assert joined.tolist() == [list(pair) for pair in whole["offset_mapping"]]
    for w, ids in enumerate(windows.input_ids):
        assert ids[windows.starts[w] - 1] == ids[windows.stops[w]] == tokenizer.sep_token_id
        assert len(windows.chars[w]) == windows.stops[w] - windows.starts[w]
        types = windows.token_type_ids[w]
        assert types == [0] * windows.starts[w] + [1] * (len(ids) - windows.starts[w])


def test_positions_are_zero_in_windows_without_the_whole_answer(tokenizer):
    windows = make_windows(tokenizer, ["the", "un"], [CONTEXT, CONTEXT], 24, 8)
    at = CONTEXT.rindex("smaller model")
    starts, ends = answer_positions(windows, [at, -1], [at + 13, -1])
    assert (starts[windows.question == 1] == 0).all()
    assert (starts > 0).any()
    for w in range(len(windows)):
        span = windows.chars[w]
        holds = span[0, 0] <= at and span[-1, 1] >= at + 13 and windows.question[w] == 0
        assert (starts[w] > 0) == (ends[w] > 0) == holds
        if holds:
            first, last = starts[w] - windows.starts[w], ends[w] - windows.starts[w]
            assert span[first, 0] == at
            assert span[last, 1] == at + 13


def test_words_are_whole_in_every_window(tokenizer):
    context = "unaffable unaffable unaffable unaffable"  # un ##aff ##able
    windows = make_windows(tokenizer, ["the"], [context], 8, 1)
    assert len(windows) > 3
    for chars, words in zip(windows.chars, windows.words, strict=True):
        starts = chars[:, 0] // 10 * 10
        assert words.tolist() == np.stack([starts, starts + 9], 1).tolist()


def test_bad_input(tokenizer):
    with pytest.raises(ValueError, match="2 questions and 1 contexts"):
        make_windows(tokenizer, ["a", "b"], ["c"])
    with pytest.raises(
        ValueError,
        match="has 20 tokens: windows of 24 tokens leave 1 .* the 8 that they share; .* lower "
        r"stride \(of a pipeline: doc_stride\), or raise max_length, at most to the model's pos",
    ):
        make_windows(tokenizer, ["a " * 20], ["c"], 24, 8)
    windows = make_windows(tokenizer, ["a"], ["the model"])
    with pytest.raises(ValueError, match="characters 4 to 99 of a context of 9"):
        answer_positions(windows, [4], [99])
    with pytest.raises(ValueError, match="2 starts and 1 ends for 1 questions"):
        answer_positions(windows, [4, 5], [6])
