"""Documents to sequences of a corpus: `[CLS] … [SEP]`, of at most `max_length` tokens.

"split" cuts every document by itself; "pack" fills sequences up with one document after the other,
a [SEP] between them. Very short and mostly unknown sequences are dropped and counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

MODES = ("split", "pack")
_GATHERED = 1 << 18  # tokens of documents that are cut together


@dataclass(frozen=True)
class Shape:
    """What a sequence is to be like.

    Args:
        mode: "split" or "pack".
        max_length: tokens that a sequence may have, special ones included.
        min_length: shorter ones are dropped.
        max_unknown: those with at least this share of [UNK] are dropped; in "pack" documents are,
            before they are packed.

    Raises:
        ValueError: a value is out of range.
    """

    mode: str = "split"
    max_length: int = 512
    min_length: int = 12
    max_unknown: float = 0.5

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f'mode={self.mode!r}; it is "split" or "pack"')
        if self.max_length < 3:
            raise ValueError(
                f"max_length={self.max_length} leaves no room for a token between [CLS] and [SEP]"
            )
        if not 0 <= self.min_length <= self.max_length:
            raise ValueError(
                f"min_length={self.min_length} must be from 0 to max_length={self.max_length}, "
                "or nothing is left"
            )
        if not 0 < self.max_unknown <= 1:
            raise ValueError(f"max_unknown={self.max_unknown} must be above 0 and at most 1")


@dataclass
class Dropped:
    """Sequences that were dropped, and their tokens (without special ones)."""

    short_sequences: int = 0
    short_tokens: int = 0
    unknown_sequences: int = 0
    unknown_tokens: int = 0


@dataclass
class Sequences:
    """Collects the sequences of a shard.

    Args:
        shape: what they are to be like.
        special_ids: with cls, sep and unk.
        dtype: of the ids.
    """

    shape: Shape
    special_ids: Mapping[str, int]
    dtype: np.dtype
    dropped: Dropped = field(default_factory=Dropped)
    _tokens: list[np.ndarray] = field(default_factory=list)
    _lengths: list[np.ndarray] = field(default_factory=list)
    _open: list[np.ndarray] = field(default_factory=list)
    _open_tokens: int = 0

    def add(self, document: np.ndarray) -> None:
        """Take a document: ids without special tokens."""
        if not len(document):
            return
        if self.shape.mode == "pack":
            self._pack(document)
            return
        self._gather(document)
        if self._open_tokens >= _GATHERED:
            self._close()

    def _pack(self, document: np.ndarray) -> None:
        unknown = int(np.count_nonzero(document == self.special_ids["unk"]))
        if unknown >= self.shape.max_unknown * len(document) and unknown:
            self.dropped.unknown_sequences += 1
            self.dropped.unknown_tokens += len(document)
            return
        if self._open and self._open_tokens + 2 > self._room:  # no room for [SEP] and a token
            self._close()
        if self._open:
            self._gather(np.array([self.special_ids["sep"]], dtype=self.dtype))
        place = 0
        while place < len(document):
            piece = document[place : place + self._room - self._open_tokens]
            self._gather(piece)
            place += len(piece)
            if self._open_tokens == self._room:
                self._close()

    @property
    def _room(self) -> int:
        return self.shape.max_length - 2

    def _gather(self, ids: np.ndarray) -> None:
        self._open.append(ids)
        self._open_tokens += len(ids)

    def _close(self) -> None:
        """Make sequences of what is gathered: "split" of each document, "pack" one of all."""
        if self._open:
            lengths = np.array([len(ids) for ids in self._open])
            if self.shape.mode == "split":
                self._keep(np.concatenate(self._open), _cut_lengths(lengths, self._room))
            else:
                self._keep(np.concatenate(self._open), lengths.sum(keepdims=True))
        self._open, self._open_tokens = [], 0

    def _keep(self, flat: np.ndarray, lengths: np.ndarray) -> None:
        """Put special tokens around stretches of `flat`, drop what is to be dropped."""
        short = lengths + 2 < self.shape.min_length
        self.dropped.short_sequences += int(short.sum())
        self.dropped.short_tokens += int(lengths[short].sum())
        unknown = np.zeros_like(short)
        if self.shape.mode == "split":
            starts = np.cumsum(lengths) - lengths
            unknowns = np.add.reduceat(flat == self.special_ids["unk"], starts, dtype=np.int64)
            unknown = ~short & (unknowns > 0) & (unknowns >= self.shape.max_unknown * (lengths + 2))
            self.dropped.unknown_sequences += int(unknown.sum())
            self.dropped.unknown_tokens += int(lengths[unknown].sum())
        kept = ~(short | unknown)
        if not kept.all():
            flat, lengths = flat[np.repeat(kept, lengths)], lengths[kept]
        if not len(lengths):
            return
        ends = np.cumsum(lengths + 2)
        tokens = np.empty(int(ends[-1]), dtype=self.dtype)
        is_text = np.ones(len(tokens), dtype=bool)
        for places, name in ((ends - lengths - 2, "cls"), (ends - 1, "sep")):
            tokens[places] = self.special_ids[name]
            is_text[places] = False
        tokens[is_text] = flat
        self._tokens.append(tokens)
        self._lengths.append(lengths + 2)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all ids and the lengths of the sequences."""
        self._close()
        tokens = np.concatenate([np.empty(0, self.dtype), *self._tokens])
        lengths = np.concatenate([np.empty(0, np.int64), *self._lengths])
        return tokens, lengths


def _cut_lengths(lengths: np.ndarray, room: int) -> np.ndarray:
    """Return the lengths of the pieces of documents: `room` but for the last of each."""
    pieces = -(-lengths // room)
    cut = np.full(int(pieces.sum()), room, dtype=np.int64)
    cut[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * room
    return cut
