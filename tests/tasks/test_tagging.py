"""Words and their tags: labels on first pieces, long sentences split, nothing lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert import DistilBertTokenizer
from distilbert.tasks import tagging as module
from distilbert.tasks.tables import Table
from distilbert.tasks.tagging import Tagging

TASK = Tagging("mine", "f1")
CONLL = """-DOCSTART- -X- O O

Small NNP B-NP B-PER
models NNS I-NP I-PER
. . O O


unaffable\tJJ\tO
中 X B-LOC
"""


def table(words, tags, class_names=None):
    names = {"ner_tags": class_names} if class_names else {}
    return Table("a.parquet", {"tokens": words, "ner_tags": tags}, names)


def test_conll_columns(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text(CONLL)
    data = TASK.read(str(path))
    assert data.columns == {
        "tokens": [["Small", "models", "."], ["unaffable", "中"]],
        "ner_tags": [["B-PER", "I-PER", "O"], ["O", "B-LOC"]],
    }
    assert data.where(1).endswith("line 8")
    assert TASK.learn(data).names == ("B-LOC", "B-PER", "I-PER", "O")
    path.write_text("Small B-PER\nmodels\n")
    with pytest.raises(ValueError, match="line 2: 'models' has no tag"):
        TASK.read(str(path))
    path.write_text("\n\n")
    with pytest.raises(ValueError, match="has no sentences"):
        TASK.read(str(path))
    with pytest.raises(FileNotFoundError):
        TASK.read(str(tmp_path / "none.txt"))


@pytest.mark.parametrize("separator", [" ", "  ", "\t", " \t"])
def test_conll_words_may_have_other_white_space(tmp_path, separator):
    words = ["10\u00a0000", "\u3000", "a\u2009b"]
    ends = ["", "\r", "\u00a0"]
    lines = [f"{word}{separator}O{end}" for word, end in zip(words, ends, strict=True)]
    path = tmp_path / "train.txt"
    path.write_bytes("\n".join([*lines, "\u00a0", "c O"]).encode())
    data = TASK.read(str(path))
    assert data.columns == {"tokens": [words, ["c"]], "ner_tags": [["O"] * 3, ["O"]]}


def test_a_word_with_a_lone_surrogate(tokenizer):
    data = table([["a"], ["b", "\ud83d"]], [["O"], ["O", "B-X"]])
    with pytest.raises(ValueError, match=r"a\.parquet, row 2: 'tokens': .* U\+D83D, at position 0"):
        TASK.learn(data)


def test_labels_are_on_first_pieces(tokenizer, perfect):
    words = [["unaffable", "\u200b", "models"], ["the"]]
    data = table(words, [["B-X", "O", "O"], ["B-X"]])
    labels = TASK.learn(data)
    features = TASK.examples(data, labels, tokenizer, 16).features
    first = tokenizer(words[0], is_split_into_words=True)
    at = first.word_ids()
    expected = [-100] * len(at)
    expected[at.index(0)], expected[at.index(2)] = 0, 1
    assert 1 not in at  # the word of nothing visible has no piece
    assert features.lengths.tolist() == [len(at), 3]
    assert features.tokens[: len(at)].tolist() == first["input_ids"]
    assert features.labels.tolist() == [*expected, -100, 0, -100]
    scores = TASK.examples(data, labels, tokenizer, 16).score(perfect(features, 2))
    assert scores == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "accuracy": 1.0}


def test_scores_are_of_entities(tokenizer, perfect):
    data = table([["a", "b", "c", "d"]], [[1, 2, 0, 1]], ["O", "B-X", "I-X", "B-Y"])
    labels = TASK.learn(data)
    examples = TASK.examples(data, labels, tokenizer, 16)
    outputs = perfect(examples.features, 4)
    outputs[2] = [9, 0, 0, 0]  # half of the first entity is missed
    scores = examples.score(outputs)
    assert (scores["precision"], scores["recall"], scores["accuracy"]) == (0.5, 0.5, 0.75)
    assert examples.detail(outputs).rows == [["X", 0.5, 0.5, 0.5, 2, 2]]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_long_sentences_are_split_between_words(tiny_vocab, data):
    """Every piece is there once, and every word with pieces has its label once."""
    tokenizer = DistilBertTokenizer(tiny_vocab)
    word = st.text("ab\u200b", min_size=1, max_size=6)
    sentences = data.draw(st.lists(st.lists(word, max_size=12), min_size=1, max_size=4))
    sentences.append(["a"])
    tags = [[data.draw(st.sampled_from(["O", "B-X"])) for _ in s] for s in sentences]
    known = TASK.learn(table([["a", "b"]], [["O", "B-X"]]))
    examples = TASK.examples(table(sentences, tags), known, tokenizer, 8)
    features = examples.features
    assert features.lengths.max() <= 8
    rows = np.split(features.tokens, features.ends[:-1])
    whole = [
        tokenizer(s, is_split_into_words=True, add_special_tokens=False)["input_ids"]
        for s in sentences
    ]
    assert [i for row in rows for i in row[1:-1]] == [i for ids in whole for i in ids]
    pieces = [tokenizer(w, add_special_tokens=False)["input_ids"] for s in sentences for w in s]
    flat = [known.names.index(t) for s in tags for t in s]
    labels = features.labels[features.labels >= 0].tolist()
    assert labels == [tag for tag, ids in zip(flat, pieces, strict=True) if ids]


def test_sentences_are_encoded_in_parts(tokenizer, monkeypatch):
    words = [["unaffable", "models"], [], ["the", "a", "b", "c", "d", "e", "f"], ["a"], ["b"]]
    data = table(words, [["B-X"] + ["O"] * (len(each) - 1) if each else [] for each in words])
    labels = TASK.learn(data)
    whole = TASK.examples(data, labels, tokenizer, 8).features
    sizes = []
    call = type(tokenizer).__call__
    monkeypatch.setattr(
        type(tokenizer),
        "__call__",
        lambda self, texts, **options: sizes.append(len(texts)) or call(self, texts, **options),
    )
    monkeypatch.setattr(module, "_SENTENCES", 2)
    parts = TASK.examples(data, labels, tokenizer, 8).features
    assert sizes == [2, 2, 1]
    for name in ("tokens", "lengths", "labels"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name))
    data.columns["tokens"][4] = ["abcdefghijkl"]
    with pytest.raises(ValueError, match="row 5: the word 'abcdefghijkl' alone has 12"):
        TASK.examples(data, labels, tokenizer, 8)


def test_a_long_sentence_is_cut_between_words_into_full_rows():
    begins = np.arange(0, 3_000, 3)
    assert module._stretches(begins, 3_000, 10) == [
        (start, min(start + 9, 3_000)) for start in range(0, 3_000, 9)
    ]


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        ([["a"], ["b", "c"]], [["O"], ["O"]], "row 2: there are 2 words and 1 tags"),
        (["a b"], ["O O"], "must be lists"),
        ([["a", None]], [["O", "O"]], "row 1: a word must be text .* got None and 'O'"),
        ([["a", "b"]], [["O", None]], "row 1: a word must be text .* got 'b' and None"),
        ([[], []], [[], []], "has no words: every sentence is empty"),
        ([["a"], ["b"]], [["O"], ["B-Z"]], "row 2: the label 'B-Z' is none of the model's"),
        ([["a"], ["abcdefghijkl"]], [["O"], ["O"]], "row 2: the word 'abcdefghijkl' alone has 12"),
    ],
)
def test_wrong_rows(tokenizer, words, tags, message):
    labels = TASK.learn(table([["a", "b"]], [["O", "B-X"]]))
    with pytest.raises(ValueError, match=message):
        TASK.examples(table(words, tags), labels, tokenizer, 8)
