"""Examples as rows of ids, flat in memory, and the batches that are made of some of them.

Shapes: `E` examples, `R` rows (an example of multiple choice has one per choice), `N` tokens of all
rows one after the other, `B` rows of a batch, `T` its longest row, `L` labels, `C` width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from distilbert.distillation.masking import IGNORED
from distilbert.tokenization.tokenizer import BertStyleTokenizer

_ROWS = 4096  # texts that are encoded at a time


@dataclass(frozen=True, eq=False)
class Batch:
    """Some examples, padded on the right.

    Args:
        input_ids: (B, T) int64.
        token_type_ids: (B, T) int64, 1 in the second text.
        lengths: tokens of each row.
        labels: of its examples, or (B, T) of its tokens, -100 where there is none.
        places: where its outputs belong among all: numbers of examples, of rows, or of tokens (n,).
        rows: per output of an example.
        teacher_logits: a teacher's, one per place: (n, L).
    """

    input_ids: np.ndarray
    token_type_ids: np.ndarray
    lengths: list[int]
    labels: np.ndarray
    places: np.ndarray
    rows: int = 1
    teacher_logits: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True, eq=False)
class Features:
    """Examples to train on or to score.

    Args:
        tokens: (N,) int32.
        lengths: (R,) int64, tokens of each row.
        firsts: (R,) int64, those before the second text; all, where there is none.
        labels: (E,), (E, L) or (E, 2) of examples, (E, 0) where there are none; or (N,) of tokens,
            -100 where there is none.
        pad_id: what rows are padded with.
        rows: per example.
        has_outputs_per_token: outputs are those of tokens, not of examples.
        teacher_logits: a teacher's, (E, L), (R, C) or (N, L).
        has_outputs_per_row: outputs are those of rows, whose example only keeps them together.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    firsts: np.ndarray
    labels: np.ndarray
    pad_id: int
    rows: int = 1
    has_outputs_per_token: bool = False
    teacher_logits: np.ndarray | None = None
    has_outputs_per_row: bool = False

    def __len__(self) -> int:
        return len(self.lengths) // self.rows

    @cached_property
    def ends(self) -> np.ndarray:
        """(R,) int64, where each row ends in the tokens."""
        return np.cumsum(self.lengths)

    @cached_property
    def sizes(self) -> np.ndarray:
        """(E,) int64, tokens of each example."""
        return self.lengths.reshape(-1, self.rows).sum(1)

    @property
    def has_labels_per_token(self) -> bool:
        """Whether labels are those of tokens."""
        return self.has_outputs_per_token and self.labels.ndim == 1

    @property
    def outputs(self) -> int:
        """How many outputs a model gives for all of it."""
        if self.has_outputs_per_row:
            return len(self.lengths)
        return len(self.tokens) if self.has_outputs_per_token else len(self)

    @property
    def are_contrasted(self) -> bool:
        """Whether an example's loss depends on the others beside it: labels are texts' numbers."""
        return self.has_outputs_per_row and self.labels.dtype.kind == "i"

    def batch(self, examples: np.ndarray) -> Batch:
        """Return some examples, by their numbers."""
        rows = (np.asarray(examples)[:, None] * self.rows + np.arange(self.rows)).ravel()
        lengths = self.lengths[rows]
        columns = np.arange(lengths.max(initial=0))
        is_real = columns < lengths[:, None]  # (B, T)
        starts = self.ends[rows] - lengths
        flat = (starts[:, None] + columns)[is_real]
        ids = np.full(is_real.shape, self.pad_id, np.int64)
        ids[is_real] = self.tokens[flat]
        if self.has_labels_per_token:
            labels = np.full(is_real.shape, IGNORED, np.int64)
            labels[is_real] = self.labels[flat]
        else:
            labels = self.labels[examples]
        places = flat if self.has_outputs_per_token else np.asarray(examples)
        if self.has_outputs_per_row:
            places = rows
        return Batch(
            input_ids=ids,
            token_type_ids=(is_real & (columns >= self.firsts[rows][:, None])).astype(np.int64),
            lengths=lengths.tolist(),
            labels=labels,
            places=places,
            rows=1 if self.has_outputs_per_row else self.rows,
            teacher_logits=None if self.teacher_logits is None else self.teacher_logits[places],
        )


def encode(
    tokenizer: BertStyleTokenizer,
    texts: Sequence[str],
    seconds: Sequence[str] | None,
    max_length: int,
    labels: np.ndarray,
    rows: int = 1,
) -> tuple[Features, int]:
    """Encode texts, or pairs of texts, and cut those that are too long, the longer text first.

    Args:
        max_length: tokens of a row, special ones included; nothing is cut if it is 0.
        labels, rows: as in `Features`.

    Returns:
        The features, and how many rows were cut.
    """
    tokens = [np.empty(0, np.int32)]  # a list of all ids would take many times as much
    lengths: list[int] = []
    firsts: list[int] = []
    cut = 0
    for start in range(0, len(texts), _ROWS):
        part = slice(start, start + _ROWS)
        pairs = None if seconds is None else list(seconds[part])
        encoded = _ids(tokenizer, list(texts[part]), pairs)
        long = [i for i, (row, _) in enumerate(encoded) if 0 < max_length < len(row)]
        if long:
            cut += len(long)
            again = _ids(
                tokenizer,
                [texts[start + i] for i in long],
                None if seconds is None else [seconds[start + i] for i in long],
                max_length,
            )
            for i, row in zip(long, again, strict=True):
                encoded[i] = row
        tokens.append(flatten([row for row, _ in encoded]))
        lengths += [len(row) for row, _ in encoded]
        firsts += [first for _, first in encoded]
    features = Features(
        np.concatenate(tokens),
        np.array(lengths, np.int64),
        np.array(firsts, np.int64),
        labels,
        tokenizer.pad_token_id or 0,
        rows,
    )
    return features, cut


def _ids(
    tokenizer: BertStyleTokenizer,
    texts: list[str],
    seconds: list[str] | None,
    max_length: int | None = None,
) -> list[tuple[list[int], int]]:
    """Return the ids of each row, and how many are before its second text."""
    encoded = tokenizer(
        texts,
        seconds,
        truncation=max_length is not None,
        max_length=max_length,
        return_token_type_ids=True,
        return_attention_mask=False,
        verbose=False,
    )
    kinds = encoded["token_type_ids"]
    return [(row, len(row) - sum(k)) for row, k in zip(encoded["input_ids"], kinds, strict=True)]


def flatten(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the ids of all rows one after the other, (N,) int32."""
    return np.fromiter((each for row in rows for each in row), np.int32)
