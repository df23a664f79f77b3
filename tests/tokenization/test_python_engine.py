"""The pure-Python engine gives the Rust library's answer, whatever the text and the options."""

import copy
import pickle
import time

import pytest
import tokenizers
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from distilbert import DistilBertTokenizer
from distilbert.tokenization import cache
from distilbert.tokenization.characters import SPACES
from distilbert.tokenization.normalization import Normalizer
from distilbert.tokenization.python_engine import PythonEngine
from distilbert.tokenization.spec import Spec

WORDS = ["new", "york", "the", "ab", "abc", "##ab", "##ing", "ss", "i\u0307", "##\u0307"]
SINGLE = "abdeiokστ世界한글ᄒé,!?.[]-\u302e\u302f\U0001d165\u0301\u0334\u1b44👩\u0378"
CONTINUED = [*"abdeiokστé한", "\u1161", "\u11ab", "\u302e", "\u302f", "\u0301", "\U0001d165"]
VOCAB = {
    token: index
    for index, token in enumerate(
        dict.fromkeys(
            ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *SINGLE]
            + [f"##{character}" for character in CONTINUED]
        )
    )
}

# Texts at the edges of each step: spaces, controls, expansion, composition, order of marks.
EDGES = [
    *"abAB,!-_[]É한글世σΣßﬁ \n\t\r",
    *(
        "  ",
        "e\u0301",
        "İ",
        "I\u0307",
        "ΑΣ",
        "\uf900",
        "\U0002f800",
        "\u0378",
        "\ue000",
        "👩‍👩‍👧",
        "🏳️‍🌈",
    ),
    *("\x00", "\x0b", "\x1c", "\x85", "\xa0", "\u2028", "\u3000", "\u200d", "\ufeff", "\ufffd"),
    *("\u0301", "\u0323", "\u0334", "\u0345", "\u0344", "\u302e", "\u302f", "\u1b44", "\u1b3b"),
    *("\u0f71", "\u0f72", "\u0f73", "\U0001109a", "\U000110ba", "\U0001d15e", "\U0001d165"),
    *("the", "NEW  york", "New York", "abc", "abAB", "[MASK]", "[CLS]", " [SEP] ", "[mask]"),
]
TEXTS = st.lists(
    st.sampled_from(EDGES) | st.characters(exclude_categories=["Cs"]), max_size=20
).map("".join)

OPTIONS = st.fixed_dictionaries(
    {
        "clean_text": st.booleans(),
        "tokenize_chinese_chars": st.booleans(),
        "strip_accents": st.sampled_from([None, True, False]),
        "do_lower_case": st.booleans(),
        "max_input_chars_per_word": st.sampled_from([100, 4]),
    }
)

CONTENTS = ["[CLS]", "[MASK]", "new york", "NEW", "É", "ab", "AB", "<t>", "世", "İ", "\u302e", "q "]
ADDED = st.builds(
    AddedToken,
    st.sampled_from(CONTENTS) | TEXTS,
    single_word=st.booleans(),
    lstrip=st.booleans(),
    rstrip=st.booleans(),
    normalized=st.booleans(),
    special=st.booleans(),
)


def make_rust(vocab=VOCAB, **options):
    model = models.WordPiece(
        vocab,
        unk_token="[UNK]",
        max_input_chars_per_word=options.get("max_input_chars_per_word", 100),
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=options.get("clean_text", True),
        handle_chinese_chars=options.get("tokenize_chinese_chars", True),
        strip_accents=options.get("strip_accents"),
        lowercase=options.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def everything(pieces):
    return pieces.ids, pieces.tokens, pieces.offsets, pieces.word_ids


def assert_same(engine, rust, texts):
    expected = rust.encode_batch(texts, add_special_tokens=False)
    for text, ours, theirs in zip(texts, engine.encode_batch(texts), expected, strict=True):
        assert everything(ours) == everything(theirs), ascii(text)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(TEXTS, min_size=1, max_size=4), OPTIONS)
