"""A tiny model, and processes that are new to accelerate."""

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from torch import nn

from distilbert.runtime import launch


@pytest.fixture
def start(monkeypatch):
    """`launch.start`, in a process where nothing was started yet."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    threads = torch.get_num_threads()
    state = torch.get_rng_state()
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    yield launch.start
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 33), nn.LayerNorm(33), nn.Tanh(), nn.Linear(33, 2))
