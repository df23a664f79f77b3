"""A network small enough for every test."""

import pytest

from distilbert import DistilBertConfig


@pytest.fixture
def tiny() -> DistilBertConfig:
    """Two layers, width 32, a vocabulary of 60, three labels."""
    return DistilBertConfig(
        vocab_size=60,
        max_position_embeddings=16,
        n_layers=2,
        n_heads=4,
        dim=32,
        hidden_dim=48,
        num_labels=3,
        initializer_range=0.1,
    )
