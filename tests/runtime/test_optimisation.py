"""Rates, groups, clipping, and an optimiser that goes on bit for bit from its tensors."""

import json
import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load, save

from distilbert.runtime import optimisation
from distilbert.runtime.launch import Launch
from distilbert.runtime.optimisation import (
    check_finite,
    learning_rate,
    make_optimizer,
    restore,
    state_tensors,
    update,
)


def plain(scaler=None):
    return Launch(SimpleNamespace(scaler=scaler), "fp32" if scaler is None else "fp16")


def gradients(model, step, scale=1.0):
    torch.manual_seed(step)
    (model(torch.randn(6, 4)).square().sum() * scale).backward()


def train(model, optimizer, steps):
    for step in steps:
        gradients(model, step)
        rate = learning_rate(step, total=20, peak=0.1, warmup=4)
        update(plain(), optimizer, step=step, rate=rate, max_norm=1.0)


def test_learning_rate():
    rates = [learning_rate(step, total=100, peak=2.0, warmup=10) for step in range(100)]
    assert rates[0] == 0.2
    assert rates[9] == rates[10] == max(rates) == 2.0
    assert rates[99] == pytest.approx(2.0 / 90)
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert learning_rate(0, total=3, peak=1.0) == 1.0
    assert learning_rate(0, total=3, peak=1.0, warmup=2) == 0.5
    assert learning_rate(1, total=2, peak=1.0, warmup=2) == 1.0
    for bad in ({"warmup": 4}, {"warmup": -1}):
        with pytest.raises(ValueError, match="warmup must be within 0 and the 3 steps"):
            learning_rate(0, total=3, peak=1.0, **bad)
    with pytest.raises(ValueError, match="step must be within 0 and 2, got 3"):
        learning_rate(3, total=3, peak=1.0)


def test_groups(model):
    model[0].weight.requires_grad = False
    optimizer = make_optimizer(model, weight_decay=0.1, betas=(0.8, 0.9), eps=1e-7)
    decayed, kept = optimizer.param_groups
    assert decayed["param_names"] == ["3.weight"]
    assert kept["param_names"] == ["0.bias", "1.weight", "1.bias", "3.bias"]
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert decayed["fused"]
    for parameter in model.parameters():
        parameter.requires_grad = False
    with pytest.raises(ValueError, match="all weights are frozen: there is nothing to train"):
        make_optimizer(model)


def test_update_is_adamw_with_clipping(model):
    """Against the formula, written out."""
    optimizer = make_optimizer(model, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.1)
    before = {name: p.detach().double() for name, p in model.named_parameters()}
    first = {name: torch.zeros_like(p) for name, p in before.items()}
    second = {name: torch.zeros_like(p) for name, p in before.items()}
    for step in range(3):
        gradients(model, step)
        grads = {name: p.grad.double() for name, p in model.named_parameters()}
        norm = math.sqrt(sum(g.square().sum().item() for g in grads.values()))
        assert norm > 0.5
        told = update(plain(), optimizer, step=step, rate=0.01, max_norm=0.5)
        assert told == pytest.approx(norm, rel=1e-5)
        for name, parameter in model.named_parameters():
            assert parameter.grad is None
            gradient = grads[name] * 0.5 / norm
            first[name] = 0.8 * first[name] + 0.2 * gradient
            second[name] = 0.9 * second[name] + 0.1 * gradient**2
            if parameter.ndim > 1:
                before[name] = before[name] * (1 - 0.01 * 0.1)
            mean, square = (
                first[name] / (1 - 0.8 ** (step + 1)),
                second[name] / (1 - 0.9 ** (step + 1)),
            )
            before[name] = before[name] - 0.01 * mean / (square.sqrt() + 1e-6)
            torch.testing.assert_close(
                parameter.detach().double(), before[name], rtol=1e-4, atol=1e-5
            )


def test_without_a_norm_nothing_is_clipped(model):
    gradients(model, 0, scale=1e3)
    grads = [p.grad.clone() for p in model.parameters()]
    seen = []
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.0)
    optimizer.register_step_pre_hook(
        lambda *_: seen.extend(p.grad.clone() for p in model.parameters())
    )
    update(plain(), optimizer, step=0, rate=0.1)
    assert all(torch.equal(a, b) for a, b in zip(grads, seen, strict=True))


def test_state_goes_on_bit_for_bit(model):
    whole = make_optimizer(model, weight_decay=0.01)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(model, whole, range(9))
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    model.load_state_dict(start)
    halfway = make_optimizer(model, weight_decay=0.01)
    train(model, halfway, range(4))
    tensors = state_tensors(halfway)
    assert set(tensors) == {
        f"{name}.{key}"
        for name, _ in model.named_parameters()
        for key in ("step", "exp_avg", "exp_avg_sq")
    }
    content = save(tensors)

    resumed = make_optimizer(model, weight_decay=0.01)
    restore(resumed, load(content))
    train(model, resumed, range(4, 9))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    for name, tensor in state_tensors(resumed).items():
        assert torch.equal(tensor, state_tensors(whole)[name]), name


