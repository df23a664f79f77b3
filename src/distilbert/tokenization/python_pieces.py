"""What the pure-Python engine gives for a text: ids now, everything else when asked for."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

# Start, end and word of each piece of a stretch of text, counted from where the stretch begins.
Spans = tuple[tuple[int, int, int], ...]
# Where each stretch of a text begins, and the spans in it.
Layout = Iterator[tuple[int, Spans]]


class PythonPieces:
    """One text cut into pieces, without special tokens around it."""

    __slots__ = ("_find_layout", "_offsets", "_spell", "_tokens", "_word_ids", "ids")

    def __init__(
        self, ids: list[int], spell: Callable[[], list[str]], find_layout: Callable[[], Layout]
    ) -> None:
        self.ids = ids
        self._spell = spell
        self._find_layout = find_layout
        self._tokens: list[str] | None = None
        self._offsets: list[tuple[int, int]] | None = None
        self._word_ids: list[int | None] | None = None

    @property
    def tokens(self) -> list[str]:
        """The pieces themselves, as the vocabulary spells them."""
        if self._tokens is None:
            self._tokens = self._spell()
        return self._tokens

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """Start and end of each piece in the text, in characters."""
        if self._offsets is None:
            self._offsets = [
                (begin + start, end + start)
                for start, spans in self._find_layout()
                for begin, end, _ in spans
            ]
        return self._offsets

    @property
    def word_ids(self) -> list[int | None]:
        """Index of the word each piece comes from; an added token counts as a word."""
        if self._word_ids is None:
            self._word_ids = []
            first = 0
            for _, spans in self._find_layout():
                if spans:
                    self._word_ids += [word + first for _, _, word in spans]
                    first += spans[-1][2] + 1
        return self._word_ids


class WordPieces(NamedTuple):
    """The pieces of one word of a text that came split."""

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]


class JoinedPieces:
    """The pieces of a text that came split into words, each word's offsets its own."""

    __slots__ = ("_offsets", "_tokens", "_word_ids", "_words", "ids")

    def __init__(self, words: Sequence[WordPieces]) -> None:
        self._words = words
        self.ids = list(chain.from_iterable([word.ids for word in words]))
        self._tokens: list[str] | None = None
        self._offsets: list[tuple[int, int]] | None = None
        self._word_ids: list[int | None] | None = None

    @property
    def tokens(self) -> list[str]:
        """The pieces themselves, as the vocabulary spells them."""
        if self._tokens is None:
            self._tokens = list(chain.from_iterable([word.tokens for word in self._words]))
        return self._tokens

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """Start and end of each piece in its word, in characters."""
        if self._offsets is None:
            self._offsets = list(chain.from_iterable([word.offsets for word in self._words]))
        return self._offsets

    @property
    def word_ids(self) -> list[int | None]:
        """Index of the word each piece comes from."""
        if self._word_ids is None:
            self._word_ids = [index for index, word in enumerate(self._words) for _ in word.ids]
        return self._word_ids