def test_any_text_and_options(texts, options):
    engine, rust = PythonEngine(Spec(VOCAB, **options)), make_rust(**options)
    assert_same(engine, rust, texts)
    assert_same(engine, rust, texts)  # and once more, from the caches
    words = rust.encode(texts, is_pretokenized=True, add_special_tokens=False)
    assert everything(engine.encode_words_batch([texts])[0]) == everything(words)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.lists(st.lists(ADDED, min_size=1, max_size=3), min_size=1, max_size=3),
    st.lists(TEXTS, min_size=1, max_size=4),
    OPTIONS,
)
def test_any_added_tokens(batches, texts, options):
    engine, rust = PythonEngine(Spec(VOCAB, **options)), make_rust(**options)
    written = Normalizer.of(Spec(VOCAB, **options)).normalize
    contents = {token.content for batch in batches for token in batch}
    # The library does not say which of two tokens wins that normalisation makes the same, and its
    # 0.22 remembers the flags that a token had before (test_added_tokens.py has the former).
    assume(len({written(content) for content in contents if content}) == len(contents - {""}))
    if tokenizers.__version__ < "0.23":
        assume(len([token for batch in batches for token in batch]) == len(contents))
    for batch in batches:
        try:
            count = engine.add_tokens(batch)
        except ValueError:  # the library would panic on some text
            continue
        assert count == rust.add_tokens(batch)
    theirs = rust.get_added_tokens_decoder()
    assert list(engine.added_tokens) == sorted(theirs)
    for index, token in engine.added_tokens.items():
        assert str(token) == str(theirs[index])
        assert engine.token_to_id(token.content) == index
        assert engine.id_to_token(index) == token.content
    contents = sorted(contents)
    texts += [f"{text}{content}  {text}" for text in texts for content in contents]
    assert_same(engine, rust, texts)
    words = rust.encode(texts, is_pretokenized=True, add_special_tokens=False)
    assert everything(engine.encode_words_batch([texts])[0]) == everything(words)


@pytest.mark.parametrize(
    ("text", "tokens", "offsets"),
    [
        ("", [], []),
        (" \n\u0301\x00", [], []),
        ("İ", ["i"], [(0, 1)]),  # a dot above, stripped
        ("e\u0301k", ["e", "##k"], [(0, 1), (2, 3)]),
        ("\x00a\u200db", ["ab"], [(1, 4)]),  # what cleaning removes lies inside
        ("世ab", ["世", "ab"], [(0, 1), (1, 3)]),
        ("\u302e\u0323", ["\u302e"], [(1, 2)]),  # a mark counts where sorting puts it
        ("ab[MASK]!", ["ab", "[", "[UNK]", "]", "!"], [(0, 2), (2, 3), (3, 7), (7, 8), (8, 9)]),
    ],
)
def test_examples(text, tokens, offsets):
    engine = PythonEngine(Spec(VOCAB))
    [pieces] = engine.encode_batch([text])
    assert pieces.tokens == tokens
    assert pieces.offsets == offsets
    assert_same(engine, make_rust(), [text])


@pytest.mark.parametrize(
    ("vocab", "batches"),
    [
        ({"[UNK]": 0, "b": 7}, [["z", "b", "y"], ["x"]]),
        ({"[UNK]": 0, "b": 2}, [["z", "b", "y", "b"], ["x", "z"]]),
        ({"[UNK]": 0, "b": 7}, [["b"], ["z", "b", "y"]]),
        ({"[UNK]": 0}, [["", "z", "z"], ["z"]]),
    ],
)
def test_ids_of_added_tokens_where_the_vocabulary_has_gaps(vocab, batches):
    engine, rust = PythonEngine(Spec(vocab)), make_rust(vocab)
    for batch in batches:
        tokens = [AddedToken(content) for content in batch]
        assert engine.add_tokens(tokens) == rust.add_tokens(tokens)
        assert [engine.token_to_id(c) for c in batch] == [rust.token_to_id(c) for c in batch]
        theirs = rust.get_added_tokens_decoder()
        assert {i: t.content for i, t in engine.added_tokens.items()} == {
            i: t.content for i, t in theirs.items()
        }


def test_tokens_and_ids():
    engine = PythonEngine(Spec(VOCAB))
    assert engine.vocab == VOCAB
    assert engine.token_to_id("ab") == VOCAB["ab"]
    assert engine.id_to_token(VOCAB["ab"]) == "ab"
    assert engine.token_to_id("absent") is None
    assert engine.id_to_token(10**6) is None


