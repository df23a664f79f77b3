"""Every way to call a tokenizer, the shapes it returns, and what it refuses."""

import logging

import numpy as np
import pytest
import torch

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast


@pytest.fixture(params=[DistilBertTokenizer, DistilBertTokenizerFast])
def tokenizer(request, tiny_vocab):
    return request.param(tiny_vocab)


def spell(tokenizer, ids):
    return " ".join(tokenizer.convert_ids_to_tokens(ids))


def test_token_type_ids_only_when_asked_for(tokenizer):
    assert tokenizer.model_input_names == ["input_ids", "attention_mask"]
    assert list(tokenizer("a", "b")) == ["input_ids", "attention_mask"]
    assert tokenizer("a", "b", return_token_type_ids=True).token_type_ids == [0, 0, 0, 1, 1]
    assert list(tokenizer("a", return_attention_mask=False)) == ["input_ids"]


def test_one_text_is_flat_and_a_batch_is_not(tokenizer):
    one, batch = tokenizer("a b"), tokenizer(["a b"])
    assert batch.input_ids == [one.input_ids]
    assert tokenizer(("a b",)).input_ids == batch.input_ids
    assert tokenizer("a b", return_length=True).length == [4]
    overflowing = tokenizer("a b c", truncation=True, max_length=4, return_overflowing_tokens=True)
    assert len(overflowing.input_ids) == 2
    assert overflowing.overflow_to_sample_mapping == [0, 0]


def test_pairs_in_every_spelling(tokenizer):
    expected = tokenizer(["a", "b"], ["c", "d"]).input_ids
    assert tokenizer([("a", "c"), ("b", "d")]).input_ids == expected
    assert tokenizer.batch_encode_plus([("a", "c"), ["b", "d"]]).input_ids == expected
    assert tokenizer.encode("a", "c") == expected[0]
    assert tokenizer.encode_plus("a", text_pair="c").input_ids == expected[0]
    mixed = tokenizer([("a", "c"), "b"]).input_ids
    assert mixed == [expected[0], tokenizer.encode("b")]
    split = tokenizer([["a"], ["b"]], [["c"], ["d"]], is_split_into_words=True)
    assert split.input_ids == expected
    split = tokenizer.batch_encode_plus([(["a"], ["c"]), (["b"], ["d"])], is_split_into_words=True)
    assert split.input_ids == expected


def test_words(tokenizer):
    one = tokenizer(["the", "smaller", ""], is_split_into_words=True)
    assert one.word_ids() == [None, 0, 1, 1, None]
    assert tokenizer([[], ["a"]], is_split_into_words=True).input_ids == [
        tokenizer.encode(""),
        tokenizer.encode("a"),
    ]
    assert spell(tokenizer, tokenizer([], is_split_into_words=True).input_ids) == "[CLS] [SEP]"


def test_an_empty_batch_is_empty(tokenizer):
    assert dict(tokenizer([])) == {"input_ids": [], "attention_mask": []}
    assert dict(tokenizer([], padding=True, truncation=True, max_length=4)) == {
        "input_ids": [],
        "attention_mask": [],
    }


def test_ids_and_tokens_go_to_prepare_for_model(tokenizer):
    ids = tokenizer.encode("the smaller")
    tokens = tokenizer.tokenize("the smaller")
    assert tokenizer.encode(tokens) == ids
    assert tokenizer.encode(tokenizer.convert_tokens_to_ids(tokens)) == ids
    assert tokenizer.encode_plus(ids[1:-1], return_tensors="np").input_ids.shape == (1, 5)
    assert tokenizer.prepare_for_model(ids[1:-1]).input_ids == ids


def test_tokenize(tokenizer):
    assert tokenizer.tokenize("The smaller!") == ["the", "small", "##er", "!"]
    assert tokenizer.tokenize("a", "b") == ["a", "b"]
    assert tokenizer.tokenize("a", add_special_tokens=True) == ["[CLS]", "a", "[SEP]"]
    assert tokenizer.tokenize("a [MASK] 😀") == ["a", "[MASK]", "[UNK]"]


def test_ids_alone(tokenizer):
    assert tokenizer.encode("a", add_special_tokens=False) == [tokenizer.convert_tokens_to_ids("a")]
    assert isinstance(tokenizer.encode("a", return_tensors="pt"), torch.Tensor)
    assert tokenizer.encode("a b c", max_length=4, truncation=True)[-1] == tokenizer.sep_token_id


