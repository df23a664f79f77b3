"""Documents to sequences."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert.distillation import sequences
from distilbert.distillation.sequences import Dropped, Sequences, Shape

IDS = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
DTYPE = np.dtype("<u2")
documents_of_ids = st.lists(st.lists(st.integers(5, 99), max_size=40), max_size=12)


def made(documents, **shape):
    collected = Sequences(Shape(**{"min_length": 0, **shape}), IDS, DTYPE)
    for document in documents:
        collected.add(np.array(document, dtype=DTYPE))
    tokens, lengths = collected.finish()
    assert tokens.dtype == DTYPE
    assert lengths.sum() == len(tokens)
    parts = np.split(tokens, np.cumsum(lengths)[:-1]) if len(lengths) else []
    return [part.tolist() for part in parts], collected.dropped


@settings(max_examples=80, deadline=None)
@given(documents_of_ids, st.integers(3, 30))
def test_split_keeps_every_token_in_order(documents, max_length):
    with mock.patch.object(sequences, "_GATHERED", 100):  # so that some are cut before the end
        rows, dropped = made(documents, max_length=max_length)
    assert dropped == Dropped()
    room = max_length - 2
    expected = [
        [IDS["cls"], *document[i : i + room], IDS["sep"]]
        for document in documents
        for i in range(0, len(document), room)
    ]
    assert rows == expected


@settings(max_examples=80, deadline=None)
@given(documents_of_ids, st.integers(4, 30))
def test_pack_fills_sequences_and_keeps_every_token(documents, max_length):
    rows, _ = made(documents, max_length=max_length, mode="pack")
    flat = []
    for row in rows:
        assert row[0] == IDS["cls"]
        assert row[-1] == IDS["sep"]
        assert len(row) <= max_length
        assert IDS["sep"] not in (row[1], row[-2])  # never two together
        flat += [token for token in row if token > 4]
    assert flat == [token for document in documents for token in document]
    assert all(len(row) >= max_length - 1 for row in rows[:-1])


def test_short_and_unknown_sequences_are_dropped_and_counted():
    unk = IDS["unk"]
    documents = [[5] * 9, [5] * 10, [unk] * 7 + [5] * 5, [unk] * 6 + [5] * 6, [5] * 25]
    rows, dropped = made(documents, max_length=22, min_length=12)
    assert rows == [
        [2, *[5] * 10, 3],
        [2, *[unk] * 6, *[5] * 6, 3],
        [2, *[5] * 20, 3],
    ]
    assert (dropped.short_sequences, dropped.short_tokens) == (2, 14)
    assert (dropped.unknown_sequences, dropped.unknown_tokens) == (1, 12)
    rows, dropped = made(documents, max_length=512, min_length=12, mode="pack", max_unknown=0.55)
    assert (dropped.unknown_sequences, dropped.unknown_tokens) == (1, 12)
    assert len(rows) == 1


@pytest.mark.parametrize(
    "bad", [{"mode": "x"}, {"max_length": 2}, {"min_length": 513}, {"max_unknown": 0}]
)
def test_bad_shapes(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Shape(**bad)
