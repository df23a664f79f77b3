"""From the global batch of an optimiser step to micro-batches: by length, equally many per rank.

A budget of real tokens bounds a micro-batch; padding is kept small by putting sequences of like
length together. Nothing here knows of torch.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np

from distilbert.distillation.corpus import Corpus
from distilbert.distillation.masking import IGNORED, Masking, draw
from distilbert.distillation.order import step_indices

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

    @cached_property
    def attention_mask(self) -> np.ndarray:
        """(B, T) int64, 0 for padding."""
        return self._is_real.astype(np.int64)


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
    check_budget(int(lengths.max(initial=0)), len(lengths), micro_tokens, ranks)
    order = np.argsort(-lengths, kind="stable")
    ends = np.cumsum(lengths)
    groups = _groups(lengths[order], micro_tokens, ranks)
    per_rank = -(-len(groups) // ranks)
    hands = [order[:0]] * (per_rank * ranks - len(groups)) + [order[g] for g in groups]
    dealt: list[list[Micro]] = [[] for _ in range(ranks)]
    for row in range(per_rank):
        turn = hands[row * ranks : (row + 1) * ranks]
        if row % 2:
            turn.reverse()  # who had the heaviest of a row has the lightest of the next
        for micros, members in zip(dealt, turn, strict=True):
            members = np.sort(members)
            spans = [slice(ends[i] - lengths[i], ends[i]) for i in members]
            micros.append(
                Micro(
                    tokens=_joined([tokens[span] for span in spans]),
                    targets=_joined([labels[span] for span in spans]),
                    sizes=lengths[members],
                    sequences=members,
                    pad_id=pad_id,
                )
            )
    return dealt


def check_budget(longest: int, sequences: int, micro_tokens: int, ranks: int) -> None:
    """Find out before a run begins whether its steps can be dealt at all.

    Raises:
        ValueError: they cannot, and what to change.
    """
    if ranks < 1 or micro_tokens < 1:
        raise ValueError(f"micro_tokens={micro_tokens} and ranks={ranks} must be positive")
    if longest > micro_tokens:
        raise ValueError(
            f"a sequence has {longest} tokens, and a micro-batch may have {micro_tokens}; raise "
            "micro_tokens, or prepare the corpus with a smaller max_length"
        )
    if sequences < ranks:
        raise ValueError(
            f"a step has {sequences} sequences, fewer than its {ranks} processes; "
            "give every process at least one"
        )


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int64), *parts])


def _groups(lengths: np.ndarray, micro_tokens: int, ranks: int) -> list[slice]:
    """Cut descending lengths into as many stretches as the ranks need, of about equal weight."""
    needed = len(_cut(lengths, micro_tokens))
    wanted = min(-(-needed // ranks) * ranks, len(lengths))
    low, high = int(lengths[0]), micro_tokens
    while low < high:
        middle = (low + high) // 2
        if len(_cut(lengths, middle)) <= wanted:
            high = middle
        else:
            low = middle + 1
    groups = _cut(lengths, low)
    while len(groups) < wanted:
        sizes = [int(lengths[g].sum()) if g.stop - g.start > 1 else -1 for g in groups]
        heaviest = groups.pop(place := int(np.argmax(sizes)))
        running = np.cumsum(lengths[heaviest])
        half = int(np.searchsorted(running, running[-1] / 2))
        cut = heaviest.start + min(max(half, 1), len(running) - 1)
        groups[place:place] = [slice(heaviest.start, cut), slice(cut, heaviest.stop)]
    return groups


def _cut(lengths: np.ndarray, capacity: int) -> list[slice]:
    """Fill one stretch after the other."""
    ends = np.cumsum(lengths)
    groups, start, before = [], 0, 0
    while start < len(lengths):
        stop = int(np.searchsorted(ends, before + capacity, side="right"))
        groups.append(slice(start, stop))
        start, before = stop, int(ends[stop - 1])
    return groups


class StepSource:
    """The batches of a run: step number in, micro-batches of every rank out.

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
        self.corpus = corpus
        self.seed = seed
        self.sequences_per_step = sequences_per_step
        self.micro_tokens = micro_tokens
        self.ranks = ranks
        self.masking = masking or Masking()
        self._prefetch = prefetch
        self._thread: ThreadPoolExecutor | None = None
        self._ahead: dict[int, Future[tuple[list[list[Micro]], Counts]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread that makes steps ahead."""
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)
        self._thread, self._ahead = None, {}

    def step(self, number: int) -> tuple[list[list[Micro]], Counts]:
        """Return the micro-batches of a step as `[rank][micro]`, and the counts of all together.

        Raises:
            OSError: a shard cannot be read.
            ValueError: the step's number is negative.
        """
        if self._prefetch < 1:
            return self._make(number)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="distilbert-batches")
        wanted = range(number, number + self._prefetch + 1)
        for stale in [each for each in self._ahead if each not in wanted]:
            self._ahead.pop(stale).cancel()
        for each in wanted:
            if each not in self._ahead:
                self._ahead[each] = self._thread.submit(self._make, each)
        return self._ahead.pop(number).result()

    def _make(self, number: int) -> tuple[list[list[Micro]], Counts]:
        corpus = self.corpus
        indices = step_indices(number, self.sequences_per_step, len(corpus), self.seed)
        tokens, lengths = corpus.read(indices)
        masked, labels = draw(
            tokens,
            self.seed,
            number,
            counts=corpus.counts,
            special_ids=corpus.special_ids,
            masking=self.masking,
        )
        micros = split_step(
            masked,
            labels,
            lengths,
            micro_tokens=self.micro_tokens,
            ranks=self.ranks,
            pad_id=corpus.special_ids["pad"],
        )
        return micros, Counts(len(tokens), int(np.count_nonzero(labels != IGNORED)))

    def validation(
        self, batch_tokens: int, *, rank: int = 0, max_sequences: int | None = None
    ) -> Iterator[tuple[Micro, Counts]]:
        """Yield one rank's share of the validation split, each micro-batch with its own counts.

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
            tokens, lengths = corpus.read(indices)
            masked, labels = draw(
                tokens,
                "validation",
                first,
                counts=corpus.counts,
                special_ids=corpus.special_ids,
                masking=self.masking,
            )
            kept = lengths[: count - first]
            end = int(kept.sum())
            [micros] = split_step(
                masked[:end],
                labels[:end],
                kept,
                micro_tokens=batch_tokens,
                ranks=1,
                pad_id=corpus.special_ids["pad"],
            )
            for micro in micros:
                if turn % self.ranks == rank:
                    yield micro, Counts(len(micro.tokens), micro.masked)
                turn += 1
