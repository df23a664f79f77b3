"""Micro-batches: together the global batch, equally many per rank, within the budget."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert.distillation import batches
from distilbert.distillation.batches import StepSource, split_step
from distilbert.distillation.corpus import Corpus
from distilbert.distillation.dealing import deal
from distilbert.distillation.masking import IGNORED


def dealt(lengths, micro_tokens, ranks):
    lengths = np.array(lengths)
    tokens = np.arange(lengths.sum()) + 100
    labels = np.where(tokens % 7 == 0, tokens, IGNORED)
    micros = split_step(tokens, labels, lengths, micro_tokens=micro_tokens, ranks=ranks, pad_id=0)
    return tokens, labels, micros


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_union_is_the_batch(data):
    ranks = data.draw(st.integers(1, 4))
    longest = data.draw(st.integers(1, 40))
    lengths = data.draw(st.lists(st.integers(1, longest), min_size=ranks, max_size=60))
    micro_tokens = data.draw(st.integers(longest, 200))
    tokens, labels, micros = dealt(lengths, micro_tokens, ranks)
    assert len(micros) == ranks
    assert len({len(rank) for rank in micros}) == 1
    ends = np.cumsum(lengths)
    seen = []
    for rank in micros:
        assert len(rank[-1]) > 0
        assert all(len(micro) > 0 for micro in rank[1:])
        for micro in rank:
            assert sum(micro.lengths) <= micro_tokens
            assert micro.input_ids.shape == micro.labels.shape
            assert micro.labels.shape == (len(micro), max(micro.lengths, default=0))
            for row, (sequence, length) in enumerate(
                zip(micro.sequences, micro.lengths, strict=True)
            ):
                span = slice(ends[sequence] - lengths[sequence], ends[sequence])
                assert length == lengths[sequence]
                assert np.array_equal(micro.input_ids[row, :length], tokens[span])
                assert np.array_equal(micro.labels[row, :length], labels[span])
                assert (micro.input_ids[row, length:] == 0).all()
                assert (micro.labels[row, length:] == IGNORED).all()
            seen += micro.sequences.tolist()
    assert sorted(seen) == list(range(len(lengths)))


def test_is_the_same_every_time():
    lengths = np.random.default_rng(0).integers(1, 64, 200)
    for one, other in zip(dealt(lengths, 512, 3)[2], dealt(lengths, 512, 3)[2], strict=True):
        for a, b in zip(one, other, strict=True):
            assert np.array_equal(a.sequences, b.sequences)
            assert np.array_equal(a.input_ids, b.input_ids)


def test_no_more_micro_batches_than_needed_and_little_padding():
    lengths = np.random.default_rng(1).integers(12, 513, 2000)
    _, _, micros = dealt(lengths, 16_384, 2)
    count = sum(len(rank) for rank in micros)
    assert count <= 2 * -(-lengths.sum() // 16_384 // 2) + 2
    padded = sum(micro.input_ids.size for rank in micros for micro in rank)
    assert padded < 1.05 * lengths.sum()
    per_rank = [sum(sum(micro.lengths) for micro in rank) for rank in micros]
    assert max(per_rank) < 1.02 * min(per_rank)


def test_who_has_the_heaviest_of_a_row_has_the_lightest_of_the_next():
    dealt = deal(np.array([9, 8, 7, 6, 5, 4]), micro_tokens=9, ranks=2)
    assert [[int(place) for [place] in rank] for rank in dealt] == [[0, 3, 4], [1, 2, 5]]


def test_fewer_sequences_than_micro_batches():
    _, _, micros = dealt([10, 10, 10, 10, 10], 10, 4)  # 5 do not divide by 4
    assert [[len(micro) for micro in rank] for rank in micros] == [[0, 1]] * 3 + [[1, 1]]
    empty = micros[0][0]
    assert empty.input_ids.shape == (0, 0)
    assert empty.lengths == []
    assert empty.masked == 0


def test_impossible_budgets_are_refused():
    with pytest.raises(ValueError, match="a sequence has 11 tokens, and a micro-batch may have 10"):
        dealt([5, 11], 10, 1)
    with pytest.raises(ValueError, match="2 sequences, fewer than its 3 processes"):
        dealt([5, 5], 10, 3)
    with pytest.raises(ValueError, match="must be positive"):
        dealt([5], 10, 0)


@pytest.fixture
def corpus(make_corpus):
    return Corpus.open(make_corpus(documents=300, validation_fraction=0.2))


def gathered(micros):
    rows = {}
    for micro in (micro for rank in micros for micro in rank):
        for row, (sequence, length) in enumerate(zip(micro.sequences, micro.lengths, strict=True)):
            rows[int(sequence)] = (
                micro.input_ids[row, :length].tolist(),
                micro.labels[row, :length].tolist(),
            )
    return rows


def test_steps_do_not_depend_on_ranks_budget_or_history(corpus):
    longest = corpus.longest
    options = {"seed": 3, "sequences_per_step": 24}
    plain = StepSource(corpus, micro_tokens=10 * longest, prefetch=0, **options)
    expected = {number: plain.step(number) for number in (0, 1, 2, 30)}
    with StepSource(corpus, micro_tokens=longest, ranks=3, prefetch=2, **options) as source:
        for number in (2, 0, 1, 2, 30):
            micros, counts = source.step(number)
            assert counts == expected[number][1]
            assert gathered(micros) == gathered(expected[number][0])
            assert counts.tokens == sum(len(m.tokens) for rank in micros for m in rank)
            assert counts.masked == sum(m.masked for rank in micros for m in rank)
            assert counts.masked == round(0.15 * counts.tokens)


def test_a_budget_below_the_longest_sequence_is_found_at_once(corpus):
    with pytest.raises(ValueError, match="raise micro_tokens"):
        StepSource(corpus, seed=0, sequences_per_step=8, micro_tokens=corpus.longest - 1)
    with pytest.raises(ValueError, match="at least one"):
        StepSource(corpus, seed=0, sequences_per_step=2, micro_tokens=9999, ranks=3)


def test_validation_is_the_same_for_every_run(corpus):
    held_out = Corpus.open(corpus.folder, "validation")

    def rows(batch_tokens, ranks, seed, **options):
        found, tokens = [], 0
        for rank in range(ranks):
            source = StepSource(
                corpus, seed=seed, sequences_per_step=8, micro_tokens=9999, ranks=ranks
            )
            for micro in source.validation(batch_tokens, rank=rank, **options):
                assert len(micro.tokens) == sum(micro.lengths) <= batch_tokens
                tokens += len(micro.tokens)
                found += list(gathered([[micro]]).values())
        return sorted(found), tokens

    everything = rows(200, 1, 0)
    assert everything == rows(1000, 2, 5)
    assert everything[1] == held_out.tokens
    assert len(everything[0]) == len(held_out)
    part, _ = rows(200, 1, 0, max_sequences=5)
    assert len(part) == 5
    assert all(row in everything[0] for row in part)


def test_validation_in_several_draws(corpus, monkeypatch):
    monkeypatch.setattr(batches, "_VALIDATION_DRAW", 7)
    held_out = Corpus.open(corpus.folder, "validation")
    source = StepSource(corpus, seed=0, sequences_per_step=8, micro_tokens=9999)

    def found(**options):
        micros = list(source.validation(200, **options))
        return [row for micro in micros for row in gathered([[micro]]).values()]

    everything = found()
    assert len(everything) == len(held_out) > 14
    originals = [
        [label if label != IGNORED else token for token, label in zip(*row, strict=True)]
        for row in everything
    ]
    tokens, lengths = held_out.read(np.arange(len(held_out)))
    assert sorted(originals) == sorted(x.tolist() for x in np.split(tokens, lengths.cumsum()[:-1]))
    halves = [
        list(StepSource(
            corpus, seed=0, sequences_per_step=8, micro_tokens=9999, ranks=2
        ).validation(200, rank=rank))
        for rank in (0, 1)
    ]  # fmt: skip
    assert abs(len(halves[0]) - len(halves[1])) <= 1
    part = found(max_sequences=10)
    assert len(part) == 10
    assert all(row in everything for row in part)
