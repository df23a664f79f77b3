"""Every way to call a tokenizer, the shapes it returns, and what it refuses."""

import copy
import gc
import logging
import pickle
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tokenizers import AddedToken

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


def test_encode_has_its_arguments_in_the_order_of_transformers(tokenizer):
    ids = tokenizer.encode("a", None, True, "max_length", True, 5, 0, "left", "np")
    assert ids.tolist() == [[0, 0, *tokenizer.encode("a")]]


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


def test_tokenize_cuts_a_text_once(tiny_vocab, monkeypatch):
    """For ids alone the Rust library tracks no tokens, and they would be cut again."""
    tokenizer = DistilBertTokenizerFast(tiny_vocab)
    asked, engine = [], type(tokenizer._engine)
    cut = engine.encode_batch
    monkeypatch.setattr(engine, "encode_batch", lambda *a: asked.append(a[2]) or cut(*a))
    assert tokenizer.tokenize("smaller") == ["small", "##er"]
    assert tokenizer.tokenize("smaller", return_offsets_mapping=False) == ["small", "##er"]
    tokenizer("smaller")
    assert asked == [True, True, False]


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
        ({"padding": "longer"}, "do_not_pad, longest, max_length"),
        ({"truncation": "first"}, "longest_first, only_first, only_second"),
        ({"padding_side": "top"}, "left, right"),
        ({"truncation_side": "top"}, "left, right"),
        ({"return_tensors": "xx"}, "np, pt, tf"),
        ({"truncation": True, "max_length": 1}, "too small"),
        ({"truncation": True, "max_length": 0}, "at least 1"),
        ({"stride": -1}, "stride must be at least 0, got -1"),
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
    with pytest.raises(TypeError, match='say padding="max_length"'):
        tokenizer.encode("a", max_length=4, pad_to_max_length=True)
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


def test_numpy_integers_are_integers(tokenizer):
    options = {"truncation": True, "return_overflowing_tokens": True}
    expected = tokenizer("a b c d", max_length=4, stride=1, **options)
    assert tokenizer("a b c d", max_length=np.int64(4), stride=np.int8(1), **options) == expected
    padded = tokenizer("a", padding=True, pad_to_multiple_of=np.int32(4))
    assert len(padded.input_ids) == 4


def test_tokenize_takes_one_text(tokenizer):
    with pytest.raises(TypeError, match="takes one text"):
        tokenizer.tokenize(["a", "b"])
    assert tokenizer.tokenize(["a", "b"], is_split_into_words=True) == ["a", "b"]


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"do_lower_case": "False"}, TypeError, "do_lower_case must be of type bool, not 'False'"),
        ({"strip_accents": 1}, TypeError, "strip_accents must be of type bool"),
        (
            {"tokenize_chinese_chars": "no"},
            TypeError,
            "chinese_chars must be of type bool",
        ),
        ({"sep_token": 3}, TypeError, "sep_token must be a string or an AddedToken, not 3"),
        ({"unk_token": None}, TypeError, "unk_token must be of type str, not None"),
        ({"model_max_length": -1}, ValueError, "must be at least 1"),
        ({"model_max_length": "x"}, TypeError, "model_max_length must be an integer, got 'x'"),
        ({"padding_side": "top"}, ValueError, "padding_side must be one of left, right; got 'top'"),
        (
            {"truncation_side": None},
            ValueError,
            "truncation_side must be one of left, right; got None",
        ),
        ({"model_input_names": "ids"}, TypeError, "model_input_names must be a list of strings"),
        ({"split_special_tokens": 1}, TypeError, "split_special_tokens must be true or false"),
        ({"additional_special_tokens": [3]}, TypeError, "strings or AddedTokens"),
        ({"additional_special_tokens": "abc"}, TypeError, "a list of tokens, .* not 'abc'"),
        ({"extra_special_tokens": "abc"}, TypeError, "extra_special_tokens must be a list"),
        ({"extra_special_tokens": 3}, TypeError, "a list of tokens, .* not 3"),
    ],
)
@pytest.mark.parametrize("cls", [DistilBertTokenizer, DistilBertTokenizerFast])
def test_arguments_of_the_wrong_type(tiny_vocab, cls, kwargs, error, message):
    with pytest.raises(error, match=message):
        cls(tiny_vocab, **kwargs)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("padding_side", "bad", ValueError),
        ("truncation_side", "bad", ValueError),
        ("model_max_length", "x", TypeError),
        ("model_max_length", 0, ValueError),
        ("model_input_names", "input_ids", TypeError),
        ("split_special_tokens", "yes", TypeError),
    ],
)
def test_attributes_are_checked_when_they_are_set(tokenizer, name, value, error):
    before = getattr(tokenizer, name)
    with pytest.raises(error, match=name):
        setattr(tokenizer, name, value)
    assert getattr(tokenizer, name) == before


def test_a_length_may_be_a_float_and_none_is_any(tokenizer):
    tokenizer.model_max_length = 512.0
    assert (tokenizer.model_max_length, type(tokenizer.model_max_length)) == (512, int)
    for unbounded in (None, 1e30, float("inf")):
        tokenizer.model_max_length = unbounded
        assert tokenizer.model_max_length == int(1e30)


