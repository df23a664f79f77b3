"""Micro-batches of masked tokens for pre-training and distillation: a step's, and the validation's.

How sequences are dealt is in `dealing.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from distilbert.distillation.corpus import Corpus
from distilbert.distillation.dealing import check_budget, deal
from distilbert.distillation.masking import IGNORED, Masking, draw
from distilbert.distillation.order import step_indices
from distilbert.distillation.prefetch import Prefetched
from distilbert.distillation.randomness import Key

_VALIDATION_DRAW = 1024  # sequences whose masks are drawn together, whatever the batch size is


@dataclass(frozen=True, eq=False)
class Micro:
    """Some sequences of a step, padded on the right when asked for.

    Args:
        tokens: (N,) int64 ids of the sequences one after the other, masks applied.
        targets: (N,) int64 labels, -100 where nothing is to be guessed.
        sizes: (B,) int64 tokens of each sequence.
        sequences: (B,) int64 their places in the global batch.
        pad_id: what they are padded with.
    """

    tokens: np.ndarray
    targets: np.ndarray
    sizes: np.ndarray
    sequences: np.ndarray
    pad_id: int

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def lengths(self) -> list[int]:
        """Real tokens of each sequence."""
        return self.sizes.tolist()

    @property
    def masked(self) -> int:
        """How many tokens are to be guessed."""
        return int(np.count_nonzero(self.targets != IGNORED))

    @cached_property
    def _is_real(self) -> np.ndarray:
        width = int(self.sizes.max(initial=0))
        return np.arange(width) < self.sizes[:, None]  # (B, T)

    def _padded(self, flat: np.ndarray, filler: int) -> np.ndarray:
        padded = np.full(self._is_real.shape, filler, dtype=np.int64)
        padded[self._is_real] = flat
        return padded

    @cached_property
    def input_ids(self) -> np.ndarray:
        """(B, T) int64."""
        return self._padded(self.tokens, self.pad_id)

    @cached_property
    def labels(self) -> np.ndarray:
        """(B, T) int64, -100 where nothing is to be guessed, padding included."""
        return self._padded(self.targets, IGNORED)


@dataclass(frozen=True)
class Counts:
    """What losses are divided by: counts over all ranks and micro-batches of a step.

    Args:
        tokens: real tokens, special ones included.
        masked: tokens to be guessed.
    """

    tokens: int
    masked: int


def split_step(
    tokens: np.ndarray,
    labels: np.ndarray,
    lengths: np.ndarray,
    *,
    micro_tokens: int,
    ranks: int,
    pad_id: int,
) -> list[list[Micro]]:
    """Deal the sequences of a step to ranks and micro-batches: `[rank][micro]`.

    Every rank gets as many micro-batches, none has more than `micro_tokens` real tokens, and
    together they are the global batch. Where a step has fewer sequences than there are
    micro-batches to fill, the first micro-batch of some ranks is empty (`len(micro) == 0`: skip
    it); the last one of every rank never is, so gradients can be reduced there.

    Args:
        tokens: (N,) ids of all sequences one after the other.
        labels: (N,) labels.
        lengths: tokens of each sequence.
        micro_tokens: real tokens that a micro-batch may have.
        ranks: processes that share the step.
        pad_id: what sequences are padded with.

    Raises:
        ValueError: a sequence is longer than `micro_tokens`, or a rank would get none.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    ends = np.cumsum(lengths)

    def micro(members: np.ndarray) -> Micro:
        spans = [slice(ends[i] - lengths[i], ends[i]) for i in members]
        return Micro(
            tokens=_joined([tokens[span] for span in spans]),
            targets=_joined([labels[span] for span in spans]),
            sizes=lengths[members],
            sequences=members,
            pad_id=pad_id,
        )

    dealt = deal(lengths, micro_tokens=micro_tokens, ranks=ranks)
    return [[micro(members) for members in hand] for hand in dealt]


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int64), *parts])


class StepSource(Prefetched[tuple[list[list[Micro]], Counts]]):
    """The batches of a run: step number in, micro-batches of every rank and their counts out.

    A step is a function of (corpus, seed, step): its masks and order do not depend on how many
    ranks or micro-batches it is split into, nor on which steps were asked for before.

    Args:
        corpus: the training split.
        seed: of order and masks.
        sequences_per_step: the global batch.
        micro_tokens: real tokens that a micro-batch may have.
        ranks: processes that share the step.
        masking: how masks are drawn.
        prefetch: steps that a thread makes ahead; 0 makes each when it is asked for.

    Raises:
        ValueError: the corpus has a longer sequence than `micro_tokens`, or a rank would get none.

    Use it as a context manager, or `close` it, to end the thread.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        seed: int,
        sequences_per_step: int,
        micro_tokens: int,
        ranks: int = 1,
        masking: Masking | None = None,
        prefetch: int = 2,
    ) -> None:
        check_budget(corpus.longest, sequences_per_step, micro_tokens, ranks)
        super().__init__(prefetch)
        self.corpus = corpus
        self.seed = seed
        self.sequences_per_step = sequences_per_step
        self.micro_tokens = micro_tokens
        self.ranks = ranks
        self.masking = masking or Masking()

    def _make(self, number: int) -> tuple[list[list[Micro]], Counts]:
        indices = step_indices(number, self.sequences_per_step, len(self.corpus), self.seed)
        tokens, labels, lengths = self._masked(self.corpus, indices, self.seed, number)
        micros = split_step(
            tokens,
            labels,
            lengths,
            micro_tokens=self.micro_tokens,
            ranks=self.ranks,
            pad_id=self.corpus.special_ids["pad"],
        )
        return micros, Counts(len(tokens), int(np.count_nonzero(labels != IGNORED)))

    def _masked(
        self, corpus: Corpus, indices: np.ndarray, *key: Key
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the ids of sequences with masks applied, their labels, and the lengths."""
        tokens, lengths = corpus.read(indices)
        masked, labels = draw(
            tokens,
            *key,
            counts=corpus.counts,
            special_ids=corpus.special_ids,
            masking=self.masking,
        )
        return masked, labels, lengths

    def validation(
        self, batch_tokens: int, *, rank: int = 0, max_sequences: int | None = None
    ) -> Iterator[Micro]:
        """Yield one rank's share of the validation split.

        Masks are a function of the corpus alone, neither of the seed nor of `batch_tokens` nor of
        how many ranks there are, so that losses of different runs can be compared. Ranks may get
        different numbers of micro-batches: add sums up over all of them at the end.

        Args:
            batch_tokens: real tokens that a micro-batch may have.
            rank: of this process.
            max_sequences: stop after the first so many.

        Raises:
            OSError: a shard cannot be read.
            ValueError: there is no validation split, or it has a sequence longer than
                `batch_tokens`.
        """
        corpus = Corpus.open(self.corpus.folder, "validation")
        check_budget(corpus.longest, 1, batch_tokens, 1)
        count = len(corpus) if max_sequences is None else min(max_sequences, len(corpus))
        turn = 0
        for first in range(0, count, _VALIDATION_DRAW):
            indices = np.arange(first, min(first + _VALIDATION_DRAW, len(corpus)))
            tokens, labels, lengths = self._masked(corpus, indices, "validation", first)
            kept = lengths[: count - first]
            end = int(kept.sum())
            [micros] = split_step(
                tokens[:end],
                labels[:end],
                kept,
                micro_tokens=batch_tokens,
                ranks=1,
                pad_id=corpus.special_ids["pad"],
            )
            for micro in micros:
                if turn % self.ranks == rank:
                    yield micro
                turn += 1