@pytest.mark.parametrize(
    ("options", "text", "tokens"),
    [
        ({"never_split": ("a.b",)}, "A.B ab.b", ["a.b", "ab", ".", "b"]),
        # transformers lower-cases first, so this one is never found
        ({"never_split": ("A.B",)}, "A.B", ["a", ".", "b"]),
        ({"never_split": ("A.B",), "do_lower_case": False}, "A.B", ["A.B"]),
        ({"never_split": ("é",)}, "É é, e", ["é", "e", ",", "e"]),
        ({"do_basic_tokenize": False}, "ab, a,\u3000the\x00", ["[UNK]", "[UNK]", "[UNK]"]),
        ({"do_basic_tokenize": False}, "abing\tAb é", ["ab", "##ing", "[UNK]", "é"]),
    ],
)
def test_what_rust_does_not_know(options, text, tokens):
    engine = PythonEngine(Spec(VOCAB, **options))
    for _ in range(2):
        [pieces] = engine.encode_batch([text])
        assert pieces.tokens == tokens
        assert len(pieces.ids) == len(pieces.offsets) == len(pieces.word_ids) == len(tokens)
        unknown = VOCAB["[UNK]"]
        assert pieces.ids == [VOCAB.get(token, unknown) for token in tokens]


def test_offsets_of_words_never_split():
    engine = PythonEngine(Spec(VOCAB, never_split=("a.b",)))
    [pieces] = engine.encode_batch(["\x00A.B 世abing!"])
    assert pieces.offsets == [(1, 4), (5, 6), (6, 8), (8, 11), (11, 12)]
    assert pieces.word_ids == [0, 1, 2, 2, 3]


@pytest.mark.parametrize("bad", ["a\ud800", None, b"a", 1])
def test_what_is_no_text_is_an_error(bad):
    engine = PythonEngine(Spec(VOCAB))
    error = ValueError if isinstance(bad, str) else TypeError
    with pytest.raises(error, match=r"surrogate|must be a str"):
        engine.encode_batch(["fine", bad])
    with pytest.raises(error, match=r"surrogate|must be a str"):
        engine.encode_words_batch([["fine", bad]])


def test_one_text_is_no_list_of_texts():
    with pytest.raises(TypeError, match="wrap it in a list"):
        PythonEngine(Spec(VOCAB)).encode_batch("text")
    with pytest.raises(TypeError, match="split them first"):
        PythonEngine(Spec(VOCAB)).encode_words_batch(["text"])


def test_a_vocabulary_without_the_unknown_token():
    engine = PythonEngine(Spec({"a": 0}))
    assert engine.encode_batch(["a A"])[0].ids == [0, 0]
    with pytest.raises(ValueError, match=r"'b' is not in the vocabulary.*'\[UNK\]'"):
        engine.encode_batch(["a b"])


def test_a_vocabulary_with_an_id_given_twice():
    with pytest.raises(ValueError, match="'a' and 'b' the same id 1"):
        DistilBertTokenizer({"[UNK]": 0, "a": 1, "b": 1})


def test_what_is_no_added_token():
    engine = PythonEngine(Spec(VOCAB))
    with pytest.raises(TypeError, match="takes AddedToken, not str"):
        engine.add_tokens(["token"])
    with pytest.raises(ValueError, match=r"nothing is left of .*normalized=False"):
        engine.add_tokens([AddedToken("fine"), AddedToken("\u0301")])
    assert engine.added_tokens == {}


def test_added_tokens_take_every_whitespace():
    engine, rust = PythonEngine(Spec(VOCAB)), make_rust()
    tokens = [AddedToken("<t>", lstrip=True, rstrip=True, normalized=False)]
    assert engine.add_tokens(tokens) == rust.add_tokens(tokens)
    assert_same(engine, rust, [f"a{space}<t>{space}{space}b" for space in SPACES + "\x1c\u200b"])


def test_many_added_tokens():
    engine, rust = PythonEngine(Spec(VOCAB)), make_rust()
    tokens = [AddedToken(f"<extra {i}>", normalized=i % 2 > 0) for i in range(3000)]
    assert engine.add_tokens(tokens) == rust.add_tokens(tokens) == 3000
    assert_same(engine, rust, ["<extra 1><EXTRA 21> the <extra 299><extra 2999>" * 50])


def test_pieces_keep_their_answer():
    engine = PythonEngine(Spec(VOCAB))
    [before] = engine.encode_batch(["new york"])
    engine.add_tokens([AddedToken("new york")])
    assert before.tokens == ["new", "york"]
    assert before.word_ids == [0, 1]