def test_restored_state_is_a_copy(model):
    one, other = make_optimizer(model), make_optimizer(model)
    train(model, one, range(2))
    restore(other, state_tensors(one))
    kept = {name: tensor.clone() for name, tensor in state_tensors(one).items()}
    train(model, other, range(2))
    assert all(torch.equal(kept[name], t) for name, t in state_tensors(one).items())


def test_parameters_without_gradient_have_no_state(model):
    optimizer = make_optimizer(model)
    model[0](torch.randn(2, 4)).sum().backward()
    update(plain(), optimizer, step=0, rate=0.1)
    tensors = state_tensors(optimizer)
    assert {name.rpartition(".")[0] for name in tensors} == {"0.weight", "0.bias"}
    other = make_optimizer(model)
    restore(other, tensors)
    assert set(state_tensors(other)) == set(tensors)


def test_state_of_another_model(model):
    optimizer = make_optimizer(model)
    with pytest.raises(ValueError, match=r"the model has no parameter '7\.weight'"):
        restore(optimizer, {"7.weight.exp_avg": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"is \(2,\), the parameter is \(33, 4\)"):
        restore(optimizer, {"0.weight.exp_avg": torch.zeros(2)})


def test_a_gradient_that_is_not_finite_stops_the_run(model):
    optimizer = make_optimizer(model)
    train(model, optimizer, range(2))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for bad in (math.nan, math.inf):
        gradients(model, 2, scale=bad)
        with pytest.raises(ValueError, match=r"norm of the gradients is .* step 2.*is intact"):
            update(plain(), optimizer, step=2, rate=0.1, max_norm=1.0)
        optimizer.zero_grad()
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    check_finite(1.0, "the loss", 3)
    with pytest.raises(ValueError, match="the loss is nan in step 3"):
        check_finite(math.nan, "the loss", 3)


def test_fp16_leaves_out_steps_that_overflow(model, monkeypatch):
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
    launch, optimizer = plain(scaler), make_optimizer(model)

    def step(number, scale):
        torch.manual_seed(number)
        scaler.scale(model(torch.randn(6, 4)).square().sum() * scale).backward()
        return update(launch, optimizer, step=number, rate=0.1, max_norm=1.0)

    assert math.isfinite(step(0, 1.0))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert not math.isfinite(step(1, math.inf))
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    state = launch.scaler_state()
    assert state["scale"] == 512.0
    assert json.loads(json.dumps(state)) == state

    other = plain(torch.amp.GradScaler("cpu"))
    other.restore_scaler(json.loads(json.dumps(state)))
    assert other.scaler_state() == state
    with pytest.raises(ValueError, match="written without fp16"):
        other.restore_scaler({})
    with pytest.raises(ValueError, match="written with another precision"):
        plain().restore_scaler(state)
    plain().restore_scaler({})

    monkeypatch.setattr(optimisation, "LOWEST_SCALE", 512.0)
    with pytest.raises(ValueError, match=r"however small .* in step 5"):
        step(5, math.nan)


def test_fp16_clips_what_the_gradients_are_without_the_scale(model):
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = make_optimizer(model)
    gradients(model, 0)
    norm = update(plain(), optimizer, step=0, rate=0.1, max_norm=0.01)
    expected = state_tensors(optimizer)

    model.load_state_dict(start)
    scaler, optimizer = torch.amp.GradScaler("cpu", init_scale=1024.0), make_optimizer(model)
    torch.manual_seed(0)
    scaler.scale(model(torch.randn(6, 4)).square().sum()).backward()
    assert update(plain(scaler), optimizer, step=0, rate=0.1, max_norm=0.01) == norm > 0.01
    for name, tensor in state_tensors(optimizer).items():
        torch.testing.assert_close(tensor, expected[name])


def test_fused_and_plain_agree(model):
    fused = make_optimizer(model)
    assert fused.param_groups[0]["fused"]
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(model, fused, range(5))
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(start)
    slow = torch.optim.AdamW(
        model.named_parameters(), lr=0.0, betas=(0.9, 0.98), eps=1e-6, weight_decay=0, fused=False
    )
    train(model, slow, range(5))
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_state_goes_on_bit_for_bit_on_cuda(model):
    model = model.cuda()

    def step(number):
        torch.manual_seed(number)
        model(torch.randn(6, 4).cuda()).square().sum().backward()
        update(plain(), optimizer, step=number, rate=0.1, max_norm=1.0)

    optimizer = make_optimizer(model)
    assert optimizer.param_groups[0]["fused"]
    for number in range(3):
        step(number)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    content = save(state_tensors(optimizer))
    step(3)
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(weights)
    optimizer = make_optimizer(model)
    restore(optimizer, load(content))
    assert all(t.device.type == "cuda" for t in state_tensors(optimizer).values())
    step(3)
    assert all(torch.equal(expected[name], t) for name, t in model.state_dict().items())
