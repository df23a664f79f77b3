"""Masks: exact counts, frequencies, the three fates, and never a special token."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert.distillation.masking import IGNORED, Masking, draw

SPECIAL = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}


def batch(size, vocab_size, seed=0):
    generator = np.random.default_rng(seed)
    tokens = np.minimum(generator.geometric(0.02, size=size) + 4, vocab_size - 1)
    tokens[::20] = SPECIAL["cls"]
    tokens[19::20] = SPECIAL["sep"]
    tokens[7::50] = SPECIAL["unk"]
    return tokens


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 400),
    st.floats(0.01, 0.99),
    st.floats(0, 2),
    st.integers(0, 100),
    st.integers(0, 1000),
)
def test_as_many_as_asked_for_and_none_special(size, rate, smoothing, seed, step):
    tokens = batch(size, 300, seed)
    counts = np.bincount(tokens, minlength=300)
    before = tokens.copy()
    masked, labels = draw(
        tokens,
        seed,
        step,
        counts=counts,
        special_ids=SPECIAL,
        masking=Masking(rate=rate, smoothing=smoothing),
    )
    chosen = labels != IGNORED
    maskable = ~np.isin(tokens, list(SPECIAL.values()))
    assert chosen.sum() == min(max(1, round(rate * size)), maskable.sum())
    assert not (chosen & ~maskable).any()
    assert np.array_equal(labels[chosen], tokens[chosen])
    assert np.array_equal(masked[~chosen], tokens[~chosen])
    assert np.array_equal(tokens, before)
    assert masked.min() >= 0
    assert masked.max() < 300


def test_is_a_function_of_its_key():
    tokens = batch(1000, 300)
    options = {"counts": np.ones(300), "special_ids": SPECIAL}
    first = draw(tokens, 1, 2, **options)
    for one, other in zip(first, draw(tokens, 1, 2, **options), strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(first[1], draw(tokens, 1, 3, **options)[1])
    assert not np.array_equal(first[1], draw(tokens, 2, 2, **options)[1])


def test_frequencies_follow_the_power_of_the_counts():
    # Few of many are drawn, so that drawing without replacement does not bend the frequencies.
    kinds, each = 8, 25_000
    tokens = np.repeat(np.arange(kinds) + 10, each)
    counts = np.zeros(18, dtype=np.int64)
    counts[10:] = 10.0 ** np.arange(kinds)
    drawn = np.zeros(18)
    for step in range(20):
        _, labels = draw(
            tokens, 0, step, counts=counts, special_ids=SPECIAL, masking=Masking(rate=0.005)
        )
        drawn += np.bincount(labels[labels != IGNORED], minlength=18)
    expected = counts[10:].astype(float) ** -0.7
    expected *= drawn.sum() / expected.sum()
    sigma = np.sqrt(np.maximum(expected, 1))
    assert np.all(np.abs(drawn[10:] - expected) < 5 * sigma)


def test_the_three_fates():
    size = 100_000
    tokens = np.full(size, 1234)
    masking = Masking(rate=0.5, mask=0.6, random=0.3)
    masked, labels = draw(tokens, 9, counts=np.ones(2000), special_ids=SPECIAL, masking=masking)
    chosen = masked[labels != IGNORED]
    assert len(chosen) == size // 2
    assert np.mean(chosen == SPECIAL["mask"]) == pytest.approx(0.6, abs=0.01)
    assert np.mean(chosen == 1234) == pytest.approx(0.1, abs=0.01)
    others = chosen[(chosen != SPECIAL["mask"]) & (chosen != 1234)]
    assert np.unique(others).size > 1950  # from the whole vocabulary, evenly
    assert np.bincount(others, minlength=2000).max() < 30


def test_masks_of_a_batch_do_not_depend_on_how_it_is_split_later():
    tokens = batch(600, 300)
    options = {"counts": np.ones(300), "special_ids": SPECIAL}
    masked, labels = draw(tokens, 5, 0, **options)
    again, _ = draw(tokens.astype(np.uint16), 5, 0, **options)
    assert np.array_equal(masked, again)
    assert masked.dtype == labels.dtype == np.int64


def test_nothing_to_mask():
    empty = np.array([], dtype=np.int64)
    for tokens in (empty, np.array([2, 3, 1, 0])):
        masked, labels = draw(tokens, 0, counts=np.ones(9), special_ids=SPECIAL)
        assert np.array_equal(masked, tokens)
        assert (labels == IGNORED).all()


def test_all_can_be_masked():
    tokens = np.array([2, 7, 8, 3])
    _, labels = draw(tokens, 0, counts=np.ones(9), special_ids=SPECIAL, masking=Masking(rate=0.99))
    assert labels.tolist() == [IGNORED, 7, 8, IGNORED]


def test_the_usual_masks():
    assert Masking() == Masking(rate=0.15, smoothing=0.7, mask=0.8, random=0.1)


def test_bad_settings():
    with pytest.raises(ValueError, match="do not fit a vocabulary of 9"):
        draw(np.array([9]), 0, counts=np.ones(9), special_ids=SPECIAL)
    for bad in (
        {"rate": 0},
        {"rate": 1},
        {"mask": 0.95},
        {"smoothing": -1},
        {"random": -0.1},
    ):
        with pytest.raises(ValueError, match=r"rate|shares|smoothing"):
            Masking(**bad)