def test_lists_of_pieces_are_built_once():
    engine = PythonEngine(Spec(VOCAB))
    for pieces in (
        engine.encode_batch(["new abing"])[0],
        engine.encode_words_batch([["new", "abing"]])[0],
    ):
        assert pieces.tokens is pieces.tokens
        assert pieces.offsets is pieces.offsets
        assert pieces.word_ids is pieces.word_ids


def test_copies():
    engine, rust = PythonEngine(Spec(VOCAB, never_split=("a.b",))), make_rust()
    tokens = [AddedToken("New York"), AddedToken("[MASK]", special=True, normalized=False)]
    engine.add_tokens(tokens)
    rust.add_tokens(tokens)
    text = "the new york [MASK]é\u302e\u0301abing"
    [pieces] = engine.encode_batch([text])
    for twin in (pickle.loads(pickle.dumps(engine)), copy.deepcopy(engine)):
        assert_same(twin, rust, [text])
        assert everything(twin.encode_batch([text])[0]) == everything(pieces)


def test_caches_are_bounded(monkeypatch):
    monkeypatch.setattr(cache, "MAX_ENTRIES", 10)
    engine, rust = PythonEngine(Spec(VOCAB)), make_rust()
    texts = [" ".join(f"{a}{b}" for b in "abdeiok") for a in "abdeiok"]
    assert_same(engine, rust, [*texts, "a" * 1000, *texts])
    assert len(engine._chunk_ids) <= 10
    assert all(len(word) <= cache.MAX_KEY_LENGTH for word in engine._words)


@pytest.mark.parametrize(
    "unit", ["a", " ", "!", "\u0301", "\u302e\u0323", "世", "\n", "[", "[MASK", "a ", "é", "👩‍👩‍👧"]
)
def test_a_megabyte_of_anything(unit):
    engine = PythonEngine(Spec(VOCAB))
    engine.add_tokens([AddedToken("[MASK]", lstrip=True, normalized=False), AddedToken("[X]")])
    start = time.process_time()
    [pieces] = engine.encode_batch([unit * (1_000_000 // len(unit.encode()))])
    assert len(pieces.ids) == len(pieces.offsets)
    assert time.process_time() - start < 10  # a tenth of that; quadratic time would be hours


def test_ten_megabytes_of_one_word():
    start = time.process_time()
    [pieces] = PythonEngine(Spec(VOCAB)).encode_batch(["a" * 10_000_000])
    assert pieces.ids == [VOCAB["[UNK]"]]
    assert pieces.offsets == [(0, 10_000_000)]
    assert time.process_time() - start < 20


SPECIAL = [
    AddedToken(content, special=True, normalized=False)
    for content in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
]


@pytest.mark.parametrize(
    ("name", "lower"),
    [("uncased", True), ("cased", False), ("multilingual-cased", False), ("chinese", False)],
)
def test_real_vocabularies_and_torture(shared_data, name, lower):
    parquet = pytest.importorskip("pyarrow.parquet")
    vocab = models.WordPiece.read_file(str(shared_data / f"vocab/bert-base-{name}-vocab.txt"))
    engine = PythonEngine(Spec(vocab, do_lower_case=lower))
    rust = make_rust(vocab, do_lower_case=lower)
    assert engine.add_tokens(SPECIAL) == rust.add_tokens(SPECIAL)

    def column(path, *names, rows=None):
        table = parquet.read_table(shared_data / path)
        return [row for name in names for row in table.column(name).to_pylist()[:rows]]

    assert_same(engine, rust, column("tok_blns/all.parquet", "text"))
    rows = None if lower else 2000
    forms = ("source", "nfd")
    assert_same(engine, rust, column("tok_unicode_normalization/all.parquet", *forms, rows=rows))
    assert_same(engine, rust, column("tok_emoji/all.parquet", "text", rows=rows))
    assert_same(engine, rust, column("text_wikitext2/dev.parquet", "text", rows=500))
    assert_same(engine, rust, column("text_wikipedia_squad/train.parquet", "text", rows=300))
    for words in column("conll2002_es/dev.parquet", "tokens", rows=300):
        theirs = rust.encode(words, is_pretokenized=True, add_special_tokens=False)
        assert everything(engine.encode_words_batch([words])[0]) == everything(theirs)
