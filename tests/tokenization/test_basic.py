"""BasicTokenizer: words and punctuation of a text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers, pre_tokenizers

from distilbert.tokenization.basic import BasicTokenizer


@pytest.mark.parametrize(
    ("options", "text", "words"),
    [
        ({}, " \tHeLLo!how  \n Are yoU?  ", ["hello", "!", "how", "are", "you", "?"]),
        ({}, "H\u00e9llo", ["hello"]),
        ({"strip_accents": False}, "H\u00e9llo", ["h\u00e9llo"]),
        ({"do_lower_case": False}, "H\u00e9llo", ["H\u00e9llo"]),
        ({"do_lower_case": False, "strip_accents": True}, "H\u00e9llo", ["Hello"]),
        ({}, "ah\u535a\u63a8zz", ["ah", "\u535a", "\u63a8", "zz"]),
        ({"tokenize_chinese_chars": False}, "ah\u535a\u63a8zz", ["ah\u535a\u63a8zz"]),
        ({"do_split_on_punc": False}, "Don't stop!", ["don't", "stop!"]),
        ({"never_split": ["[UNK]"]}, "HeLLo [UNK] [unk]", ["hello", "[UNK]", "[", "unk", "]"]),
        ({"never_split": ["é!"]}, "É! É", ["e", "!", "e"]),
        ({"never_split": ["a.b"]}, "A.B a.b c.d", ["a.b", "a.b", "c", ".", "d"]),
        ({}, "", []),
        ({}, " \u0301\x00\ufffd\u200d ", []),
    ],
)
def test_examples(options, text, words):
    assert BasicTokenizer(**options).tokenize(text) == words


def test_more_words_not_to_split_for_one_text():
    tokenizer = BasicTokenizer(never_split=["A-B"])
    assert tokenizer.tokenize("A-B C-D", never_split=["C-D"]) == ["A-B", "C-D"]
    assert tokenizer.tokenize("A-B C-D") == ["A-B", "c", "-", "d"]


def test_what_is_no_text_is_an_error():
    with pytest.raises(ValueError, match="lone surrogate"):
        BasicTokenizer().tokenize("\ud800")
    with pytest.raises(TypeError, match="not bytes"):
        BasicTokenizer().tokenize(b"bytes")


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.text(), st.booleans(), st.booleans(), st.sampled_from([None, True, False]))
def test_the_words_are_those_of_the_rust_library(text, lower, chinese, strip):
    normalizer = normalizers.BertNormalizer(True, chinese, strip, lower)
    splitter = pre_tokenizers.BertPreTokenizer()
    expected = [w for w, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))]
    assert BasicTokenizer(lower, None, chinese, strip).tokenize(text) == expected
