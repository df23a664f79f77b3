"""WordPiece: a word is cut into the longest pieces the vocabulary has, from left to right."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from distilbert.tokenization.characters import SPACES
from distilbert.tokenization.splitting import word_pattern
from distilbert.tokenization.text import check_text


class PieceFinder:
    """Finds the pieces of one word at a time.

    It keeps the continuations without their prefix, and how long the longest piece is that
    begins with a given character, so a word costs a few look-ups per piece and never more than
    its length times that of the longest piece.
    """

    def __init__(self, vocab: Mapping[str, int], prefix: str = "##") -> None:
        self._whole = vocab
        self._rest = {
            token[len(prefix) :]: index
            for token, index in vocab.items()
            if token.startswith(prefix)
        }
        self._longest_whole = _longest_by_first_character(vocab)
        self._longest_rest = _longest_by_first_character(self._rest)

    def find(self, word: str) -> tuple[list[int], list[int]] | None:
        """Return the ids of the pieces of `word` and where each ends, None if it has none.

        >>> PieceFinder({"un": 0, "##able": 1, "##a": 2}).find("unable")
        ([0, 1], [2, 6])
        """
        ids: list[int] = []
        ends: list[int] = []
        pieces, longest = self._whole, self._longest_whole
        start, length = 0, len(word)
        while start < length:
            end = start + longest.get(word[start], 0)
            if end > length:
                end = length
            while end > start:
                index = pieces.get(word[start:end])
                if index is not None:
                    break
                end -= 1
            else:
                return None
            ids.append(index)
            ends.append(end)
            start = end
            pieces, longest = self._rest, self._longest_rest
        return ids, ends


class WordpieceTokenizer:
    """Cuts words, separated by whitespace, into pieces of a vocabulary.

    >>> vocab = {"un": 0, "##aff": 1, "##able": 2}
    >>> WordpieceTokenizer(vocab, unk_token="[UNK]").tokenize("unaffable word")
    ['un', '##aff', '##able', '[UNK]']
    """

    def __init__(
        self, vocab: Mapping[str, int], unk_token: str, max_input_chars_per_word: int = 100
    ) -> None:
        self.vocab = vocab
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word
        self._finder = PieceFinder(vocab)

    def tokenize(self, text: str) -> list[str]:
        """Return the pieces, `unk_token` for a word without any or with too many characters.

        Raises:
            TypeError: `text` is not a string.
            ValueError: `text` has a lone surrogate.
        """
        tokens: list[str] = []
        for word in word_pattern(split_on_punctuation=False).findall(check_text(text)):
            found = None
            if len(word) <= self.max_input_chars_per_word:
                found = self._finder.find(word)
            tokens += [self.unk_token] if found is None else spell(word, found[1], "##")
        return tokens


def spell(word: str, ends: Iterable[int], prefix: str) -> list[str]:
    """Return the tokens of a word's pieces that end at `ends`.

    >>> spell("unable", [2, 6], "##")
    ['un', '##able']
    """
    tokens = []
    start = 0
    for end in ends:
        tokens.append(prefix + word[start:end] if start else word[:end])
        start = end
    return tokens


def load_vocab(vocab_file: str | Path) -> dict[str, int]:
    """Read a `vocab.txt`: one token a line, its id the number of the line, from 0.

    As in the Rust library, whitespace at the end of a line is no part of the token. Unlike there,
    nor is a byte-order mark at the beginning of the file, which an editor has put there.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is empty or not UTF-8, or a token has two lines, hence two ids.
    """
    path = Path(vocab_file)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no vocabulary file at {path}: give the path of a vocab.txt, one token a line"
        ) from None
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path} is not UTF-8 text: byte 0x{error.object[error.start]:02X} in line {number}. A "
            "vocabulary has one token a line; is this another kind of file?"
        ) from None
    if not text:
        raise ValueError(f"{path} is empty: a vocabulary has one token a line")

    # Only line feeds end a line; str.splitlines would break tokens such as "\x85" or "\u2028".
    lines = text.removesuffix("\n").split("\n")
    vocab: dict[str, int] = {}
    for index, line in enumerate(lines):
        token = line.rstrip(SPACES)
        if token in vocab:
            raise ValueError(
                f"{path} has the token {token!r} twice, in lines {vocab[token] + 1} and "
                f"{index + 1}: it can have only one id. Remove one, or write [unused{index}] in "
                "its place to keep the ids of the others"
            )
        vocab[token] = index
    return vocab


def _longest_by_first_character(tokens: Iterable[str]) -> dict[str, int]:
    longest: dict[str, int] = {}
    for token in tokens:
        first = token[:1]
        if len(token) > longest.get(first, 0):
            longest[first] = len(token)
    return longest
