"""Rows of ids: as the tokenizer makes them, cut only where said, batched without loss."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert import DistilBertTokenizer
from distilbert.tasks import features as module
from distilbert.tasks.features import Features, encode

LABELS = np.zeros(3, np.int64)


@pytest.fixture(scope="module")
def tokenizer(tiny_vocab):
    return DistilBertTokenizer(tiny_vocab)


def test_encode(tokenizer):
    texts, seconds = ["the small model", "a b c d e f g", ""], ["models", "h i j k l m n o", "x"]
    for other in (None, seconds):
        rows, cut = encode(tokenizer, texts, other, 0, LABELS)
        expected = tokenizer(texts, other, return_token_type_ids=True)
        assert rows.tokens.tolist() == [i for row in expected["input_ids"] for i in row]
        assert rows.lengths.tolist() == [len(row) for row in expected["input_ids"]]
        assert rows.firsts.tolist() == [row.count(0) for row in expected["token_type_ids"]]
        assert cut == 0


def test_cutting_is_counted(tokenizer):
    texts, seconds = ["the small model", "a b c d e f g"], ["models", "h i j k l m n o"]
    rows, cut = encode(tokenizer, texts, seconds, 8, LABELS)
    expected = tokenizer(texts, seconds, truncation=True, max_length=8)
    assert rows.tokens.tolist() == [i for row in expected["input_ids"] for i in row]
    assert rows.lengths.max() == 8
    assert cut == 2 - (len(tokenizer(texts[0], seconds[0])["input_ids"]) <= 8)


def test_texts_are_encoded_in_parts(tokenizer, monkeypatch):
    texts, seconds = ["the small model", "a b c d e f g", ""], ["models", "h i j k l m n o", "x"]
    whole, cut = encode(tokenizer, texts, seconds, 8, LABELS)
    sizes = []
    flatten = module.flatten
    monkeypatch.setattr(module, "flatten", lambda rows: sizes.append(len(rows)) or flatten(rows))
    monkeypatch.setattr(module, "_ROWS", 2)
    parts, cut_in_parts = encode(tokenizer, texts, seconds, 8, LABELS)
    assert sizes == [2, 1]  # no list of everything
    assert cut_in_parts == cut
    for name in ("tokens", "lengths", "firsts"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name))
    nothing, _ = encode(tokenizer, [], None, 8, LABELS)
    assert nothing.tokens.dtype == np.int32
    assert nothing.lengths.dtype == nothing.firsts.dtype == np.int64


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_batches_hold_the_rows(data):
    rows = data.draw(st.integers(1, 3))
    lengths = data.draw(st.lists(st.integers(1, 9), min_size=rows, max_size=24))
    lengths = np.array(lengths[: len(lengths) // rows * rows])
    count = len(lengths) // rows
    tokens = np.arange(lengths.sum()) + 1
    firsts = np.array([data.draw(st.integers(0, n)) for n in lengths])
    per_token = rows == 1 and data.draw(st.booleans())
    labels = -tokens if per_token else np.arange(count)
    features = Features(tokens, lengths, firsts, labels, 0, rows, per_token)
    assert len(features) == count
    assert features.sizes.sum() == len(tokens)
    chosen = np.array(data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=8)))
    batch = features.batch(chosen)
    ends = np.cumsum(lengths)
    for place, example in enumerate(chosen):
        for row in range(rows):
            i, b = example * rows + row, place * rows + row
            ids = tokens[ends[i] - lengths[i] : ends[i]]
            assert batch.lengths[b] == lengths[i]
            assert batch.input_ids[b].tolist() == [
                *ids,
                *[0] * (len(batch.input_ids[b]) - len(ids)),
            ]
            types = batch.token_type_ids[b]
            assert types[: lengths[i]].tolist() == [int(t >= firsts[i]) for t in range(lengths[i])]
            assert not types[lengths[i] :].any()
            if per_token:
                assert batch.labels[b, : lengths[i]].tolist() == [-t for t in ids]
                assert (batch.labels[b, lengths[i] :] == -100).all()
    if per_token:
        assert tokens[batch.places].tolist() == [
            t for i in chosen for t in tokens[ends[i] - lengths[i] : ends[i]]
        ]
    else:
        assert batch.places.tolist() == chosen.tolist() == batch.labels.tolist()
