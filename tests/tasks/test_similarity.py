"""The losses of sentence embeddings, by hand."""

import numpy as np
import pytest
import torch

from distilbert.tasks import similarity


@pytest.fixture
def embeddings():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32))


def cosines(first, second):
    norms = first.norm(dim=1)[:, None] * second.norm(dim=1)
    return first @ second.T / norms


def test_similarities_are_regressed(embeddings):
    labels = torch.tensor([0.0, 1.0, 0.5, 0.2, 0.9])
    found = similarity.pair_sum(embeddings, labels)
    own = cosines(embeddings[::2], embeddings[1::2]).diagonal()
    assert found.item() == pytest.approx(((own - labels) ** 2).sum().item(), rel=1e-5)


@pytest.mark.parametrize("rows", [2, 1024])
def test_pairs_are_contrasted_either_way(embeddings, monkeypatch, rows):
    monkeypatch.setattr(similarity, "_ROWS", rows)
    logits = 20 * cosines(embeddings[::2], embeddings[1::2])
    expected = -sum(x.log_softmax(1).diagonal().sum() for x in (logits, logits.T))
    found = similarity.pair_sum(embeddings, torch.arange(10).view(5, 2))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_right_answers_are_not_taken_for_wrong_ones(embeddings):
    """Pairs 0 and 1 have the same first text, 2 and 3 the same second one; 4 begins with 1's."""
    labels = torch.tensor([[0, 1], [0, 2], [3, 4], [5, 4], [2, 6]])
    logits = 20 * cosines(embeddings[::2], embeddings[1::2])
    left_out = [{1}, {0}, {3}, {2}, {1}], [{1}, {0, 4}, {3}, {2}, set()]
    expected = 0.0
    for x, out in zip((logits, logits.T), left_out, strict=True):
        for i in range(5):
            others = [j for j in range(5) if j not in out[i]]
            expected -= x[i, i] - x[i, others].logsumexp(0)
    assert similarity.pair_sum(embeddings, labels).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_a_teacher_s_cosine(embeddings):
    goals = embeddings.flip(0)
    expected = (1 - cosines(embeddings, goals).diagonal()).sum().item()
    assert similarity.taught_sum(embeddings, goals).item() == pytest.approx(expected, rel=1e-5)
    unit = torch.nn.functional.normalize
    squared = (unit(embeddings) - unit(goals)).pow(2).sum().item()
    assert squared / 2 == pytest.approx(expected, rel=1e-5)
    assert similarity.taught_sum(3 * goals, goals).item() == pytest.approx(0, abs=1e-5)
