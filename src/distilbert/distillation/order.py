"""In which order sequences are read: a permutation for every epoch, none of them in memory.

A Feistel network with two halves of the bits permutes the smallest power of two that is not below
`count`; what falls outside 0..count-1 is sent through again until it falls inside (cycle walking).
"""

import numpy as np

from distilbert.distillation.randomness import Key, generator

_ROUNDS = 8  # even: the halves, which may differ by a bit, end where they began


def permuted(index: np.ndarray, count: int, *key: Key) -> np.ndarray:
    """Return where a pseudo-random permutation of 0..count-1 sends the given indices, int64.

    Memory and time depend on how many indices are asked for, not on `count`.

    Raises:
        ValueError: `count` is not positive, or an index is not in 0..count-1.

    >>> sorted(permuted(np.arange(10), 10, 7, "epoch", 0).tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    if count < 1:
        raise ValueError(f"there is nothing to permute: count={count}")
    index = np.asarray(index, dtype=np.int64)
    if index.size and (index.min() < 0 or index.max() >= count):
        raise ValueError(f"an index is outside 0..{count - 1}")
    bits = max(2, (count - 1).bit_length())
    round_keys = generator("order", *key).bit_generator.random_raw(_ROUNDS)
    values = _feistel(index.astype(np.uint64), bits, round_keys)
    outside = np.flatnonzero(values >= count)
    while outside.size:
        again = _feistel(values[outside], bits, round_keys)
        values[outside] = again
        outside = outside[again >= count]
    return values.astype(np.int64)


def _feistel(values: np.ndarray, bits: int, round_keys: np.ndarray) -> np.ndarray:
    high_bits, low_bits = bits // 2, bits - bits // 2
    high, low = values >> np.uint64(low_bits), values & np.uint64((1 << low_bits) - 1)
    for key in round_keys:
        high, low = low, high ^ (_mixed(low ^ key) >> np.uint64(64 - high_bits))
        high_bits, low_bits = low_bits, high_bits
    return high << np.uint64(low_bits) | low


def _mixed(values: np.ndarray) -> np.ndarray:
    """Spread every bit over all 64 (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def step_indices(step: int, per_step: int, count: int, seed: int) -> np.ndarray:
    """Return the sequences of one optimiser step, over all its ranks and micro-batches, int64.

    Steps follow each other through epoch after epoch; every epoch has its own permutation, and a
    step may span two of them.

    Args:
        step: counted from 0.
        per_step: sequences in a step.
        count: sequences in the corpus.

    Raises:
        ValueError: a number is out of range.
    """
    if step < 0 or per_step < 1 or count < 1:
        raise ValueError(
            f"no such step: step={step}, {per_step} sequences a step, {count} in the corpus"
        )
    places = np.arange(per_step, dtype=np.int64) + step * per_step
    epochs, within = places // count, places % count
    parts = [
        permuted(within[epochs == epoch], count, seed, "epoch", int(epoch))
        for epoch in np.unique(epochs)
    ]
    return np.concatenate(parts)
