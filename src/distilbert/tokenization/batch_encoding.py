"""`BatchEncoding`: what a tokenizer returns, a mapping of model inputs that knows where they are
from."""

import logging
from collections import UserDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from distilbert.tokenization.row import Row
from distilbert.tokenization.tensors import PER_TOKEN, is_device, tensor_kind, to_tensor

_logger = logging.getLogger("distilbert")


class CharSpan(NamedTuple):
    """Characters `start` to `end - 1` of a text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens `start` to `end - 1` of a row."""

    start: int
    end: int


class BatchEncoding(UserDict[str, Any]):
    """Model inputs by name, by attribute and as `model(**encoding)`, and the way back to the text.

    An integer index gives a `Row`, a slice a dict of sliced values. Methods that look up a token,
    word or character take its index alone for the first row, or the row's index before it. What
    has no answer (a special token has no word) is None.

    Args:
        data: the inputs by name.
        encoding: the rows they were made from; without them only the mapping works.
        tensor_type: `np`, `pt` or `tf` converts the values at once.
        prepend_batch_axis: puts each value into a list before it is converted.
        n_sequences: texts per row, if it is not to be read off the rows.

    Example:
        >>> from distilbert import DistilBertTokenizer
        >>> tokens = "[PAD] [UNK] [CLS] [SEP] [MASK] small ##er models"
        >>> vocab = {token: i for i, token in enumerate(tokens.split())}
        >>> encoding = DistilBertTokenizer(vocab)("Smaller models")
        >>> encoding.input_ids
        [2, 5, 6, 7, 3]
        >>> encoding.token_to_chars(3)
        CharSpan(start=8, end=14)
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encoding: Row | Sequence[Row] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ) -> None:
        super().__init__()
        self.data = dict(data or {})
        self._rows = [encoding] if isinstance(encoding, Row) else encoding
        self._n_sequences = n_sequences
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, str):
            return self.data[item]
        if isinstance(item, slice):
            return {key: value[item] for key, value in self.data.items()}
        if isinstance(item, int):
            return self._row(item)
        raise KeyError(f"{item!r}: expected a name, a row's index or a slice")

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no {name!r}") from None

    def _row(self, index: int) -> Row:
        if self._rows is None:
            raise ValueError(
                "this BatchEncoding has no rows of text behind it (it comes from pad() or from "
                "ids); only what a tokenizer made of text knows its tokens, words and characters"
            )
        if not -len(self._rows) <= index < len(self._rows):
            raise IndexError(f"row {index} of a batch of {len(self._rows)}")
        return self._rows[index]

    def _address(self, first: int, second: int | None) -> tuple[Row, int]:
        """Read (index in the first row) or (row, index in it)."""
        return (self._row(0), first) if second is None else (self._row(first), second)

    @property
    def encodings(self) -> Sequence[Row] | None:
        """The rows, None without text behind them."""
        return self._rows

    @property
    def is_fast(self) -> bool:
        """Whether tokens, words and characters can be looked up."""
        return self._rows is not None

    @property
    def n_sequences(self) -> int | None:
        """Texts per row, 1 or 2; None without text behind them."""
        if self._n_sequences is None and self._rows:
            return self._rows[0].n_sequences
        return self._n_sequences

    def tokens(self, batch_index: int = 0) -> list[str]:
        """Return the tokens of a row, special ones and padding included."""
        return self._row(batch_index).tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return the index of the word each token of a row comes from."""
        return self._row(batch_index).word_ids

    def words(self, batch_index: int = 0) -> list[int | None]:
        """Return `word_ids`, under its older name."""
        return self.word_ids(batch_index)

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return 0 or 1 for tokens of the first or second text, None for special tokens."""
        return self._row(batch_index).sequence_ids

    def token_to_sequence(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> int | None:
        """Return which text a token belongs to."""
        row, token = self._address(batch_or_token_index, token_index)
        return row.token_to_sequence(token)

    def token_to_word(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> int | None:
        """Return the word a token comes from."""
        row, token = self._address(batch_or_token_index, token_index)
        return row.token_to_word(token)

    def token_to_chars(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> CharSpan | None:
        """Return where a token is in its text."""
        row, token = self._address(batch_or_token_index, token_index)
        span = row.token_to_chars(token)
        return None if span is None else CharSpan(*span)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """Return the tokens of a word."""
        row, word = self._address(batch_or_word_index, word_index)
        span = row.word_to_tokens(word, sequence_index)
        return None if span is None else TokenSpan(*span)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """Return where a word is in its text."""
        row, word = self._address(batch_or_word_index, word_index)
        span = row.word_to_chars(word, sequence_index)
        return None if span is None else CharSpan(*span)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Return the token that covers a character."""
        row, char = self._address(batch_or_char_index, char_index)
        return row.char_to_token(char, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Return the word that covers a character."""
        row, char = self._address(batch_or_char_index, char_index)
        return row.char_to_word(char, sequence_index)

    def convert_to_tensors(
        self, tensor_type: str | None = None, prepend_batch_axis: bool = False
    ) -> "BatchEncoding":
        """Convert every value in place, and return this object.

        Raises:
            ImportError: the framework is not installed.
            ValueError: an unknown tensor type, or rows of different lengths.
        """
        if tensor_type is not None:
            kind = tensor_kind(tensor_type)
            for name, value in self.data.items():
                value = [value] if prepend_batch_axis else value
                if name in PER_TOKEN and isinstance(value, list | tuple) and not value:
                    # No rows: as many dimensions as rows would have.
                    one = [[[0, 0]]] if name == "offset_mapping" else [[0]]
                    self.data[name] = to_tensor(name, one, kind)[:0, :0]
                else:
                    self.data[name] = to_tensor(name, value, kind)
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> "BatchEncoding":
        """Move every PyTorch tensor to a device in place, and return this object."""
        if not is_device(device):
            _logger.warning(
                "BatchEncoding.to moves tensors to a device; %r is none, so nothing changed", device
            )
            return self
        for name, value in self.data.items():
            if hasattr(value, "to"):
                self.data[name] = value.to(device=device, non_blocking=non_blocking)
        return self
