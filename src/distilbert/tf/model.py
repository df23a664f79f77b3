"""The network in Keras, top to bottom: embeddings, attention, feed-forward, block, encoder.

DistilBERT (arXiv 1910.01108), computed with `keras.ops`, so any backend of Keras runs it. There is
one path, the padded one. Layers have the names that their weights have in files.

Shapes, in every file of this folder: `B` batch, `T` tokens, `H` heads, `D` head size, `C` width,
`F` feed-forward width, `V` vocabulary. Linear layers get tokens as rows, (B * T, C): a product of
two matrices is what libraries compute fastest.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from distilbert.config import PretrainedConfig
from distilbert.tf.inputs import attention_bias


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


class Embeddings(keras.layers.Layer):
    """Words + positions, normalised."""

    def __init__(self, config: PretrainedConfig, **options: Any) -> None:
        super().__init__(name="embeddings", **options)
        self.padding = config.pad_token_id
        dtype = self.dtype_policy
        with keras.name_scope(self.name):
            self.word_embeddings = word_table(config.vocab_size, config, dtype)
            self.position_embeddings = position_table(config.max_position_embeddings, config, dtype)
            self.LayerNorm = layer_norm("LayerNorm", config, dtype)
            self.dropout = keras.layers.Dropout(config.dropout, name="dropout", dtype=dtype)
        self.built = True

    def call(
        self,
        input_ids: Any = None,
        inputs_embeds: Any = None,
        position_ids: Any = None,
        training: bool = False,
    ) -> Any:
        """Ids (B, T) or embeddings (B, T, C) -> (B, T, C); positions from 0 unless given."""
        words = inputs_embeds
        if words is None:
            words = self.word_embeddings(input_ids)
            if self.padding is not None:  # its row is not trained, as in PyTorch
                at_padding = ops.expand_dims(ops.equal(input_ids, self.padding), -1)
                words = ops.where(at_padding, ops.stop_gradient(words), words)
        if position_ids is None:
            position_ids = ops.arange(ops.shape(words)[1])
        x = words + self.position_embeddings(position_ids)
        return self.dropout(self.LayerNorm(x), training=training)


class MultiHeadSelfAttention(keras.layers.Layer):
    """Every token looks at every token of its sequence."""

    def __init__(self, config: PretrainedConfig, layer: int, **options: Any) -> None:
        super().__init__(name="attention", **options)
        pruned = set(config.pruned_heads.get(layer, ()))
        self.kept_heads = tuple(h for h in range(config.n_heads) if h not in pruned)
        self.n_heads, self.all_heads = len(self.kept_heads), config.n_heads
        self.head_size = config.dim // config.n_heads
        width, dtype = self.n_heads * self.head_size, self.dtype_policy
        with keras.name_scope(self.name):
            self.q_lin = dense(config.dim, width, "q_lin", config, dtype)
            self.k_lin = dense(config.dim, width, "k_lin", config, dtype)
            self.v_lin = dense(config.dim, width, "v_lin", config, dtype)
            self.out_lin = dense(width, config.dim, "out_lin", config, dtype)
            self.dropout = keras.layers.Dropout(
                config.attention_dropout, name="dropout", dtype=dtype
            )
        self.built = True

    def call(
        self, x: Any, bias: Any = None, head_mask: Any = None, training: bool = False
    ) -> tuple[Any, Any]:
        """(B, T, C) -> (B, T, C), and the weights (B, H, T, T) as they act on the values.

        Args:
            bias: what is added to the scores, broadcastable to (B, H, T, T).
            head_mask: (H,), a factor on the weights of each head.
        """
        batch, length, width = ops.shape(x)
        rows = ops.reshape(x, (-1, width))
        heads = (batch, length, self.n_heads, self.head_size)
        q, k, v = (
            ops.transpose(ops.reshape(linear(rows), heads), (0, 2, 1, 3))  # (B, H, T, D)
            for linear in (self.q_lin, self.k_lin, self.v_lin)
        )
        scores = ops.matmul(q / math.sqrt(self.head_size), ops.transpose(k, (0, 1, 3, 2)))
        if bias is not None:
            scores = scores + bias
        weights = self.dropout(ops.softmax(scores, axis=-1), training=training)  # (B, H, T, T)
        if head_mask is not None:
            if self.n_heads != self.all_heads:
                head_mask = ops.take(head_mask, list(self.kept_heads))
            weights = weights * ops.reshape(head_mask, (1, self.n_heads, 1, 1))
        context = ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3))  # (B, T, H, D)
        context = self.out_lin(ops.reshape(context, (-1, self.n_heads * self.head_size)))
        return ops.reshape(context, (batch, length, width)), weights


class FFN(keras.layers.Layer):
    """Two linear layers with an activation between them, token by token.

    `chunk_size_feed_forward` saves memory and changes no value; it has no effect here.
    """

    def __init__(self, config: PretrainedConfig, **options: Any) -> None:
        super().__init__(name="ffn", **options)
        self.activation = ACTIVATION_FUNCTIONS[config.activation]
        dtype = self.dtype_policy
        with keras.name_scope(self.name):
            self.lin1 = dense(config.dim, config.hidden_dim, "lin1", config, dtype)
            self.lin2 = dense(config.hidden_dim, config.dim, "lin2", config, dtype)
            self.dropout = keras.layers.Dropout(config.dropout, name="dropout", dtype=dtype)
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        """(B, T, C) -> (B, T, C)."""
        rows = ops.reshape(x, (-1, ops.shape(x)[-1]))
        rows = self.lin2(self.activation(self.lin1(rows)))
        return self.dropout(ops.reshape(rows, ops.shape(x)), training=training)


class TransformerBlock(keras.layers.Layer):
    """Attention and feed-forward, each added to its input and then normalised."""

    def __init__(self, config: PretrainedConfig, layer: int, **options: Any) -> None:
        super().__init__(name=f"layer_{layer}", **options)
        dtype = self.dtype_policy
        with keras.name_scope(self.name):
            self.attention = MultiHeadSelfAttention(config, layer, dtype=dtype)
            self.sa_layer_norm = layer_norm("sa_layer_norm", config, dtype)
            self.ffn = FFN(config, dtype=dtype)
            self.output_layer_norm = layer_norm("output_layer_norm", config, dtype)
        self.built = True

    def call(
        self, x: Any, bias: Any = None, head_mask: Any = None, training: bool = False
    ) -> tuple[Any, Any]:
        """(B, T, C) -> (B, T, C), and the attention weights (B, H, T, T)."""
        context, weights = self.attention(x, bias=bias, head_mask=head_mask, training=training)
        x = self.sa_layer_norm(context + x)
        return self.output_layer_norm(self.ffn(x, training=training) + x), weights


class Transformer(keras.layers.Layer):
    """The stack of blocks."""

    def __init__(self, config: PretrainedConfig, **options: Any) -> None:
        super().__init__(name="transformer", **options)
        with keras.name_scope(self.name):
            self.layer = [
                TransformerBlock(config, i, dtype=self.dtype_policy) for i in range(config.n_layers)
            ]
        self.built = True

    def call(
        self, x: Any, bias: Any = None, head_mask: Any = None, training: bool = False
    ) -> tuple[list[Any], list[Any]]:
        """(B, T, C) -> n_layers + 1 hidden states (B, T, C), x first, and n_layers weights."""
        hidden_states, attentions = [x], []
        for number, block in enumerate(self.layer):
            factors = head_mask
            if head_mask is not None and len(head_mask.shape) == 2:
                factors = head_mask[number]
            x, weights = block(x, bias=bias, head_mask=factors, training=training)
            hidden_states.append(x)
            attentions.append(weights)
        return hidden_states, attentions


class Encoder(keras.layers.Layer):
    """Embeddings and transformer: the part that all DistilBERT classes share."""

    def __init__(self, config: PretrainedConfig, **options: Any) -> None:
        super().__init__(name="distilbert", **options)
        with keras.name_scope(self.name):
            self.embeddings = Embeddings(config, dtype=self.dtype_policy)
            self.transformer = Transformer(config, dtype=self.dtype_policy)
        self.built = True

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        position_ids: Any = None,
        training: bool = False,
    ) -> tuple[list[Any], list[Any]]:
        """Return n_layers + 1 hidden states (B, T, C) and n_layers attention weights."""
        x = self.embeddings(input_ids, inputs_embeds, position_ids, training=training)
        bias = attention_bias(attention_mask, self.compute_dtype)
        if head_mask is not None:
            head_mask = ops.cast(head_mask, self.compute_dtype)
        return self.transformer(x, bias=bias, head_mask=head_mask, training=training)
