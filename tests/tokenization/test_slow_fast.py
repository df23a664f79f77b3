"""The two tokenizers give the same for everything that both have."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast

PIECES = ["the", "small", "smaller", "Ünaffable", "[MASK]", "[mask]", "中国", "don't", "zz", "é"]
PIECES += ["new token", "<x>", "\u200d", "\t", "😀", "e\u0301", "a.b", "[SEP]", "\xa0", ""]
text = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=5).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
words = st.lists(text, max_size=5)


@pytest.fixture(scope="module")
def both(tiny_vocab: dict[str, int]):
    tokenizers = [DistilBertTokenizer(tiny_vocab), DistilBertTokenizerFast(tiny_vocab)]
    for tokenizer in tokenizers:
        tokenizer.add_tokens(["new token", AddedToken("zz", lstrip=True, single_word=True)])
        tokenizer.add_special_tokens({"additional_special_tokens": ["<x>"]})
    return tokenizers


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_every_output_is_the_same(both, data: st.DataObject):
    split = data.draw(st.booleans())
    kind = words if split else text
    first = data.draw(st.lists(kind, min_size=1, max_size=3))
    pairs = st.lists(kind, min_size=len(first), max_size=len(first))
    second = data.draw(st.one_of(st.none(), pairs))
    options = {
        "add_special_tokens": data.draw(st.booleans()),
        "padding": data.draw(st.sampled_from([False, True, "max_length"])),
        "truncation": data.draw(
            st.sampled_from([False, True, "only_first"] + ["only_second"] * (second is not None))
        ),
        "max_length": data.draw(st.integers(3, 14)),
        "stride": data.draw(st.integers(0, 2)),
        "padding_side": data.draw(st.sampled_from(["left", "right"])),
        "truncation_side": data.draw(st.sampled_from(["left", "right"])),
        "return_overflowing_tokens": data.draw(st.booleans()),
        "split_special_tokens": data.draw(st.booleans()),
    }
    outcomes = []
    for tokenizer in both:
        try:
            encoding = tokenizer(
                first,
                second,
                is_split_into_words=split,
                return_token_type_ids=True,
                return_special_tokens_mask=True,
                return_offsets_mapping=True,
                return_length=True,
                **options,
            )
        except ValueError as error:
            outcomes.append(str(error))
            continue
        rows = range(len(encoding["input_ids"]))
        outcomes.append(
            [
                dict(encoding),
                [encoding.tokens(i) for i in rows],
                [encoding.word_ids(i) for i in rows],
                [encoding.sequence_ids(i) for i in rows],
                tokenizer.batch_decode(encoding["input_ids"]),
                tokenizer.batch_decode(encoding["input_ids"], skip_special_tokens=True),
                tokenizer.batch_decode(encoding["input_ids"], clean_up_tokenization_spaces=False),
            ]
        )
    assert outcomes[0] == outcomes[1]


@settings(max_examples=150, deadline=None)
@given(text=text)
def test_single_texts_are_the_same_in_every_spelling(both, text: str):
    slow, fast = both
    assert slow.tokenize(text) == fast.tokenize(text)
    assert slow.encode(text) == fast.encode(text) == fast(text).input_ids == fast([text])[0].ids
    encoding = fast(text)
    assert encoding.tokens() == fast(text, return_offsets_mapping=True).tokens()
    assert len(encoding.word_ids()) == len(encoding.input_ids)


@pytest.mark.parametrize("bad", ["\ud800", "a \udfff b"])
def test_a_lone_surrogate_gets_the_same_clear_error(both, bad: str):
    messages = set()
    for tokenizer in both:
        for call in (
            lambda t=tokenizer: t(bad),
            lambda t=tokenizer: t(["fine", bad]),
            lambda t=tokenizer: t("fine", bad),
            lambda t=tokenizer: t.tokenize(bad),
            lambda t=tokenizer: t.encode(bad),
            lambda t=tokenizer: t([bad], is_split_into_words=True),
        ):
            with pytest.raises(ValueError, match="lone surrogate") as caught:
                call()
            messages.add(str(caught.value))
    assert len(messages) == 1


@pytest.mark.parametrize("bad", [None, 3, b"bytes", 1.5, {"a": 1}, [None], [3], ["a", None]])
def test_what_is_no_text_is_a_type_error(both, bad):
    for tokenizer in both:
        with pytest.raises(TypeError, match="str"):
            tokenizer(bad)


@pytest.mark.parametrize("bad", ["text", [["a"], None], [["a", 3]], [[["a"], ["b"], ["c"]]]])
def test_what_is_no_list_of_words_is_an_error(both, bad):
    for tokenizer in both:
        with pytest.raises((TypeError, ValueError), match=r"str|words"):
            tokenizer(bad, is_split_into_words=True)


def test_an_empty_second_text_is_a_text(both):
    for tokenizer in both:
        assert tokenizer.convert_ids_to_tokens(tokenizer.encode("the", "")) == [
            "[CLS]",
            "the",
            "[SEP]",
            "[SEP]",
        ]


def test_one_word_of_a_megabyte(both):
    for tokenizer in both:
        assert tokenizer("a" * 1_000_000).tokens() == ["[CLS]", "[UNK]", "[SEP]"]


def test_real_text(both, shared_data):
    from pyarrow import parquet

    vocab = shared_data / "vocab" / "bert-base-uncased-vocab.txt"
    table = parquet.read_table(shared_data / "sst2" / "dev.parquet")
    texts = table.column("sentence").to_pylist()[:300]
    slow, fast = DistilBertTokenizer(vocab), DistilBertTokenizerFast(vocab)
    a = slow(texts, padding=True, return_offsets_mapping=True)
    b = fast(texts, padding=True, return_offsets_mapping=True)
    assert dict(a) == dict(b)
    assert slow.batch_decode(a.input_ids) == fast.batch_decode(b.input_ids)


def test_the_parts_of_the_slow_one(tiny_vocab):
    tokenizer = DistilBertTokenizer(
        tiny_vocab, do_lower_case=False, never_split=["a.b"], max_input_chars_per_word=8
    )
    tokenizer.add_tokens("new token")
    words = tokenizer.basic_tokenizer.tokenize("a.b the small!")
    assert words == ["a.b", "the", "small", "!"]
    pieces = tokenizer.wordpiece_tokenizer.tokenize("smaller unaffable")
    assert pieces == tokenizer.tokenize("smaller unaffable") == ["small", "##er", "[UNK]"]
    assert {token: index for index, token in tokenizer.ids_to_tokens.items()} == tiny_vocab
    assert pickle.loads(pickle.dumps(tokenizer)).ids_to_tokens == tokenizer.ids_to_tokens
    for options in ({"do_basic_tokenize": False}, {"clean_text": False}):
        with pytest.raises(AttributeError, match="there is no basic_tokenizer"):
            _ = DistilBertTokenizer(tiny_vocab, **options).basic_tokenizer
    with pytest.raises(AttributeError, match="'#' there is no wordpiece_tokenizer"):
        _ = DistilBertTokenizer(tiny_vocab, continuing_subword_prefix="#").wordpiece_tokenizer
