"""Added tokens are the same for both engines; those that the Rust library fails on are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from distilbert.tokenization.python_engine import PythonEngine
from distilbert.tokenization.rust_engine import RustEngine
from distilbert.tokenization.spec import Spec

VOCAB = {"[UNK]": 0, "a": 1, "b": 2, "##a": 3, "##b": 4, "é": 5}
CHARACTERS = [*"aAbeé中 \t", "\u3000", "\u0301"]


def make_both():
    return PythonEngine(Spec(VOCAB)), RustEngine(Spec(VOCAB))


def outcome(call):
    try:
        return call()
    except (TypeError, ValueError) as error:
        return type(error), str(error)


def everything(engine, text, split_special_tokens=False):
    [pieces] = engine.encode_batch([text], split_special_tokens=split_special_tokens)
    return pieces.ids, pieces.tokens, pieces.offsets, pieces.word_ids


words = st.lists(st.sampled_from(CHARACTERS), max_size=3).map("".join)
flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
tokens = st.builds(AddedToken, words, **{flag: st.booleans() for flag in flags})


@settings(deadline=None, max_examples=400)
@given(
    st.lists(st.lists(tokens, min_size=1, max_size=3), min_size=1, max_size=3),
    st.lists(words, max_size=5),
)
def test_any_tokens_alike_and_with_white_space(batches, texts):
    contents = [token.content for batch in batches for token in batch]
    python, rust = make_both()
    for batch in batches:
        counts = [outcome(lambda e=e, b=batch: e.add_tokens(b)) for e in (python, rust)]
        assert counts[0] == counts[1]
    for index, token in python.added_tokens.items():
        assert rust.token_to_id(token.content) == rust.backend().token_to_id(token.content) == index
    assert list(map(repr, python.added_tokens.items())) == list(
        map(repr, rust.added_tokens.items())
    )
    for text in [*texts, *contents, "".join(texts + contents), "".join(contents + texts)]:
        for split in (False, True):
            assert everything(python, text, split) == everything(rust, text, split)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (AddedToken("\u0301"), "nothing is left of .* after normalisation"),
        (AddedToken("\u200b"), "nothing is left of .* after normalisation"),
        (AddedToken(" ", lstrip=True, normalized=False), "is white space"),
        (AddedToken("\t\u0301", lstrip=True), "is white space"),
    ],
)
def test_what_the_library_would_panic_on_is_refused(token, message):
    for engine in make_both():
        with pytest.raises(ValueError, match=message):
            engine.add_tokens([AddedToken("fine"), token])
        assert engine.added_tokens == {}
        assert engine.token_to_id("fine") is None


def test_of_tokens_that_normalise_alike_the_first_is_found_in_any_spelling():
    for _ in range(8):  # the library alone finds either, from one tokenizer to the next
        for engine in make_both():
            engine.add_tokens([AddedToken("Covid"), AddedToken("covid"), AddedToken("COVID")])
            assert everything(engine, "Covid covid COVID cOVID")[0] == [6, 7, 8, 6]
            assert [token.normalized for token in engine.added_tokens.values()] == [True] * 3


def test_an_earlier_id_takes_over():
    for engine in make_both():
        engine.add_tokens([AddedToken("É"), AddedToken("B", normalized=False)])
        assert everything(engine, "É é B b")[0] == [6, 6, 7, 2]
        engine.add_tokens([AddedToken("é"), AddedToken("B")])
        assert everything(engine, "É é e B")[0] == [6, 5, 5, 7]


def test_what_is_no_added_token_is_refused_by_both():
    messages = {str(outcome(lambda e=e: e.add_tokens(["token"]))) for e in make_both()}
    assert len(messages) == 1
    assert "takes AddedToken, not str" in messages.pop()
