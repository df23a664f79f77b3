"""The steps of fine-tuning: every example once an epoch, however a step is split."""

import numpy as np
import pytest

from distilbert.tasks.batches import TaskSource, count, in_order
from distilbert.tasks.features import Features


def features(examples=50, seed=0):
    lengths = np.random.default_rng(seed).integers(2, 12, examples)
    tokens = np.arange(lengths.sum())
    return Features(tokens, lengths, lengths, np.arange(examples) % 3, 0)


def test_an_epoch_has_every_example_once():
    with TaskSource(features(), seed=1, batch_size=10, micro_tokens=30) as source:
        for epoch in range(2):
            places = []
            for step in range(5 * epoch, 5 * epoch + 5):
                [micros], counts = source.step(step)
                assert all(sum(micro.lengths) <= 30 for micro in micros)
                assert counts.tokens == sum(sum(micro.lengths) for micro in micros)
                assert counts.weight == counts.targets == 10
                places += [place for micro in micros for place in micro.places]
            assert sorted(places) == list(range(50))


def test_a_step_does_not_depend_on_how_it_is_split():
    def examples(step, **options):
        with TaskSource(features(), seed=1, batch_size=16, **options) as source:
            dealt, counts = source.step(step)
        return sorted(p for hand in dealt for micro in hand for p in micro.places), counts

    assert examples(3, micro_tokens=500) == examples(3, micro_tokens=20, ranks=3, prefetch=0)


def test_a_batch_that_is_contrasted_is_one_micro_batch():
    options = {"seed": 1, "batch_size": 16, "micro_tokens": 20}
    with TaskSource(features(), contrasts=True, **options) as source:
        [[micro]], counts = source.step(0)
    assert len(micro) == counts.targets == 16
    with pytest.raises(ValueError, match="whole batch, which 2 processes would split"):
        TaskSource(features(), contrasts=True, ranks=2, **options)
    with pytest.raises(ValueError, match="batch_size must be at least 2, got 1"):
        TaskSource(features(), contrasts=True, **{**options, "batch_size": 1})


def test_counts():
    labels = np.array([0, 2, -100, 2])
    assert count(labels, 9).weight == 3
    counts = count(labels, 9, np.array([0.5, 1.0, 2.0]))
    assert (counts.tokens, counts.weight, counts.targets) == (9, 4.5, 3)
    assert count(np.zeros(6, np.float32), 9).weight == 6


@pytest.mark.parametrize("ranks", [1, 3])
def test_in_order_shares_all_examples(ranks):
    data = features()
    seen = [
        p for rank in range(ranks) for b in in_order(data, 40, rank=rank, ranks=ranks)
        for p in b.places
    ]  # fmt: skip
    assert sorted(seen) == list(range(50))


def test_an_example_beyond_the_budget():
    with pytest.raises(ValueError, match="raise micro_tokens"):
        TaskSource(features(), seed=0, batch_size=4, micro_tokens=3)
