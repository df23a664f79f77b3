"""Which tokens a model has to guess: rare ones more often, special ones never (PAPER.md).

Masks are drawn over the whole batch of an optimiser step, before it is split, so that every way of
splitting it sees the same ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from distilbert.distillation.randomness import Key, generator

IGNORED = -100  # the label of a token that is not to be guessed


@dataclass(frozen=True)
class Masking:
    """How masks are drawn.

    Args:
        rate: share of all tokens of the batch that are to be guessed.
        smoothing: a token is chosen with a probability proportional to its frequency to the minus
            this power; 0 chooses all alike.
        mask: share of the chosen tokens that are replaced by [MASK].
        random: share that are replaced by a random token; the rest stays as it is.

    Raises:
        ValueError: a share is out of range, or the last two add up to more than 1.
    """

    rate: float = 0.15
    smoothing: float = 0.7
    mask: float = 0.8
    random: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ValueError(f"the mask rate must be between 0 and 1, not {self.rate}")
        if not 0 <= self.smoothing < 10:
            raise ValueError(f"the smoothing must be from 0 to 10, not {self.smoothing}")
        if min(self.mask, self.random) < 0 or self.mask + self.random > 1:
            raise ValueError(
                "mask and random are shares of the masked tokens that add up to at most 1; "
                f"they are {self.mask} and {self.random}"
            )


def draw(
    tokens: np.ndarray,
    *key: Key,
    counts: np.ndarray,
    special_ids: Mapping[str, int],
    masking: Masking | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the tokens of a batch to be guessed and return (masked tokens, labels), both flat.

    Exactly `round(rate * len(tokens))` tokens are chosen, without replacement; at least one, and
    never more than there are tokens that are not special.

    Args:
        tokens: (N,) ids of a whole batch, special tokens included.
        key: (seed, step), or whatever else the masks are to be a function of.
        counts: (V,) how often each token is in the corpus; 0 counts as 1.
        special_ids: tokens that are never chosen; "mask" is the one that stands in.

    Returns:
        masked tokens: (N,) int64.
        labels: (N,) int64, the original id where a token was chosen, -100 elsewhere.

    Raises:
        ValueError: an id is outside the vocabulary.
    """
    masking = masking or Masking()
    tokens = np.asarray(tokens, dtype=np.int64)
    masked, labels = tokens.copy(), np.full_like(tokens, IGNORED)
    if not tokens.size:
        return masked, labels
    if tokens.min() < 0 or tokens.max() >= len(counts):
        raise ValueError(
            f"ids from {tokens.min()} to {tokens.max()} do not fit a vocabulary of {len(counts)}"
        )
    chance = np.maximum(counts, 1).astype(np.float64) ** -masking.smoothing  # (V,)
    chance[list(special_ids.values())] = 0.0
    chances = chance[tokens]  # (N,)
    wanted = max(1, round(masking.rate * tokens.size))
    wanted = min(wanted, int(np.count_nonzero(chances)))
    if not wanted:
        return masked, labels
    source = generator("masks", *key)
    # An exponential race: the first `wanted` of clocks that ring at these rates are a draw without
    # replacement with these probabilities, in O(N).
    with np.errstate(divide="ignore", invalid="ignore"):
        rings = -np.log1p(-source.random(tokens.size)) / chances
    rings[chances == 0] = np.inf
    chosen = np.sort(np.argpartition(rings, wanted - 1)[:wanted])
    labels[chosen] = tokens[chosen]
    fates, others = source.random(wanted), source.random(wanted)
    by_mask = fates < masking.mask
    by_random = ~by_mask & (fates < masking.mask + masking.random)
    masked[chosen[by_mask]] = special_ids["mask"]
    masked[chosen[by_random]] = (others[by_random] * len(counts)).astype(np.int64)
    return masked, labels
