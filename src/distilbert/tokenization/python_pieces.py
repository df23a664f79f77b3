"""What the pure-Python engine gives for a text: ids now, everything else when asked for."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from distilbert.tokenization.lazy import lazy

# Start, end and word of each piece of a stretch of text, counted from where the stretch begins.
Spans = tuple[tuple[int, int, int], ...]
# Where each stretch of a text begins, and the spans in it.
Layout = Iterator[tuple[int, Spans]]


class PythonPieces:
    """One text cut into pieces, without special tokens around it."""

    def __init__(
        self, ids: list[int], spell: Callable[[], list[str]], find_layout: Callable[[], Layout]
    ) -> None:
        self.ids = ids
        self._spell = spell
        self._find_layout = find_layout

    @lazy
    def tokens(self) -> list[str]:
        """The pieces themselves, as the vocabulary spells them."""
        return self._spell()

    @lazy
    def offsets(self) -> list[tuple[int, int]]:
        """Start and end of each piece in the text, in characters."""
        return [
            (begin + start, end + start)
            for start, spans in self._find_layout()
            for begin, end, _ in spans
        ]

    @lazy
    def word_ids(self) -> list[int | None]:
        """Index of the word each piece comes from; an added token counts as a word."""
        word_ids: list[int | None] = []
        first = 0
        for _, spans in self._find_layout():
            if spans:
                word_ids += [word + first for _, _, word in spans]
                first += spans[-1][2] + 1
        return word_ids


class WordPieces(NamedTuple):
    """The pieces of one word of a text that came split."""

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]


class JoinedPieces:
    """The pieces of a text that came split into words, each word's offsets its own."""

    def __init__(self, words: Sequence[WordPieces]) -> None:
        self._words = words
        self.ids = list(chain.from_iterable([word.ids for word in words]))

    @lazy
    def tokens(self) -> list[str]:
        """The pieces themselves, as the vocabulary spells them."""
        return list(chain.from_iterable([word.tokens for word in self._words]))

    @lazy
    def offsets(self) -> list[tuple[int, int]]:
        """Start and end of each piece in its word, in characters."""
        return list(chain.from_iterable([word.offsets for word in self._words]))

    @lazy
    def word_ids(self) -> list[int | None]:
        """Index of the word each piece comes from."""
        return [index for index, word in enumerate(self._words) for _ in word.ids]
