"""The shared layer against the Rust library's own truncation, padding and special tokens."""

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast

LETTERS = [chr(97 + i) for i in range(20)]
VOCAB = {
    t: i for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, "##a"])
}
OURS = [DistilBertTokenizer(VOCAB), DistilBertTokenizerFast(VOCAB)]
FIELDS = {
    "input_ids": "ids",
    "attention_mask": "attention_mask",
    "token_type_ids": "type_ids",
    "special_tokens_mask": "special_tokens_mask",
    "offset_mapping": "offsets",
}
texts = st.lists(st.sampled_from([*LETTERS, "aa", "zz", "[MASK]", "é", ","]), max_size=9)


@pytest.fixture(scope="module")
def rust(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("rust")
    OURS[0].save_pretrained(folder)
    return Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_every_option_gives_what_the_rust_library_gives(rust: Tokenizer, data: st.DataObject):
    pair = data.draw(st.booleans())
    batch = data.draw(st.lists(st.tuples(texts, texts), min_size=1, max_size=3))
    split = data.draw(st.booleans())
    framed = data.draw(st.booleans())
    strategies = ["longest_first", "only_first"] + ["only_second"] * pair
    truncation = data.draw(st.sampled_from([False, *strategies]))
    max_length = data.draw(st.integers(4 if pair else 3, 12))
    stride = data.draw(st.integers(0, 3)) if truncation else 0
    side = data.draw(st.sampled_from(["left", "right"]))
    padding = data.draw(st.sampled_from([False, "longest", "max_length"]))
    padding_side = data.draw(st.sampled_from(["left", "right"]))
    multiple = data.draw(st.sampled_from([None, 2, 4])) if padding else None
    assume(not (multiple and truncation and max_length % multiple))
    assume(not stride or stride < max_length - 2)  # else ours refuses, the library may panic
    given_texts = [(a, b) if split else (" ".join(a), " ".join(b)) for a, b in batch]

    rust.no_truncation()
    rust.no_padding()
    expected = None
    try:
        if truncation:
            rust.enable_truncation(max_length, stride=stride, strategy=truncation, direction=side)
        if padding:
            rust.enable_padding(
                length=max_length if padding == "max_length" else None,
                direction=padding_side,
                pad_token="[PAD]",
                pad_to_multiple_of=multiple,
            )
        expected = rust.encode_batch(
            given_texts if pair else [a for a, _ in given_texts],
            is_pretokenized=split,
            add_special_tokens=framed,
        )
    except BaseException as error:  # the library panics for a stride that is too long
        if not ("PanicException" in repr(error) or isinstance(error, Exception)):
            raise
    for tokenizer in OURS:

        def call(overflow: bool, tokenizer=tokenizer):
            return tokenizer(
                [a for a, _ in given_texts],
                [b for _, b in given_texts] if pair else None,
                add_special_tokens=framed,
                padding=padding,
                truncation=truncation,
                max_length=max_length,
                stride=stride,
                is_split_into_words=split,
                pad_to_multiple_of=multiple,
                padding_side=padding_side,
                truncation_side=side,
                return_token_type_ids=True,
                return_special_tokens_mask=True,
                return_offsets_mapping=True,
                return_overflowing_tokens=overflow,
            )

        if expected is None:
            with pytest.raises(ValueError, match=r"stride|cannot make the pair fit|no room"):
                call(overflow=True)
            continue
        rows = [row for e in expected for row in [e, *e.overflowing]]
        if truncation and any(len(row.ids) > max_length for row in rows):
            with pytest.raises(ValueError, match="no room"):
                call(overflow=True)
        else:
            compare(call(overflow=True), rows)
        main = call(overflow=False)
        if padding != "longest":
            compare(main, expected)
        else:
            assert len({len(row) for row in main.input_ids}) == 1


def compare(encoding, rows):
    for name, field in FIELDS.items():
        assert encoding[name] == [getattr(row, field) for row in rows]
    for i, row in enumerate(rows):
        assert encoding.tokens(i) == row.tokens
        assert encoding.word_ids(i) == row.word_ids
        assert encoding.sequence_ids(i) == row.sequence_ids
        for token in range(len(row.ids)):
            assert encoding.token_to_word(i, token) == row.token_to_word(token)
            assert encoding.token_to_chars(i, token) == row.token_to_chars(token)
            assert encoding.token_to_sequence(i, token) == row.token_to_sequence(token)
        for sequence in range(row.n_sequences):
            for at in range(8):
                ours = encoding.char_to_token(i, at, sequence)
                assert ours == row.char_to_token(at, sequence)
                assert encoding.char_to_word(i, at, sequence) == row.char_to_word(at, sequence)
                assert encoding.word_to_tokens(i, at, sequence) == row.word_to_tokens(at, sequence)
                assert encoding.word_to_chars(i, at, sequence) == row.word_to_chars(at, sequence)
