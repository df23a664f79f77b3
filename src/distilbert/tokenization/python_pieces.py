"""What the pure-Python engine gives for a text: ids now, everything else when asked for."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

# Start, end and word of each piece of a stretch of text, counted from where the stretch begins.
Spans = tuple[tuple[int, int, int], ...]


class Layout(NamedTuple):
    """Where the stretches of a text begin, and the spans in each of them.

    Two lists, because a tuple for each stretch would keep the garbage collector busy.
    """

    starts: list[int]
    spans: list[Spans]

    def add(self, start: int, spans: Spans) -> None:
        """Add the next stretch."""
        self.starts.append(start)
        self.spans.append(spans)


class PythonPieces:
    """One text cut into pieces, without special tokens around it."""

    __slots__ = ("_find_layout", "_layout", "_offsets", "_spell", "_tokens", "_word_ids", "ids")

    def __init__(
        self, ids: list[int], spell: Callable[[], list[str]], find_layout: Callable[[], Layout]
    ) -> None:
        self.ids = ids
        self._spell = spell
        self._find_layout = find_layout
        self._layout: Layout | None = None
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
                for start, spans in zip(*self._look(), strict=True)
                for begin, end, _ in spans
            ]
        return self._offsets

    @property
    def word_ids(self) -> list[int | None]:
        """Index of the word each piece comes from; an added token counts as a word."""
        if self._word_ids is None:
            self._word_ids = []
            first = 0
            for spans in self._look().spans:
                if spans:
                    self._word_ids += [word + first for _, _, word in spans]
                    first += spans[-1][2] + 1
        return self._word_ids

    def _look(self) -> Layout:
        if self._layout is None:
            self._layout = self._find_layout()
        return self._layout

    def __reduce__(self) -> tuple[object, ...]:
        # A copy has everything at hand and does without the engine.
        return PlainPieces, (self.ids, self.tokens, self.offsets, self.word_ids)


class PlainPieces(NamedTuple):
    """Pieces with everything at hand."""

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    word_ids: list[int | None]


class JoinedPieces:
    """The pieces of a text that came split into words, each word's offsets its own."""

    __slots__ = ("_given", "ids")

    def __init__(self, given: Sequence[PythonPieces]) -> None:
        self._given = given
        self.ids = list(chain.from_iterable(pieces.ids for pieces in given))

    @property
    def tokens(self) -> list[str]:
        """The pieces themselves, as the vocabulary spells them."""
        return [token for pieces in self._given for token in pieces.tokens]

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """Start and end of each piece in its word, in characters."""
        return [offset for pieces in self._given for offset in pieces.offsets]

    @property
    def word_ids(self) -> list[int | None]:
        """Index of the word each piece comes from."""
        return [word for word, pieces in enumerate(self._given) for _ in pieces.ids]
