"""One process here, two in ranks.py: the gradients of a step are sums, whoever takes which part."""

import os
import subprocess
import sys
from pathlib import Path

import accelerate
import pytest
import torch
from torch import nn

from distilbert.runtime import launch as launching


def test_one_process(start, model):
    launch = start(cpu=True, seed=3)
    first = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(first, torch.rand(3))
    assert (launch.device.type, launch.rank, launch.ranks) == ("cpu", 0, 1)
    assert launch.is_main
    assert launch.wrap(model) is model
    with launch.no_sync(model):
        launch.backward(model(torch.ones(2, 4)).sum())
    grad = model[0].weight.grad.clone()
    model.zero_grad()
    model(torch.ones(2, 4)).sum().backward()
    assert torch.equal(grad, model[0].weight.grad)
    tensor = torch.arange(3)
    assert torch.equal(launch.reduce_sum(tensor), tensor)
    assert launch.scaler is None
    assert launch.scaler_state() == {}
    assert launch.describe() == {
        "device": "cpu",
        "ranks": 1,
        "threads": torch.get_num_threads(),
        "precision": "fp32",
        "deterministic": False,
    }
    launch.agree({"step": 3})
    assert launch.gather(3) == [3]
    assert launch.on_main(lambda: 3) == 3
    assert launch.tensors_of_main(lambda: {"a": tensor})["a"] is tensor


def test_precision(start):
    launch = start("bf16", cpu=True)
    layer = nn.Linear(2, 2)
    with launch.autocast():
        assert layer(torch.ones(1, 2)).dtype == torch.bfloat16
    assert layer(torch.ones(1, 2)).dtype == torch.float32
    with pytest.raises(ValueError, match="cannot be changed"):
        start(cpu=True)


def test_bad_settings(start):
    with pytest.raises(ValueError, match=r"precision must be one of .*got 'int8'"):
        start("int8", cpu=True)
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        start("fp16", cpu=True)


def test_deterministic(start):
    assert start(cpu=True, deterministic=True).describe()["deterministic"]
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_the_environment_does_not_divide_the_loss(start, monkeypatch):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    launch = start(cpu=True)
    weight = torch.ones(1, requires_grad=True)
    launch.backward(weight * 3)
    assert weight.grad.item() == 3


def test_apple_s_gpu_is_not_used(start, monkeypatch):
    def found(check_available=False):
        return torch.device("mps")

    monkeypatch.setattr(torch.accelerator, "current_accelerator", found)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(accelerate.state, "is_mps_available", lambda *given, **options: True)
    monkeypatch.setattr(launching, "bf16_is_fast", lambda device: device.type != "cpu")
    assert start().device.type == "cpu"
    assert launching.best_precision() == "fp32"


def test_the_accelerator_that_is_there_is_used(monkeypatch):
    for found, expected in ((torch.device("cuda"), "cuda"), (None, "cpu")):
        monkeypatch.setattr(
            torch.accelerator, "current_accelerator", lambda found=found, **_: found
        )
        assert launching.default_device().type == expected


def test_processes_that_do_not_find_each_other(start, monkeypatch):
    def wait(**options):
        raise torch.distributed.DistStoreError("Timed out: 1/2 clients joined.")

    monkeypatch.setattr(launching, "Accelerator", wait)
    with pytest.raises(ConnectionError, match=r"did not find each other: Timed out: 1/2 clients"):
        start(cpu=True)


def test_two_processes():
    """Under torchrun; the script holds the assertions."""
    script = Path(__file__).with_name("ranks.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command += ["--master_port", "0", "--standalone", script]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("spoken") == 1
    assert done.stderr.count("said") == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_fp16_on_cuda(start, model):
    from distilbert.runtime.optimisation import make_optimizer, update

    launch = start("fp16")
    module = launch.wrap(model)
    optimizer = make_optimizer(model)
    before = launch.scaler_state()["scale"]
    with launch.autocast():
        loss = module(torch.ones(2, 4, device=launch.device)).float().sum()
    launch.backward(loss * float("inf"))
    update(launch, optimizer, step=0, rate=0.1)
    assert launch.scaler_state()["scale"] == before / 2
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_bf16_where_it_is_slow_warns(start, monkeypatch, caplog):
    cases = ((False, ["bf16 is slow on this processor: fp32 is faster"]), (True, []))
    for fast, said in cases:
        monkeypatch.setattr(launching, "bf16_is_fast", lambda device, fast=fast: fast)
        start("bf16", cpu=True)
        assert caplog.messages == said
        assert launching.best_precision() == ("bf16" if fast else "fp32")
        caplog.clear()
