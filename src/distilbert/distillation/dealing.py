"""Dealing the sequences of a step to ranks and micro-batches: by length, equally many per rank.

A budget of real tokens bounds a micro-batch; padding is kept small by putting sequences of like
length together. Nothing here knows of torch.
"""

import numpy as np


def deal(lengths: np.ndarray, *, micro_tokens: int, ranks: int) -> list[list[np.ndarray]]:
    """Deal the sequences of a step: `[rank][micro]`, each the ascending places of its sequences.

    Every rank gets as many micro-batches, none has more than `micro_tokens` real tokens, and
    together they are the global batch. Where a step has fewer sequences than there are
    micro-batches to fill, the first micro-batch of some ranks is empty; the last one of every rank
    never is, so gradients can be reduced there.

    Args:
        lengths: tokens of each sequence.
        micro_tokens: real tokens that a micro-batch may have.
        ranks: processes that share the step.

    Raises:
        ValueError: a sequence is longer than `micro_tokens`, or a rank would get none.

    >>> [[places.tolist() for places in rank] for rank in deal([3, 9, 4], micro_tokens=9, ranks=1)]
    [[[1], [0, 2]]]
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    check_budget(int(lengths.max(initial=0)), len(lengths), micro_tokens, ranks)
    order = np.argsort(-lengths, kind="stable")
    groups = _groups(lengths[order], micro_tokens, ranks)
    per_rank = -(-len(groups) // ranks)
    hands = [order[:0]] * (per_rank * ranks - len(groups)) + [order[g] for g in groups]
    dealt: list[list[np.ndarray]] = [[] for _ in range(ranks)]
    for row in range(per_rank):
        turn = hands[row * ranks : (row + 1) * ranks]
        if row % 2:
            turn.reverse()  # who had the heaviest of a row has the lightest of the next
        for micros, members in zip(dealt, turn, strict=True):
            micros.append(np.sort(members))
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
            "micro_tokens, or lower max_length (of `distilbert prepare`, if this is a corpus)"
        )
    if sequences < ranks:
        raise ValueError(
            f"a step has {sequences} sequences, fewer than its {ranks} processes; "
            "give every process at least one"
        )


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