def test_padding_to_model_max_length(tiny_vocab):
    tokenizer = DistilBertTokenizerFast(tiny_vocab, model_max_length=6)
    assert len(tokenizer("a", padding="max_length").input_ids) == 6
    assert len(tokenizer("a " * 9, truncation=True).input_ids) == 6
    assert tokenizer.max_len_single_sentence == 4
    assert tokenizer.max_len_sentences_pair == 3


def test_warnings_come_once(tiny_vocab, caplog):
    with caplog.at_level(logging.WARNING, "distilbert"):
        tokenizer = DistilBertTokenizerFast(tiny_vocab, model_max_length=4)
        tokenizer("a b c", verbose=False)
        assert not caplog.records
        tokenizer("a b c d e")
        tokenizer("a b c d e")
        [record] = caplog.records
        assert "7 tokens is longer than the model takes (4)" in record.getMessage()
        caplog.clear()
        assert len(tokenizer("a b c", max_length=4).input_ids) == 4
        tokenizer("a b c", max_length=4)
        [record] = caplog.records
        assert "without truncation" in record.getMessage()
        caplog.clear()
        unbounded = DistilBertTokenizerFast(tiny_vocab)
        assert len(unbounded("a b c", padding="max_length", truncation=True).input_ids) == 5
        [record] = caplog.records
        assert "no model_max_length" in record.getMessage()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"padding": "longer"}, "'do_not_pad', 'longest', 'max_length'"),
        ({"truncation": "first"}, "'longest_first', 'only_first', 'only_second'"),
        ({"padding_side": "top"}, "'left', 'right'"),
        ({"truncation_side": "top"}, "'left', 'right'"),
        ({"return_tensors": "xx"}, "'np', 'pt', 'tf'"),
        ({"truncation": True, "max_length": 1}, "too small"),
        ({"truncation": True, "max_length": 0}, "at least 1"),
        ({"stride": -1}, "stride=-1 must be at least 0"),
        ({"pad_to_multiple_of": 0}, "at least 1"),
        ({"truncation": True, "max_length": 5, "stride": 3}, "stride=3 must be smaller"),
        (
            {"truncation": True, "padding": True, "max_length": 5, "pad_to_multiple_of": 4},
            "not a multiple",
        ),
        ({"truncation": "only_second", "max_length": 4}, "needs a second text"),
    ],
)
def test_impossible_options(tokenizer, kwargs, message):
    with pytest.raises(ValueError, match=message):
        tokenizer("a b c d", **kwargs)


def test_wrong_calls(tokenizer):
    with pytest.raises(TypeError, match="unexpected keyword"):
        tokenizer("a", paddding=True)
    with pytest.raises(TypeError, match="must be an integer"):
        tokenizer("a", max_length=3.5, truncation=True)
    with pytest.raises(ValueError, match="2 texts and text_pair has 1"):
        tokenizer(["a", "b"], ["c"])
    with pytest.raises(TypeError, match="as many texts"):
        tokenizer(["a", "b"], "c")
    with pytest.raises(ValueError, match="one text, so"):
        tokenizer("a", ["c"])
    with pytest.raises(ValueError, match="a list of 3"):
        tokenizer([("a", "b", "c")])
    with pytest.raises(ValueError, match="cannot make the pair fit"):
        tokenizer("a b", "a b c d e", truncation="only_first", max_length=6)
    with pytest.raises(ValueError, match="no room at all"):
        tokenizer("a b", truncation=True, max_length=2, return_overflowing_tokens=True)
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="needs a pad token"):
        tokenizer("a", padding=True)


def test_the_tokenizer_is_true_and_has_a_length(tokenizer, tiny_vocab):
    assert tokenizer
    assert len(tokenizer) == tokenizer.vocab_size == len(tiny_vocab)
    assert type(tokenizer).__name__ in repr(tokenizer)
    assert tokenizer.is_fast is isinstance(tokenizer, DistilBertTokenizerFast)


def test_numpy_strings_are_strings(tokenizer):
    assert tokenizer([np.str_("a")]).input_ids == tokenizer(["a"]).input_ids
