"""`BatchEncoding` as a mapping, and the way back from tokens to the text."""

import copy
import logging
import pickle
import sys
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, default_collate

from distilbert import BatchEncoding, DistilBertTokenizer, DistilBertTokenizerFast
from distilbert.tokenization import CharSpan, TokenSpan


@pytest.fixture(params=[DistilBertTokenizer, DistilBertTokenizerFast])
def tokenizer(request, tiny_vocab):
    return request.param(tiny_vocab)


@pytest.fixture
def pairs(tokenizer):
    return tokenizer(["the smaller", "a"], ["models", "unaffable b"], padding=True)


def test_it_is_a_mapping_with_attributes(pairs):
    assert isinstance(pairs, Mapping)
    assert list(pairs) == list(pairs.keys()) == ["input_ids", "attention_mask"]
    assert len(pairs) == 2
    assert pairs.input_ids is pairs["input_ids"] is dict(**pairs)["input_ids"]
    assert "input_ids" in pairs
    assert "labels" not in pairs
    pairs["labels"] = [0, 1]
    assert pairs.labels == [0, 1]
    assert dict(pairs.items())["labels"] == [0, 1]
    with pytest.raises(AttributeError, match="token_type_ids"):
        _ = pairs.token_type_ids
    with pytest.raises(KeyError):
        _ = pairs["token_type_ids"]
    assert not hasattr(pairs, "offset_mapping")


def test_integers_give_rows_and_slices_give_values(pairs):
    row = pairs[1]
    assert row.tokens == pairs.tokens(1)
    assert row.ids == pairs.input_ids[1] == pairs[-1].ids
    assert len(row) == len(row.attention_mask)
    assert pairs[:1] == {key: value[:1] for key, value in pairs.items()}
    with pytest.raises(IndexError, match="row 2 of a batch of 2"):
        _ = pairs[2]
    with pytest.raises(KeyError, match="expected a name"):
        _ = pairs[1.5]
    assert "smaller" not in repr(row)
    assert "##er" in repr(pairs[0])


def test_tokens_words_and_sequences(pairs):
    assert pairs.tokens() == ["[CLS]", "the", "small", "##er", "[SEP]", "model", "##s", "[SEP]"]
    assert pairs.word_ids() == pairs.words() == [None, 0, 1, 1, None, 0, 0, None]
    assert pairs.sequence_ids() == [None, 0, 0, 0, None, 1, 1, None]
    assert pairs.n_sequences == 2
    assert pairs.is_fast
    assert len(pairs.encodings) == 2


def test_looking_up_with_and_without_the_row(pairs):
    assert pairs.token_to_word(3) == pairs.token_to_word(0, 3) == 1
    assert pairs.token_to_sequence(5) == pairs.token_to_sequence(0, 5) == 1
    assert pairs.token_to_chars(3) == pairs.token_to_chars(0, 3) == CharSpan(9, 11)
    assert pairs.token_to_chars(0, 3).start == 9
    assert pairs.word_to_tokens(1) == TokenSpan(2, 4)
    assert pairs.word_to_tokens(0, 0, sequence_index=1) == TokenSpan(5, 7)
    assert pairs.word_to_tokens(0, sequence_index=1).end == 7
    assert pairs.word_to_chars(1) == CharSpan(4, 11)
    assert pairs.word_to_chars(1, 0, 1) == CharSpan(0, 9)
    assert pairs.char_to_token(4) == pairs.char_to_token(0, 4) == 2
    assert pairs.char_to_token(1, 10, sequence_index=1) == pairs.char_to_token(1, 10, 1) == 6
    assert pairs.char_to_word(9) == 1
    assert pairs.char_to_word(1, 10, 1) == 1


def test_negative_indices_count_from_the_end(pairs):
    assert pairs.token_to_word(-2) == pairs.token_to_word(-2, -2) == 0
    assert pairs.token_to_sequence(-1, -2) == 1
    assert pairs.token_to_chars(-1, -2) == CharSpan(10, 11)


