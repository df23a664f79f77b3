"""Permutations without a permutation in memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert.distillation.order import permuted, step_indices


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 1 << 40))
def test_is_a_permutation(count, seed):
    assert sorted(permuted(np.arange(count), count, seed).tolist()) == list(range(count))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 31, 64, 127, 128, 129, 65_536, 65_537])
def test_is_a_permutation_at_the_edges(count):
    assert np.array_equal(np.sort(permuted(np.arange(count), count, 0)), np.arange(count))


def test_keys_give_different_permutations():
    index = np.arange(100)
    orders = {tuple(permuted(index, 100, seed, "epoch", e)) for seed in range(20) for e in range(5)}
    assert len(orders) == 100


def test_an_index_goes_where_it_goes_alone():
    count, some = 1000, np.array([3, 999, 0, 3])
    assert np.array_equal(permuted(np.arange(count), count, 5)[some], permuted(some, count, 5))


def test_looks_random():
    count = 20_000
    order = permuted(np.arange(count), count, 11)
    assert abs(np.corrcoef(np.arange(count), order)[0, 1]) < 0.03
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.03
    assert np.count_nonzero(order == np.arange(count)) < 10
    # where the first sixteenth of the indices lands, over all sixteenths
    landed = np.bincount(order[: count // 16] * 16 // count, minlength=16)
    assert landed.min() > count / 256 * 0.6


def test_a_place_gets_every_index_in_turn():
    landed = np.bincount(
        [int(permuted(np.array([2]), 5, seed)[0]) for seed in range(2000)], minlength=5
    )
    assert landed.min() > 300


def test_memory_is_that_of_what_is_asked_for():
    count = 200_000_000
    tracemalloc.start()
    picked = permuted(np.arange(0, count, count // 4096), count, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(picked.tolist())) == len(picked)
    assert picked.max() > count // 2
    assert peak < 2_000_000


def test_refuses_what_is_out_of_range():
    for count, index in [(0, []), (5, [5]), (5, [-1])]:
        with pytest.raises(ValueError, match=r"nothing to permute|outside"):
            permuted(np.array(index, dtype=np.int64), count, 0)
    with pytest.raises(ValueError, match="no such step"):
        step_indices(-1, 4, 10, 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 50), st.integers(1, 120), st.integers(0, 5))
def test_steps_read_every_sequence_once_an_epoch(per_step, count, seed):
    steps = -(-3 * count // per_step)
    read = np.concatenate([step_indices(s, per_step, count, seed) for s in range(steps)])
    for epoch in range(3):
        part = read[epoch * count : (epoch + 1) * count]
        assert sorted(part.tolist()) == list(range(count))


def test_epochs_and_seeds_differ():
    first, second = step_indices(0, 50, 50, 0), step_indices(1, 50, 50, 0)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, step_indices(0, 50, 50, 1))
    assert np.array_equal(first, step_indices(0, 50, 50, 0))
