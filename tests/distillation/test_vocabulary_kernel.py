"""The kernel gives what the steps in PyTorch give. `TRITON_INTERPRET=1` runs it without a GPU."""

import os

import pytest
import torch

from distilbert.distillation import vocabulary_terms

pytest.importorskip("triton")
interpreted = os.environ.get("TRITON_INTERPRET") == "1"
pytestmark = pytest.mark.gpu
DEVICE = "cpu" if interpreted else "cuda"


@pytest.fixture(autouse=True)
def _device() -> None:
    if not interpreted and not torch.cuda.is_available():
        pytest.skip("no CUDA device, and not TRITON_INTERPRET=1")


@pytest.mark.parametrize("entries", [100, 5000, 9001])
@pytest.mark.parametrize("has_target", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_sums_and_gradient(entries: int, has_target: bool, temperature: float) -> None:
    from distilbert.distillation.vocabulary_kernel import terms_in_place

    torch.manual_seed(0)
    logits, target = 3 * torch.randn(2, 7, entries)
    labels = torch.tensor([-100, 3, -100, entries - 1, 0, -100, 50])
    factors = {"mlm": 0.3, "ce": 0.7, "temperature": temperature}
    gradient = logits.clone()
    mlm, ce = vocabulary_terms._to_gradient(
        gradient, labels, target=target.clone() if has_target else None, **factors
    )
    place = logits.to(DEVICE, copy=True)
    own_mlm, own_ce = terms_in_place(
        place, labels.to(DEVICE), target=target.to(DEVICE) if has_target else None, **factors
    )
    torch.testing.assert_close(own_mlm.cpu(), mlm, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(own_ce.cpu(), ce, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(place.cpu(), gradient, rtol=1e-5, atol=1e-7)


def test_far_apart_logits_stay_finite() -> None:
    from distilbert.distillation.vocabulary_kernel import terms_in_place

    logits = torch.tensor([[0.0, 1e4, -1e4] * 30], device=DEVICE)
    target = logits.flip(1)
    labels = torch.tensor([0], device=DEVICE)
    sums = terms_in_place(logits, labels, mlm=1.0, target=target, ce=1.0, temperature=2.0)
    assert torch.isfinite(torch.stack(sums)).all()
    assert torch.isfinite(logits).all()
