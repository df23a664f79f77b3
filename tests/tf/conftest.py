"""Keras models small enough for every test; the PyTorch twin where PyTorch is installed."""

import os
import random
from importlib.util import find_spec

import numpy as np
import pytest

import distilbert as d

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the tests are about the CPU
if find_spec("keras") is None or find_spec("tensorflow") is None:
    collect_ignore_glob = ["test_*.py"]

B, T, CHOICES = 3, 6, 2
HEADS = (
    "DistilBertModel",
    "DistilBertForMaskedLM",
    "DistilBertForSequenceClassification",
    "DistilBertForMultipleChoice",
    "DistilBertForTokenClassification",
    "DistilBertForQuestionAnswering",
)
ACTIVATIONS = ("gelu", "relu", "gelu_new", "silu", "quick_gelu", "tanh")
KEEP = {
    "absent": None,
    "right": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]],
    "left": [[0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1]],
    "holed": [[1, 0, 1, 1, 0, 1], [0, 1, 0, 0, 1, 0], [1, 1, 1, 1, 0, 1]],
    "nothing": [[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]],
}


def random_config(seed: int) -> d.DistilBertConfig:
    """A configuration by `seed`: what has few values takes turns, widths are drawn."""
    draw = random.Random(seed)
    heads, head_size = draw.choice([2, 3, 4]), draw.choice([2, 4, 6])
    return d.DistilBertConfig(
        dim=heads * head_size,
        n_heads=heads,
        n_layers=1 + seed % 3,
        hidden_dim=draw.randint(5, 40),
        activation=ACTIVATIONS[seed % len(ACTIVATIONS)],
        sinusoidal_pos_embds=seed % 2 == 1,
        vocab_size=draw.randint(12, 60),
        max_position_embeddings=draw.randint(T, 20),
        tie_word_embeddings=seed % 4 < 2,
        num_labels=1 + seed % 4,
        chunk_size_feed_forward=[0, 2, 3][seed % 3],
        pad_token_id=[0, 3, None][seed % 3],
        pruned_heads={0: [1]} if seed % 3 == 2 else {},
        initializer_range=0.3,
    )


def random_inputs(
    class_name: str, config: d.DistilBertConfig, mask: str = "absent", seed: int = 0
) -> dict[str, np.ndarray]:
    """Ids, a mask and labels of the class's kind; some labels leave something out."""
    draw = np.random.default_rng(seed)
    choices = class_name.endswith("MultipleChoice")
    shape = (B, CHOICES, T) if choices else (B, T)
    given = {"input_ids": draw.integers(0, config.vocab_size, shape)}
    if KEEP[mask] is not None:
        keep = np.array(KEEP[mask])
        given["attention_mask"] = np.stack([keep] * CHOICES, 1) if choices else keep
    if class_name.endswith("Model"):
        return given
    if class_name.endswith("QuestionAnswering"):
        given["start_positions"] = np.array([2, 0, T + 3])
        given["end_positions"] = np.array([3, T, 1])
        return given
    if class_name.endswith("SequenceClassification") and config.num_labels == 1:
        return {**given, "labels": draw.normal(size=B).astype("float32")}
    by_token = class_name.endswith(("MaskedLM", "TokenClassification"))
    count = config.num_labels
    if class_name.endswith("MaskedLM"):
        count = config.vocab_size
    elif choices:
        count = CHOICES
    labels = draw.integers(0, count, (B, T) if by_token else (B,))
    labels[-1] = -100
    return {**given, "labels": labels}


@pytest.fixture
def tiny() -> d.DistilBertConfig:
    """Two layers, width 32, a vocabulary of 60, three labels."""
    return d.DistilBertConfig(
        vocab_size=60,
        max_position_embeddings=16,
        n_layers=2,
        n_heads=4,
        dim=32,
        hidden_dim=48,
        num_labels=3,
        initializer_range=0.1,
    )


@pytest.fixture
def ids() -> np.ndarray:
    """(3, 5) token ids."""
    return np.random.default_rng(0).integers(0, 60, (3, 5))


@pytest.fixture(params=KEEP)
def mask(request) -> str:
    """Each kind of 2-D mask in turn."""
    return request.param


@pytest.fixture(scope="session")
def draw_config():
    """`random_config`."""
    return random_config


@pytest.fixture(scope="session")
def draw_inputs():
    """`random_inputs`."""
    return random_inputs


@pytest.fixture(params=HEADS)
def class_name(request) -> str:
    """Each class in turn, by its PyTorch name."""
    return request.param
