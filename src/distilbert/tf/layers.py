"""Keras layers with their weights drawn as the configuration says, and the activations."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from distilbert.config import PretrainedConfig


def _gelu(x: Any) -> Any:
    return ops.gelu(x, approximate=False)


def _gelu_new(x: Any) -> Any:
    return ops.gelu(x, approximate=True)


def _quick_gelu(x: Any) -> Any:
    return x * ops.sigmoid(1.702 * x)


ACTIVATION_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_new,
    "gelu_pytorch_tanh": _gelu_new,
    "quick_gelu": _quick_gelu,
    "relu": ops.relu,
    "silu": ops.silu,
    "swish": ops.silu,
    "tanh": ops.tanh,
}


def sinusoids(positions: int, dim: int) -> np.ndarray:
    """Return fixed position embeddings (positions, dim): sines in even columns, cosines in odd."""
    column = np.arange(dim, dtype=np.float64)
    angle = np.arange(positions, dtype=np.float64)[:, None] * 10000 ** (-2 * (column // 2) / dim)
    return np.where(column % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)


def dense(inputs: int, outputs: int, name: str, config: PretrainedConfig, dtype: Any) -> Any:
    """Return a linear layer with weights, normal with `initializer_range`, and bias 0."""
    normal = keras.initializers.RandomNormal(stddev=config.initializer_range)
    layer = keras.layers.Dense(outputs, kernel_initializer=normal, name=name, dtype=dtype)
    layer.build((None, inputs))
    return layer


def layer_norm(name: str, config: PretrainedConfig, dtype: Any) -> Any:
    """Return a layer normalisation over the width, with weights."""
    layer = keras.layers.LayerNormalization(epsilon=config.layer_norm_eps, name=name, dtype=dtype)
    layer.build((None, config.dim))
    return layer


def word_table(rows: int, config: PretrainedConfig, dtype: Any) -> Any:
    """Return word embeddings (rows, C), the padding token's row 0."""
    normal = keras.initializers.RandomNormal(stddev=config.initializer_range)
    table = np.array(ops.convert_to_numpy(normal((rows, config.dim), "float32")))
    if config.pad_token_id is not None:
        table[config.pad_token_id] = 0.0
    return keras.layers.Embedding(
        rows, config.dim, weights=table, name="word_embeddings", dtype=dtype
    )


def position_table(rows: int, config: PretrainedConfig, dtype: Any) -> Any:
    """Return position embeddings (rows, C): learned, or fixed sinusoids."""
    name = "position_embeddings"
    if config.sinusoidal_pos_embds:
        table = sinusoids(rows, config.dim)
        return keras.layers.Embedding(
            rows, config.dim, weights=table, name=name, dtype=dtype, trainable=False
        )
    normal = keras.initializers.RandomNormal(stddev=config.initializer_range)
    layer = keras.layers.Embedding(
        rows, config.dim, embeddings_initializer=normal, name=name, dtype=dtype
    )
    layer.build()
    return layer
