"""Frozen layers, and learning rates by depth."""

import pytest
import torch

from distilbert import DistilBertForSequenceClassification
from distilbert.recipes.layer_rates import freeze, rate_scale
from distilbert.runtime import launch
from distilbert.runtime.optimisation import make_optimizer, update

from .reviews import save_model


@pytest.fixture
def model(tmp_path):
    folder = save_model(tmp_path, head="SequenceClassification")
    return DistilBertForSequenceClassification.from_pretrained(folder)


def test_freeze(model):
    freeze(model, 0)
    assert all(p.requires_grad for p in model.parameters())
    freeze(model, 1)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    first = ("distilbert.embeddings.", "distilbert.transformer.layer.0.")
    assert frozen == {name for name, _ in model.named_parameters() if name.startswith(first)}
    for wrong in (-1, 3):
        with pytest.raises(ValueError, match=r"frozen_layers must be 0 to 2"):
            freeze(model, wrong)


def test_rates_fall_with_depth(model, fresh):
    scale = rate_scale(model, 0.5)
    assert scale("model.classifier.weight") == 1.0
    assert scale("model.distilbert.transformer.layer.1.ffn.lin1.weight") == 0.5
    assert scale("model.distilbert.transformer.layer.0.ffn.lin1.bias") == 0.25
    assert scale("model.distilbert.embeddings.word_embeddings.weight") == 0.125
    optimizer = make_optimizer(model, weight_decay=0.1, scale_of=scale)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    update(launch.start(), optimizer, step=0, rate=1e-3)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:  # nothing decays: Adam's first step is the rate
            step = (before[name] - parameter).detach()
            assert step == pytest.approx(torch.full_like(step, 1e-3 * scale(name)), rel=1e-2)
    for wrong in (0.0, 1.1):
        with pytest.raises(ValueError, match="layer_decay must be above 0 and at most 1"):
            rate_scale(model, wrong)