def test_what_has_no_answer_is_none(pairs):
    assert pairs.token_to_word(0) is None
    assert pairs.token_to_chars(0) is None
    assert pairs.token_to_sequence(-1) is None
    assert pairs.token_to_chars(99) is None
    assert pairs.char_to_token(3) is None
    assert pairs.char_to_word(3) is None
    assert pairs.char_to_token(0, 99) is None
    assert pairs.word_to_tokens(7) is None
    assert pairs.word_to_chars(7) is None
    assert pairs.word_to_tokens(0, sequence_index=2) is None


def test_left_padding_moves_tokens_not_characters(tokenizer):
    encoding = tokenizer(["the", "the smaller models"], padding=True, padding_side="left")
    assert encoding.char_to_token(0, 0) == encoding.input_ids[0].index(tokenizer.cls_token_id) + 1
    assert encoding.token_to_chars(0, -2) == CharSpan(0, 3)


def test_pickle_and_copies_keep_everything(pairs):
    for other in (pickle.loads(pickle.dumps(pairs)), copy.copy(pairs), copy.deepcopy(pairs)):
        assert dict(other) == dict(pairs)
        assert other.tokens(1) == pairs.tokens(1)
        assert other.word_ids(1) == pairs.word_ids(1)
        assert other.char_to_token(1, 0, 1) == pairs.char_to_token(1, 0, 1)
        assert other[1].special_tokens_mask == pairs[1].special_tokens_mask


def test_without_rows_the_text_is_unknown(tokenizer):
    encoding = tokenizer.pad({"input_ids": [[1, 2], [3]]})
    assert not encoding.is_fast
    assert encoding.n_sequences is None
    assert encoding.encodings is None
    with pytest.raises(ValueError, match="no rows of text"):
        encoding.tokens()
    with pytest.raises(ValueError, match="no rows of text"):
        _ = encoding[0]


@pytest.mark.parametrize(("kind", "cls"), [("np", np.ndarray), ("pt", torch.Tensor)])
def test_tensors(tokenizer, kind, cls):
    plain = tokenizer(["the", "a b"], padding=True, return_offsets_mapping=True, return_length=True)
    encoding = tokenizer(
        ["the", "a b"],
        padding=True,
        return_offsets_mapping=True,
        return_length=True,
        return_tensors=kind,
    )
    for name, value in encoding.items():
        assert isinstance(value, cls)
        assert str(value.dtype).endswith("int64")
        assert value.tolist() == np.asarray(plain[name]).tolist()
    assert plain.convert_to_tensors(kind) is plain
    assert plain.input_ids.shape == (2, 4)
    assert tokenizer("the", return_tensors=kind).input_ids.shape == (1, 3)
    assert tokenizer([], return_tensors=kind).input_ids.shape == (0, 0)
    added = BatchEncoding({"a": [1, 2]}, tensor_type=kind, prepend_batch_axis=True)
    assert added.a.shape == (1, 2)
    assert added.convert_to_tensors(None) is added
    assert added.convert_to_tensors(kind).a.shape == (1, 2)


def test_floats_have_the_type_of_the_framework(tokenizer):
    rows = [{"input_ids": [1], "label": value} for value in (0.5, torch.tensor(0.5), np.float64(1))]
    for row in rows:
        assert tokenizer.pad([row], return_tensors="pt").label.dtype == torch.float32
        assert tokenizer.pad([row], return_tensors="np").label.dtype == np.float64
    assert BatchEncoding({"x": [[0.5]]}, tensor_type="pt").x.dtype == torch.float32
    array = np.array([0.5])
    assert BatchEncoding({"x": array}, tensor_type="pt").x.dtype == torch.float64
    assert BatchEncoding({"x": [array]}, tensor_type="pt").x.dtype == torch.float64
    torch.set_default_dtype(torch.float64)
    try:
        assert BatchEncoding({"x": [0.5]}, tensor_type="pt").x.dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_what_is_empty_has_as_many_dimensions_as_what_is_not(tokenizer):
    options = {"return_length": True, "return_overflowing_tokens": True}
    batch = tokenizer([], return_tensors="np", return_offsets_mapping=True, **options)
    assert batch.input_ids.shape == (0, 0)
    assert batch.offset_mapping.shape == (0, 0, 2)
    assert batch.length.shape == batch.overflow_to_sample_mapping.shape == (0,)
    assert tokenizer([]).convert_to_tensors("pt").input_ids.shape == (0, 0)
    for padding in (True, False):
        padded = tokenizer.pad({"input_ids": []}, padding=padding, return_tensors="pt")
        assert padded.input_ids.shape == padded.attention_mask.shape == (0, 0)
        assert padded.input_ids.dtype == torch.int64


