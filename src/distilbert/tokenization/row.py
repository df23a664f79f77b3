"""One encoded row: `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`, with padding on a side.

Ids are there from the start; everything else is worked out from the pieces when asked for.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from distilbert.tokenization.engine import Pieces, PlainPieces


class Part(NamedTuple):
    """A window over the pieces of one text."""

    pieces: Pieces
    start: int
    stop: int


class Frame(NamedTuple):
    """The special tokens of a call: around the texts, between them and as padding."""

    cls: tuple[int, str]
    sep: tuple[int, str]
    pad: tuple[int, str]


class Row:
    """One row of a batch; what `BatchEncoding` returns for an integer index.

    Args:
        parts: one window per text.
        frame: the special tokens.
        framed: whether special tokens are around the texts.
    """

    __slots__ = ("_frame", "_framed", "_left", "_parts", "_right", "ids")

    def __init__(self, parts: Sequence[Part], frame: Frame, framed: bool) -> None:
        self._parts = parts
        self._frame = frame
        self._framed = framed
        self._left = self._right = 0
        ids = [frame.cls[0]] if framed else []
        for pieces, start, stop in parts:
            whole = pieces.ids
            ids += whole if stop - start == len(whole) else whole[start:stop]
            if framed:
                ids.append(frame.sep[0])
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Row({' '.join(self.tokens)})"

    def __getstate__(self) -> dict[str, Any]:
        fixed = [
            Part(
                PlainPieces(
                    p.ids[start:stop],
                    p.tokens[start:stop],
                    p.offsets[start:stop],
                    p.word_ids[start:stop],
                ),
                0,
                stop - start,
            )
            for p, start, stop in self._parts
        ]
        return {name: getattr(self, name) for name in self.__slots__} | {"_parts": fixed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def pad(self, length: int, on_left: bool) -> None:
        """Fill up with padding to `length`; a longer row stays."""
        missing = length - len(self.ids)
        if missing <= 0:
            return
        padding = [self._frame.pad[0]] * missing
        if on_left:
            self._left += missing
            self.ids = padding + self.ids
        else:
            self._right += missing
            self.ids += padding

    def _lay(
        self, of_part: Callable[[int, Part], list[Any]], cls: Any, sep: Sequence[Any], pad: Any
    ) -> list[Any]:
        values = [pad] * self._left
        if self._framed:
            values.append(cls)
        for i, part in enumerate(self._parts):
            values += of_part(i, part)
            if self._framed:
                values.append(sep[i])
        return values + [pad] * self._right

    @property
    def tokens(self) -> list[str]:
        """The tokens, special ones and padding included."""
        sep = self._frame.sep[1]
        return self._lay(
            lambda _, part: part.pieces.tokens[part.start : part.stop],
            self._frame.cls[1],
            (sep, sep),
            self._frame.pad[1],
        )

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """Where each token is in its text (in its word, if split into words); (0, 0) if nowhere."""
        none = (0, 0)
        return self._lay(
            lambda _, part: part.pieces.offsets[part.start : part.stop], none, (none, none), none
        )

    @property
    def word_ids(self) -> list[int | None]:
        """Index of the word each token comes from, None for special tokens and padding."""
        return self._lay(
            lambda _, part: part.pieces.word_ids[part.start : part.stop], None, (None, None), None
        )

    @property
    def words(self) -> list[int | None]:
        """The older name of `word_ids`."""
        return self.word_ids

    @property
    def sequence_ids(self) -> list[int | None]:
        """0 or 1 for a token of the first or second text, None for special tokens and padding."""
        return self._lay(lambda i, part: [i] * (part.stop - part.start), None, (None, None), None)

    @property
    def type_ids(self) -> list[int]:
        """0 up to the first `[SEP]`, 1 from there to the second, 0 for padding."""
        return self._lay(lambda i, part: [i] * (part.stop - part.start), 0, (0, 1), 0)

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for special tokens put around the texts and for padding, 0 for text."""
        return self._lay(lambda _, part: [0] * (part.stop - part.start), 1, (1, 1), 1)

    @property
    def attention_mask(self) -> list[int]:
        """1 for tokens, 0 for padding."""
        real = len(self.ids) - self._left - self._right
        return [0] * self._left + [1] * real + [0] * self._right

    @property
    def n_sequences(self) -> int:
        """How many texts the row holds: 1 or 2."""
        return len(self._parts)

    def _span(self, sequence_index: int) -> tuple[int, Part | None]:
        """Return where the tokens of a text begin in the row, and its part."""
        at = self._left + self._framed
        for i, part in enumerate(self._parts):
            if i == sequence_index:
                return at, part
            at += part.stop - part.start + self._framed
        return at, None

    def _locate(self, token: int) -> tuple[int, Part, int] | None:
        """Return a token's text, its part, and its index among that text's pieces."""
        if token < 0:
            token += len(self.ids)
        for i in range(len(self._parts)):
            at, part = self._span(i)
            if part is not None and at <= token < at + part.stop - part.start:
                return i, part, part.start + token - at
        return None

    def token_to_sequence(self, token: int) -> int | None:
        """Return which text a token belongs to, None for special tokens and padding."""
        found = self._locate(token)
        return None if found is None else found[0]

    def token_to_word(self, token: int) -> int | None:
        """Return the word a token comes from."""
        found = self._locate(token)
        return None if found is None else found[1].pieces.word_ids[found[2]]

    def token_to_chars(self, token: int) -> tuple[int, int] | None:
        """Return where a token is in its text."""
        found = self._locate(token)
        return None if found is None else found[1].pieces.offsets[found[2]]

    def word_to_tokens(self, word: int, sequence_index: int = 0) -> tuple[int, int] | None:
        """Return the first token of a word and the one after its last."""
        at, part = self._span(sequence_index)
        if part is None:
            return None
        words = part.pieces.word_ids[part.start : part.stop]
        found = [at + i for i, word_id in enumerate(words) if word_id == word]
        return (found[0], found[-1] + 1) if found else None

    def word_to_chars(self, word: int, sequence_index: int = 0) -> tuple[int, int] | None:
        """Return where a word is in its text."""
        span = self.word_to_tokens(word, sequence_index)
        if span is None:
            return None
        at, part = self._span(sequence_index)
        assert part is not None
        offsets = part.pieces.offsets
        first, last = span[0] - at + part.start, span[1] - 1 - at + part.start
        return offsets[first][0], offsets[last][1]

    def char_to_token(self, char: int, sequence_index: int = 0) -> int | None:
        """Return the first token that covers a character, None for white space and the like."""
        at, part = self._span(sequence_index)
        if part is None:
            return None
        for i, (start, stop) in enumerate(part.pieces.offsets[part.start : part.stop]):
            if start <= char < stop:
                return at + i
        return None

    def char_to_word(self, char: int, sequence_index: int = 0) -> int | None:
        """Return the word that covers a character."""
        token = self.char_to_token(char, sequence_index)
        return None if token is None else self.token_to_word(token)
