"""What the two engines, Python and Rust, have in common: text in, pieces out.

An engine normalises, splits and looks up. Special tokens around a text, truncation, padding and
everything else that does not depend on how a text is cut belong to the layer above.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tokenizers import AddedToken


class Pieces(Protocol):
    """One text cut into pieces, without special tokens around it; everything but ids is lazy."""

    @property
    def ids(self) -> list[int]:
        """Vocabulary ids."""

    @property
    def tokens(self) -> list[str]:
        """The pieces themselves, as the vocabulary spells them (`##` before a continuation)."""

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """Start and end of each piece in the text, in characters (within its word if pre-split)."""

    @property
    def word_ids(self) -> list[int | None]:
        """Index of the word each piece comes from, as the Rust library counts words."""


class PlainPieces(NamedTuple):
    """Pieces with everything at hand: what pickling a row keeps of an engine's lazy ones."""

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    word_ids: list[int | None]


class Engine(Protocol):
    """Cuts texts into pieces of one vocabulary, which may grow by added tokens."""

    def encode_batch(
        self, texts: Sequence[str], in_full: bool = False, split_special_tokens: bool = False
    ) -> Sequence[Pieces]:
        """Cut several texts.

        Args:
            texts: the texts.
            in_full: offsets will be asked for.
            split_special_tokens: special tokens that a text holds are cut like the rest of it.
        """

    def encode_words_batch(
        self, batch: Sequence[Sequence[str]], split_special_tokens: bool = False
    ) -> Sequence[Pieces]:
        """Cut several texts that are split into words already, which `word_ids` then index."""

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a token of the vocabulary or an added one, None for any other."""

    def id_to_token(self, index: int) -> str | None:
        """Return the token of an id, None where there is none."""

    def add_tokens(self, tokens: Sequence[AddedToken]) -> int:
        """Add tokens that are matched whole before the text is cut; return how many are new."""

    @property
    def added_tokens(self) -> dict[int, AddedToken]:
        """The added tokens by id, ascending, special ones of the vocabulary included: a copy."""

    @property
    def vocab(self) -> dict[str, int]:
        """The vocabulary without added tokens, token to id."""