def test_ragged_rows_say_what_to_do(tokenizer):
    with pytest.raises(ValueError, match=r"from 3 to 4.*padding=True.*truncation=True"):
        tokenizer(["the", "a b"], return_tensors="np")
    with pytest.raises(ValueError, match="'labels' does not make a tensor"):
        BatchEncoding({"labels": ["a", "b"]}, tensor_type="np")
    with pytest.raises(ValueError, match="np, pt, tf"):
        tokenizer("the", return_tensors="jax")


@pytest.mark.parametrize(("kind", "module"), [("pt", "torch"), ("tf", "tensorflow")])
def test_a_missing_framework_says_how_to_get_it(tokenizer, monkeypatch, kind, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"pip install {module}"):
        tokenizer("the", return_tensors=kind)


def test_to_moves_tensors_only(pairs, caplog):
    pairs.convert_to_tensors("pt")
    pairs["names"] = ["x", "y"]
    assert pairs.to("meta") is pairs
    assert pairs.input_ids.device.type == "meta"
    assert pairs.names == ["x", "y"]
    with caplog.at_level(logging.WARNING, "distilbert"):
        assert pairs.to(torch.float16).input_ids.dtype == torch.int64
    assert "device" in caplog.text
    assert pairs.to(torch.device("meta")) is pairs


def test_data_loaders_take_it(tokenizer):
    rows = [tokenizer(text, return_tensors="pt") for text in ("the a", "b c")]
    assert default_collate(rows)["input_ids"].shape == (2, 1, 4)
    loader = DataLoader(
        [tokenizer(text) for text in ("the", "a b c", "a")],
        batch_size=3,
        collate_fn=collate(tokenizer),
    )
    [batch] = list(loader)
    assert batch.input_ids.shape == batch.attention_mask.shape == (3, 5)
    rebuilt = type(batch)(dict(batch))
    assert rebuilt.input_ids is batch.input_ids


def collate(tokenizer):
    return lambda rows: tokenizer.pad(rows, return_tensors="pt")


def test_tensors_of_tensorflow(tiny_vocab):
    tf = pytest.importorskip("tensorflow")
    tokenizer = DistilBertTokenizer(tiny_vocab)
    batch = tokenizer(["the small", "a"], padding=True, return_tensors="tf")
    assert batch.input_ids.dtype == tf.int32  # what tf.constant makes of a list
    assert tokenizer.batch_decode(batch.input_ids, True) == ["the small", "a"]
    ragged = {"input_ids": [tf.constant([2, 3]), tf.constant([2, 5, 3])]}
    assert tokenizer.pad(ragged).input_ids.numpy().tolist() == [[2, 3, 0], [2, 5, 3]]
    assert tokenizer([], return_tensors="tf").input_ids.shape == (0, 0)
    assert BatchEncoding({"x": [0.5]}, tensor_type="tf").x.dtype == "float32"
    assert BatchEncoding({"x": np.array([0.5])}, tensor_type="tf").x.dtype == "float64"
    with pytest.raises(ValueError, match="different lengths"):
        tokenizer(["the small", "a"], return_tensors="tf")
