"""WordPiece and the file of its vocabulary."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models

from distilbert.tokenization.wordpiece import WordpieceTokenizer, load_vocab

VOCAB = {
    token: index
    for index, token in enumerate(
        ["[UNK]", "want", "##want", "##ed", "wa", "un", "runn", "##ing", "a", "##a", "##aa", "##"]
    )
}


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("unwanted running", ["un", "##want", "##ed", "runn", "##ing"]),
        ("unwantedX running", ["[UNK]", "runn", "##ing"]),
        ("aaaa", ["a", "##aa", "##a"]),
        ("\u3000want\xa0un ", ["want", "un"]),
    ],
)
def test_examples(text, tokens):
    assert WordpieceTokenizer(VOCAB, "[UNK]").tokenize(text) == tokens


def test_longer_words_are_unknown():
    assert WordpieceTokenizer(VOCAB, "?").tokenize("a" * 101) == ["?"]
    assert len(WordpieceTokenizer(VOCAB, "?").tokenize("a" * 100)) == 51
    assert WordpieceTokenizer(VOCAB, "?", 3).tokenize("aaaa want aaa") == ["?", "?", "a", "##aa"]


def test_what_is_no_text_is_an_error():
    with pytest.raises(TypeError, match="not int: 3"):
        WordpieceTokenizer(VOCAB, "[UNK]").tokenize(3)


@settings(deadline=None, derandomize=True)
@given(st.sets(st.text("ab#", min_size=1, max_size=4), max_size=20), st.text("ab#", min_size=1))
def test_the_pieces_are_those_of_the_rust_library(tokens, word):
    vocab = {token: index for index, token in enumerate(["?", *sorted(tokens)])}
    rust = models.WordPiece(vocab, unk_token="?")
    expected = [token.value for token in rust.tokenize(word)]
    assert WordpieceTokenizer(vocab, "?").tokenize(word) == expected


class TestLoadVocab:
    @pytest.mark.parametrize(
        "content",
        [
            "a\nb\nc\n",
            "a\nb\nc",
            "a\r\nb\r\n",
            "a\n\nb\n",
            "a \nb\t\n\u3000c\xa0\u3000\n",
            "a\n\x1c\nb\x0b\nc\x85d\ne\u2028f\n",
        ],
    )
    def test_the_ids_are_those_of_the_rust_library(self, tmp_path, content):
        path = tmp_path / "vocab.txt"
        path.write_bytes(content.encode())
        vocab = load_vocab(path)
        assert vocab == load_vocab(str(path)) == models.WordPiece.read_file(str(path))
        assert list(vocab.values()) == list(range(len(vocab)))

    def test_a_byte_order_mark_is_no_part_of_the_first_token(self, tmp_path):
        path = tmp_path / "vocab.txt"
        path.write_bytes("\ufeff[PAD]\n\ufeffa\n".encode())
        assert load_vocab(path) == {"[PAD]": 0, "\ufeffa": 1}

    def test_no_such_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"vocab\.txt: give the path"):
            load_vocab(tmp_path / "vocab.txt")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"a\nb\xff\n", r"vocab\.txt is not UTF-8 text: byte 0xFF in line 2"),
            (b"\x80\x02", "is not UTF-8"),
            (b"a\nb\na\n", r"'a' twice, in lines 1 and 3.*\[unused2\]"),
            (b"a\n\n \n", "'' twice, in lines 2 and 3"),
        ],
    )
    def test_a_file_that_is_no_vocabulary(self, tmp_path, content, message):
        path = tmp_path / "vocab.txt"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            load_vocab(path)

    @pytest.mark.parametrize("name", ["uncased", "cased", "chinese", "multilingual-cased"])
    def test_the_canonical_vocabularies(self, shared_data, name):
        path = shared_data / f"vocab/bert-base-{name}-vocab.txt"
        vocab = load_vocab(path)
        assert vocab == models.WordPiece.read_file(str(path))
        assert vocab["[PAD]"] == 0
