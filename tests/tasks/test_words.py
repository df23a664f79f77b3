"""An embedding of the words that are used trains as the whole one does."""

import numpy as np
import pytest
import torch
from torch import nn

from distilbert.tasks.words import UsedWords


@pytest.fixture
def whole():
    torch.manual_seed(0)
    return nn.Embedding(50, 4, padding_idx=0)


def trained(embedding, ids, steps=5):
    """Return the vectors of some ids after some steps of AdamW, and the losses."""
    optimizer = torch.optim.AdamW(embedding.parameters(), lr=0.1, weight_decay=0.01)
    losses = []
    for _ in range(steps):
        loss = (embedding(ids) ** 3).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return embedding(ids).detach(), losses


def test_it_trains_as_the_whole_one(whole):
    ids = torch.tensor([[3, 17, 0], [17, 49, 0]])
    copy = nn.Embedding.from_pretrained(whole.weight.clone(), freeze=False, padding_idx=0)
    used = UsedWords(whole, np.array([3, 17, 49]))  # padding is always there
    assert used.weight.shape == (4, 4)
    (ours, our_losses), (theirs, their_losses) = trained(used, ids), trained(copy, ids)
    assert our_losses == pytest.approx(their_losses, rel=1e-6)
    torch.testing.assert_close(ours, theirs)


def test_other_words_stay_as_they_are(whole):
    before = whole.weight.detach().clone()
    used = UsedWords(whole, np.array([[3, 17]]))
    vectors, _ = trained(used, torch.tensor([3, 17]))
    after = used.whole()
    assert after is whole
    assert torch.equal(after.weight[[3, 17]], vectors)
    others = [i for i in range(50) if i not in (3, 17)]
    assert torch.equal(after.weight[others], before[others])


def test_a_word_that_was_not_named(whole):
    with pytest.raises(IndexError):
        UsedWords(whole, np.array([3]))(torch.tensor([5]))


def test_only_its_vectors_are_saved(whole):
    assert UsedWords(whole, np.array([3])).state_dict().keys() == {"weight"}
