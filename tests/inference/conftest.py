"""Small models of every head, batches for them, and the engines in C++ that were compiled."""

from functools import cache

import pytest
import torch

import distilbert as d
from distilbert.checkpoint import KINDS
from distilbert.native import building, library, processor

HEADS = ("Model", *KINDS)
VOCABULARY, LONGEST = 60, 40
NAMES = [
    name
    for name in building.instruction_sets()
    if building.path_of(name).exists() and processor.has_instructions(name)
]
"""The instruction sets that the engine was compiled for and that this processor has."""
open_once = cache(lambda name: library.open_library(building.path_of(name)))


@pytest.fixture(params=NAMES)
def name(request, monkeypatch):
    """Every instruction set by turns is the engine's."""
    engine = open_once(request.param)
    monkeypatch.setattr(library, "engine", lambda: engine)
    return request.param


@pytest.fixture
def best(monkeypatch):
    """The best of these engines."""
    if not NAMES:
        pytest.skip("not compiled")
    monkeypatch.setattr(library, "engine", lambda: open_once(NAMES[0]))


@pytest.fixture
def make():
    """Make a model: family, head and fields of the configuration, in DistilBERT's names."""

    def made(head="Model", family="DistilBert", seed=0, **fields):
        torch.manual_seed(seed)
        sizes = {
            "vocab_size": VOCABULARY, "max_position_embeddings": LONGEST, "n_layers": 2,
            "n_heads": 4, "dim": 32, "hidden_dim": 48, "num_labels": 3, "initializer_range": 0.2,
        }  # fmt: skip
        sizes |= fields
        config = getattr(d, f"{family}Config")(**sizes, attn_implementation="varlen")
        model = getattr(d, family + head)(config)
        for parameter in model.parameters():  # biases and norms that are not 0 and 1
            parameter.data += 0.05 * torch.randn_like(parameter)
        return model.eval()

    return made


@pytest.fixture
def feed():
    """Make a batch: ids for a mask (B, T), of two choices each for the head that wants them."""

    def fed(head, mask, seed=0):
        draw = torch.Generator().manual_seed(seed)
        ids = torch.randint(0, VOCABULARY, mask.shape, generator=draw)
        if head != "ForMultipleChoice":
            return {"input_ids": ids, "attention_mask": mask}
        both = [torch.stack([x, x.flip(0)], 1) for x in (ids, mask)]
        return dict(zip(("input_ids", "attention_mask"), both, strict=True))

    return fed


@pytest.fixture
def right():
    """Make a mask of right-padded sequences."""

    def made(*lengths):
        return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()

    return made
