import pytest
import torch
import torch.nn.functional as F
from torch import nn

from distilbert.modeling.dropout import Dropout, dropout


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_share_and_scale(rate, dtype):
    x = torch.ones(1_000_003, dtype=dtype, requires_grad=True)
    y = dropout(x, rate)
    y.sum().backward()
    kept = y != 0
    assert y.dtype == dtype
    assert kept.double().mean() == pytest.approx(1 - rate, abs=5 * (rate * (1 - rate) / 1e6) ** 0.5)
    torch.testing.assert_close(y[kept].float(), torch.full((int(kept.sum()),), 1 / (1 - rate)),
                               rtol=1e-4 if dtype == torch.float32 else 1e-2, atol=0)  # fmt: skip
    assert torch.equal(x.grad, y.detach())  # of ones: the same factors


def test_each_of_the_four_in_a_number_is_drawn_by_itself():
    kept = (dropout(torch.ones(400_000), 0.3) != 0).view(-1, 4).double()
    assert torch.allclose(kept.mean(0), torch.tensor(0.7).double(), atol=0.01)
    assert (torch.corrcoef(kept.T) - torch.eye(4)).abs().max() < 0.02


def test_a_seed_is_a_mask():
    def draw(seed, shape):
        torch.manual_seed(seed)
        return dropout(torch.ones(shape), 0.5)

    assert torch.equal(draw(3, (5, 7)), draw(3, (5, 7)))
    assert not torch.equal(draw(3, (5, 7)), draw(4, (5, 7)))
    assert draw(3, (0, 7)).shape == (0, 7)


@pytest.mark.parametrize("rate", [0.0, 1e-7, 1.0])
def test_rates_that_16_bits_cannot_say(rate):
    x = torch.randn(50)
    torch.testing.assert_close(dropout(x, rate), x * (rate < 1))


def test_the_module():
    layer = Dropout(0.5)
    x = torch.ones(100)
    assert 0 < (layer(x) == 0).sum() < 100
    assert layer.eval()(x) is x
    assert isinstance(layer, nn.Dropout)


def test_recorded_computations_take_pytorchs(monkeypatch):
    torch.manual_seed(0)
    assert dropout(torch.ones(3, device="meta"), 0.5).is_meta
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    expected = F.dropout(torch.ones(100), 0.5)
    torch.manual_seed(0)
    assert torch.equal(dropout(torch.ones(100), 0.5), expected)
