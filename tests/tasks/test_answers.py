import time

import numpy as np
import pytest

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast
from distilbert.tasks.answers import find_answers, log_probabilities
from distilbert.tasks.windows import Windows, answer_positions, make_windows

CONTEXT = "The smaller model (élan) is unaffable, 中é and\u200bthe \U0001f600 models. " * 4


@pytest.fixture(params=[DistilBertTokenizer, DistilBertTokenizerFast])
def tokenizer(request, tiny_vocab):
    return request.param(tiny_vocab)


def logits_of(windows: Windows, seed: int = 0) -> tuple[list, list]:
    draw = np.random.default_rng(seed)
    return tuple([draw.normal(size=len(ids)) for ids in windows.input_ids] for _ in range(2))


def peaked(windows: Windows, spans: dict[int, tuple[int, int]]) -> tuple[list, list]:
    """Logits that point at characters of the contexts, by question."""
    starts = [spans[q][0] if q in spans else -1 for q in range(len(windows.contexts))]
    ends = [spans[q][1] if q in spans else -1 for q in range(len(windows.contexts))]
    logits = (
        [np.zeros(len(ids)) for ids in windows.input_ids],
        [np.zeros(len(ids)) for ids in windows.input_ids],
    )
    for side, positions in zip(logits, answer_positions(windows, starts, ends), strict=True):
        for w, at in enumerate(positions):
            side[w][at] = 10
    return logits


@pytest.mark.parametrize("text", ["élan", "unaffable", "中é", "smaller", "\U0001f600", "model"])
def test_an_answer_comes_back_as_the_characters_it_was(tokenizer, text):
    at = CONTEXT.rindex(text)
    windows = make_windows(tokenizer, ["the"], [CONTEXT], 24, 8)
    logits = peaked(windows, {0: (at, at + len(text))})
    answer = find_answers(windows, *logits)[0].best[0]
    assert (answer.text, answer.start, answer.end) == (text, at, at + len(text))
    assert answer.score == 20


def test_the_plain_way_finds_the_same(tokenizer):
    """All spans of all windows in two loops."""
    windows = make_windows(tokenizer, ["the", "model"], [CONTEXT, CONTEXT[:90]], 30, 10)
    starts, ends = logits_of(windows)
    longest, n_best = 4, 10_000
    found = find_answers(windows, starts, ends, n_best, longest)
    for q, context in enumerate(windows.contexts):
        best = {}
        for w in np.flatnonzero(windows.question == q):
            here = {}
            for i in range(windows.starts[w], windows.stops[w]):
                for j in range(i, min(i + longest, windows.stops[w])):
                    chars = windows.chars[w]
                    first, last = i - windows.starts[w], j - windows.starts[w]
                    key = context[chars[first, 0] : chars[last, 1]].lower()
                    here.setdefault(key, []).append(np.exp(starts[w][i] + ends[w][j]))
            for key, values in here.items():
                best[key] = max(best.get(key, -np.inf), np.log(sum(values)))
        assert {a.text.lower(): a.score for a in found[q].best} == pytest.approx(best)
        scores = [answer.score for answer in found[q].best]
        assert scores == sorted(scores, reverse=True)
        null = [starts[w][0] + ends[w][0] for w in np.flatnonzero(windows.question == q)]
        assert found[q].null_score == min(null)


@pytest.mark.parametrize("n_best", [1, 3, 12])
def test_the_best_of_many_are_the_best(tokenizer, n_best):
    context = "a b c d e f g h i j k l m n o p q r s t u v w x y z the small model un 中 é , . !"
    windows = make_windows(tokenizer, ["the"], [context], 60, 8)  # no two spans spell the same
    for seed in range(10):
        logits = logits_of(windows, seed)
        every = find_answers(windows, *logits, n_best=10_000)[0].best
        assert len(every) > 100
        assert find_answers(windows, *logits, n_best=n_best)[0].best == every[:n_best]


def test_an_answer_has_up_to_30_tokens_and_20_are_given(tokenizer):
    windows = make_windows(tokenizer, ["the"], ["a b c d e f g h i j k l m n o p q r s t " * 2])
    found = find_answers(windows, *peaked(windows, {0: (0, 59)}))[0].best
    assert (len(found), len(found[0].text.split())) == (20, 30)
    found = find_answers(windows, *peaked(windows, {0: (0, 61)}))[0].best
    assert found[0].score == 10