def test_special_tokens_in_a_text_may_be_cut_like_the_rest_of_it(tokenizer):
    tokenizer.add_tokens(["new token"])
    text, spelt = "a [MASK]new token", ["[", "m", "##a", "##s", "##k", "]", "new token"]
    assert tokenizer.tokenize(text) == ["a", "[MASK]", "new token"]
    assert tokenizer.tokenize(text, split_special_tokens=True) == ["a", *spelt]
    words = tokenizer(text.split(" ", 1), is_split_into_words=True, split_special_tokens=True)
    assert words.tokens() == ["[CLS]", "a", *spelt, "[SEP]"]
    tokenizer.split_special_tokens = True
    encoding = tokenizer(text)
    tokenizer.add_tokens(["[ma"])  # what was cut stays as it was
    assert encoding.tokens() == ["[CLS]", "a", *spelt, "[SEP]"]
    assert tokenizer.tokenize("[ma [PAD]") == ["[ma", "[", "p", "##a", "##d", "]"]
    assert tokenizer.tokenize(text, split_special_tokens=False) == ["a", "[MASK]", "new token"]
    assert tokenizer.encode_plus(["a"], "[SEP]").input_ids == tokenizer.encode("a", "[SEP]")
    assert pickle.dumps(copy.copy(tokenizer)) == pickle.dumps(tokenizer)


def test_warnings_may_be_silenced(tokenizer, caplog):
    tokenizer.model_max_length = 4
    tokenizer.verbose = False
    tokenizer("a b c d")
    tokenizer.verbose = True
    tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
    tokenizer("a b c d")
    assert not caplog.records
    assert not type(tokenizer)(tokenizer.get_vocab(), verbose=False).verbose


def test_special_tokens_given_to_the_constructor_keep_their_flags(tokenizer, tiny_vocab):
    token = AddedToken("<x>", lstrip=True, special=True, normalized=False)
    tokenizer = type(tokenizer)(tiny_vocab, additional_special_tokens=[token, "<y>"])
    assert tokenizer.additional_special_tokens == ["<x>", "<y>"]
    assert tokenizer("a  <x>b<y>", return_offsets_mapping=True).offset_mapping == [
        *[(0, 0), (0, 1), (1, 6), (6, 7), (7, 10), (0, 0)]
    ]


def test_of_named_special_tokens_the_names_are_none(tokenizer, tiny_vocab, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    named = {"image_token": "<x>"}
    for made in (
        type(tokenizer)(tiny_vocab, extra_special_tokens=named),
        type(tokenizer).from_pretrained(tmp_path, additional_special_tokens=named),
    ):
        assert made.additional_special_tokens == ["<x>"]
        assert "image_token" not in made.get_vocab()
        made.extra_special_tokens = {"first_token": "a"}
        assert made.extra_special_tokens == ["a"]
        with pytest.raises(TypeError, match="a list of tokens"):
            made.additional_special_tokens = "a"


@pytest.mark.parametrize("held", [set, iter, lambda tokens: dict.fromkeys(tokens).keys()])
def test_special_tokens_in_whatever_holds_them(tokenizer, held):
    tokenizer.add_special_tokens({"additional_special_tokens": held(["<x>"])})
    assert tokenizer.additional_special_tokens == ["<x>"]


def test_words_never_split_are_a_list(tiny_vocab):
    with pytest.raises(TypeError, match="a list of words, not 'the'"):
        DistilBertTokenizer(tiny_vocab, never_split="the")


def test_one_tokenizer_in_many_threads(tokenizer):
    texts = [f"the smaller{'er' * i} model, {i}" for i in range(200)]
    expected = tokenizer(texts, return_offsets_mapping=True).offset_mapping
    tokenizer = type(tokenizer)(tokenizer.get_vocab())
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda text: tokenizer(text, return_offsets_mapping=True), texts)
        assert [encoding.offset_mapping for encoding in found] == expected


def test_the_rows_of_a_long_text_share_what_is_looked_up(tokenizer):
    start = time.process_time()
    options = {"truncation": True, "max_length": 66, "return_overflowing_tokens": True}
    encoding = tokenizer("the " * 60_000, return_offsets_mapping=True, **options)
    assert len(encoding.input_ids) == 938
    assert encoding.char_to_token(900, 900 * 64 * 4) == 1
    assert [encoding.token_to_word(900, i) for i in range(1, 65)][-1] == 901 * 64 - 1
    assert time.process_time() - start < 5  # a tenth of that; a list for each row was 10 s


@pytest.mark.parametrize("cls", [DistilBertTokenizer, DistilBertTokenizerFast])
def test_a_subclass_may_have_defaults_of_its_own(cls, tiny_vocab):
    class Mine(cls):
        model_max_length = 3
        padding_side = "left"
        model_input_names = ("input_ids",)

        def __init__(self, *args, **kwargs):
            assert not hasattr(self, "truncation_side")
            super().__init__(*args, **kwargs)

    tokenizer = Mine(tiny_vocab)
    assert tokenizer.model_max_length == 3
    assert dict(tokenizer(["a b", "a"], truncation=True, padding=True)) == {
        "input_ids": [tokenizer("a").input_ids, tokenizer("a").input_ids]
    }
    assert Mine(tiny_vocab, padding_side="right", max_len=5).padding_side == "right"
    assert Mine(tiny_vocab, max_len=5).model_max_length == 5


@pytest.mark.parametrize("cls", [DistilBertTokenizer, DistilBertTokenizerFast])
def test_a_tokenizer_goes_with_its_last_name(cls, tiny_vocab):
    tokenizer = cls(tiny_vocab)
    gone = weakref.ref(tokenizer)
    gc.collect()
    gc.disable()
    try:
        tokenizer.convert_ids_to_tokens(tokenizer("the small").input_ids)
        tokenizer("the small").tokens()
        del tokenizer
        assert gone() is None
    finally:
        gc.enable()
