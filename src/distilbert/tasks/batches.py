"""The batches of a fine-tuning run: step number in, micro-batches of every rank out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from distilbert.distillation.dealing import check_budget, deal
from distilbert.distillation.masking import IGNORED
from distilbert.distillation.order import step_indices
from distilbert.distillation.prefetch import Prefetched
from distilbert.tasks.features import Batch, Features


@dataclass(frozen=True)
class Counts:
    """What sums are divided by: counts over all ranks and micro-batches of a step.

    Args:
        tokens: real tokens, special ones included.
        weight: labels, each with the weight of its class.
        targets: the outputs that have a label, or that a teacher has for a text.
    """

    tokens: int
    weight: float
    targets: int


class TaskSource(Prefetched[tuple[list[list[Batch]], Counts]]):
    """The batches of a run, in an order of its own every epoch.

    A step is a function of (features, seed, step), however it is split.

    Args:
        features: the training split.
        seed: of the order.
        batch_size: examples per optimiser step, over all ranks.
        micro_tokens: real tokens that a micro-batch may have.
        ranks: processes that share the step.
        class_weights: (L,), the weight of each label's loss.
        contrasts: the loss of an example depends on the others of its batch, which is therefore one
            micro-batch, whatever `micro_tokens` says.
        prefetch: steps that a thread makes ahead.

    Raises:
        ValueError: an example is longer than `micro_tokens`, a rank would get none, or a batch
            that is to be contrasted has one example, or several ranks.
    """

    def __init__(
        self,
        features: Features,
        *,
        seed: int,
        batch_size: int,
        micro_tokens: int,
        ranks: int = 1,
        class_weights: np.ndarray | None = None,
        contrasts: bool = False,
        prefetch: int = 2,
    ) -> None:
        super().__init__(prefetch)
        if batch_size < ranks:
            raise ValueError(
                f"batch_size must be at least 1 for each of the {ranks} processes, got {batch_size}"
            )
        if contrasts:
            check_contrast(batch_size, ranks)
        check_budget(int(features.sizes.max(initial=0)), batch_size, micro_tokens, ranks)
        self.features = features
        self.seed, self.batch_size = seed, batch_size
        self.micro_tokens, self.ranks = micro_tokens, ranks
        self.class_weights, self.contrasts = class_weights, contrasts

    def _make(self, number: int) -> tuple[list[list[Batch]], Counts]:
        features = self.features
        chosen = step_indices(number, self.batch_size, len(features), self.seed)
        sizes = features.sizes[chosen]
        budget = max(self.micro_tokens, int(sizes.sum())) if self.contrasts else self.micro_tokens
        dealt = deal(sizes, micro_tokens=budget, ranks=self.ranks)
        micros = [[features.batch(chosen[places]) for places in hand] for hand in dealt]
        labels = np.concatenate([micro.labels.ravel() for hand in micros for micro in hand])
        counts = count(labels, int(sizes.sum()), self.class_weights)
        if features.has_outputs_per_row:
            counts = replace(counts, targets=len(chosen) * features.rows)
        return micros, counts


def check_contrast(batch_size: int, ranks: int) -> None:
    """Check that pairs can be contrasted with the others of their batch.

    Raises:
        ValueError: there are none, or they are shared out among processes.
    """
    if batch_size < 2:
        raise ValueError(
            "pairs without labels are contrasted with the others of their batch: batch_size must "
            f"be at least 2, got {batch_size}"
        )
    if ranks > 1:
        raise ValueError(
            f"pairs without labels are contrasted with their whole batch, which {ranks} processes "
            "would split: train them in one"
        )


def count(labels: np.ndarray, tokens: int, class_weights: np.ndarray | None = None) -> Counts:
    """Return the counts of some labels, (n,), those equal to -100 left out.

    Labels of several values (spans, zeros and ones) count each value.
    """
    known = labels[labels != IGNORED] if labels.dtype.kind == "i" else labels
    weight = float(len(known) if class_weights is None else class_weights[known].sum())
    return Counts(tokens, weight, len(known))


def in_order(
    features: Features, batch_tokens: int, *, rank: int = 0, ranks: int = 1
) -> Iterator[Batch]:
    """Yield one rank's share of all examples, examples of like length together.

    Args:
        batch_tokens: real tokens that a batch may have.

    Raises:
        ValueError: an example is longer than `batch_tokens`.
    """
    [dealt] = deal(features.sizes, micro_tokens=batch_tokens, ranks=1)
    for places in dealt[rank::ranks]:
        yield features.batch(places)