def test_answers_are_the_places_they_name(tokenizer):
    windows = make_windows(tokenizer, ["the"], [CONTEXT], 24, 8)
    for answer in find_answers(windows, *logits_of(windows), n_best=50)[0].best:
        assert CONTEXT[answer.start : answer.end] == answer.text


def test_whole_words_reach_over_the_edge_of_a_window(tokenizer):
    context = "unaffable unaffable unaffable unaffable"  # un ##aff ##able
    windows = make_windows(tokenizer, ["the"], [context], 8, 1)
    logits = logits_of(windows)
    pieces = {a.text for a in find_answers(windows, *logits, max_answer_tokens=1)[0].best}
    words = {
        a.text
        for a in find_answers(windows, *logits, max_answer_tokens=1, whole_words=True)[0].best
    }
    assert pieces == {"un", "aff", "able"}
    assert words == {"unaffable"}


def test_padding_does_not_matter(tokenizer):
    windows = make_windows(tokenizer, ["the", "a model"], [CONTEXT, "the model"], 30, 10)
    starts, ends = logits_of(windows)
    padded = [np.full((len(windows), 64), 99.0) for _ in range(2)]
    for rows, matrix in zip((starts, ends), padded, strict=True):
        for w, row in enumerate(rows):
            matrix[w, : len(row)] = row
    assert find_answers(windows, starts, ends) == find_answers(windows, *padded)
    assert find_answers(windows, *log_probabilities(windows, starts, ends)) == find_answers(
        windows, *log_probabilities(windows, *padded)
    )


def test_log_probabilities_add_up_to_one_over_what_may_be_chosen(tokenizer):
    windows = make_windows(tokenizer, ["the"], [CONTEXT], 24, 8)
    for side in log_probabilities(windows, *logits_of(windows)):
        for w, row in enumerate(side):
            assert np.exp(row).sum() == pytest.approx(1)
            assert np.isneginf(row[1 : windows.starts[w]]).all()


def test_logits_of_any_size_stay_finite(tokenizer):
    windows = make_windows(tokenizer, ["the"], [CONTEXT], 24, 8)
    starts, ends = logits_of(windows)
    large = [[1e4 * row for row in side] for side in (starts, ends)]
    found = find_answers(windows, *log_probabilities(windows, *large))[0]
    assert 0 <= np.exp(found.best[0].score) <= 1
    # An unpadded model gives masked places the smallest finite number.
    starts[0][windows.starts[0]] = np.finfo(np.float32).min
    assert np.isfinite(find_answers(windows, starts, ends)[0].best[0].score)


def test_no_answer(tokenizer):
    windows = make_windows(tokenizer, ["the"], ["the small model"], 24, 8)
    starts, ends = np.zeros((1, 8)), np.zeros((1, 8))
    starts[0, 0] = 3
    found = find_answers(windows, starts, ends)[0]
    assert found.null_score == 3
    assert found.null_odds == 3 - found.best[0].score
    assert found.text() == found.best[0].text
    assert found.text(threshold=found.null_odds) == found.best[0].text
    assert found.text(threshold=found.null_odds - 0.01) == ""


def test_a_context_without_tokens_has_no_answer(tokenizer):
    windows = make_windows(tokenizer, ["the", "the"], ["  ", "model"], 24, 8)
    none, some = find_answers(windows, *logits_of(windows))
    assert none.best == []
    assert none.text() == ""
    assert none.null_odds == float("inf")
    assert some.best[0].text == "model"


def test_nothing_asked(tokenizer):
    assert find_answers(make_windows(tokenizer, [], []), [], []) == []


def test_a_hundred_thousand_characters(tiny_vocab):
    tokenizer = DistilBertTokenizerFast(tiny_vocab)
    context = ("the small model is unaffable. " * 4000)[:100_000] + " éx"
    start = time.perf_counter()
    windows = make_windows(tokenizer, ["the model"], [context])
    at = len(context) - 2
    found = find_answers(windows, *peaked(windows, {0: (at, at + 2)}))[0]
    assert time.perf_counter() - start < 10
    assert (found.best[0].text, found.best[0].start) == ("éx", at)


def test_bad_input(tokenizer):
    windows = make_windows(tokenizer, ["a"], ["the model"])
    with pytest.raises(ValueError, match="n_best=0"):
        find_answers(windows, *logits_of(windows), n_best=0)
    with pytest.raises(ValueError, match="1 windows and logits for 2"):
        find_answers(windows, np.zeros((2, 9)), np.zeros((2, 9)))
