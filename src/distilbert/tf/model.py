"""The network in Keras, top to bottom: embeddings, attention, feed-forward, block, encoder.

DistilBERT (arXiv 1910.01108), computed with `keras.ops`, so that TensorFlow and JAX run it. Layers
have the names that their weights have in files. On the unpadded path (`varlen`) all but attention
itself works on the N real tokens alone.

Shapes, in every file of this folder: `B` batch, `T` tokens, `N` real tokens, `H` heads, `D` head
size, `C` width, `F` feed-forward width, `V` vocabulary. Linear layers get tokens as rows,
(B * T, C): a product of two matrices is what libraries compute fastest.
"""

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from distilbert.config import PretrainedConfig
from distilbert.outputs import BaseModelOutput
from distilbert.tf.inputs import attention_bias, lowest
from distilbert.tf.layers import (
    ACTIVATION_FUNCTIONS,
    dense,
    layer_norm,
    position_table,
    word_table,
)


def places(mask: Any) -> Any:
    """Return (N,), where in B * T the real tokens are, by a mask (B, T).

    A row's first token counts as real: heads read it. Attention still sees the mask.
    """
    is_first = ops.arange(ops.shape(mask)[1]) == 0
    real = ops.logical_or(ops.not_equal(ops.cast(mask, "int32"), 0), is_first)
    return ops.nonzero(ops.reshape(real, (-1,)))[0]


def put_back(x: Any, kept: Any, rows: Any) -> Any:
    """(N, C) at the places `kept` -> (rows, C), 0 elsewhere."""
    return ops.scatter(ops.expand_dims(kept, -1), x, (rows, ops.shape(x)[1]))


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
        self,
        x: Any,
        bias: Any = None,
        head_mask: Any = None,
        kept: Any = None,
        queries: Any = None,
        training: bool = False,
    ) -> tuple[Any, Any]:
        """(B, T, C) -> (B, T, C), and the weights (B, H, T, T) as they act on the values.

        Args:
            bias: what is added to the scores, broadcastable to (B, H, T, T).
            head_mask: (H,), a factor on the weights of each head.
            kept: (N,), on the unpadded path: the places of the tokens of x, (N, C), in B * T.
            queries: (B, Q, C), the tokens that look at x and are returned, with weights
                (B, H, Q, T); without it all of x.
        """
        width = self.n_heads * self.head_size
        shape = ops.shape(x)
        batch, length = shape[:2] if kept is None else (ops.shape(bias)[0], ops.shape(bias)[3])
        asked, kept_asked, length_asked = x, kept, length
        if queries is not None:
            asked, kept_asked, length_asked = queries, None, ops.shape(queries)[1]

        def by_head(linear: Any, tokens: Any, kept: Any, length: Any) -> Any:
            y = linear(ops.reshape(tokens, (-1, shape[-1])))
            if kept is not None:
                y = put_back(y, kept, batch * length)
            y = ops.reshape(y, (batch, length, self.n_heads, self.head_size))
            return ops.transpose(y, (0, 2, 1, 3))  # (B, H, T, D)

        q = by_head(self.q_lin, asked, kept_asked, length_asked)
        k, v = (by_head(linear, x, kept, length) for linear in (self.k_lin, self.v_lin))
        scores = ops.matmul(q / math.sqrt(self.head_size), ops.transpose(k, (0, 1, 3, 2)))
        if bias is not None:
            scores = scores + bias
            if self.compute_dtype == "float16":  # where a score below the lowest number is -inf
                scores = ops.maximum(scores, lowest("float16"))
        weights = self.dropout(ops.softmax(scores, axis=-1), training=training)  # (B, H, T, T)
        if head_mask is not None:
            if self.n_heads != self.all_heads:
                head_mask = ops.take(head_mask, list(self.kept_heads))
            weights = weights * ops.reshape(head_mask, (1, self.n_heads, 1, 1))
        context = ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3))  # (B, T, H, D)
        context = ops.reshape(context, (-1, width))
        if kept_asked is not None:
            context = ops.take(context, kept_asked, axis=0)
        return ops.reshape(self.out_lin(context), ops.shape(asked)), weights


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
        self,
        x: Any,
        bias: Any = None,
        head_mask: Any = None,
        kept: Any = None,
        queries: Any = None,
        training: bool = False,
    ) -> tuple[Any, Any]:
        """(…, C) -> (…, C), and the attention weights (B, H, T, T); as attention does it."""
        context, weights = self.attention(
            x, bias=bias, head_mask=head_mask, kept=kept, queries=queries, training=training
        )
        x = self.sa_layer_norm(context + (x if queries is None else queries))
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
        self,
        x: Any,
        bias: Any = None,
        head_mask: Any = None,
        kept: Any = None,
        first_only: bool = False,
        training: bool = False,
    ) -> tuple[list[Any], list[Any]]:
        """(B, T, C) -> n_layers + 1 hidden states (B, T, C), x first, and n_layers weights.

        Args:
            kept: (N,), on the unpadded path: the places in B * T of the tokens to compute; the
                others become 0.
            first_only: the last block computes the first tokens alone: (B, 1, C), (B, H, 1, T).
        """
        shape = ops.shape(x)

        def whole(x: Any) -> Any:
            return x if kept is None else ops.reshape(put_back(x, kept, shape[0] * shape[1]), shape)

        if kept is not None:
            x = ops.take(ops.reshape(x, (-1, shape[2])), kept, axis=0)  # (N, C)
        hidden_states, attentions = [whole(x)], []
        for number, block in enumerate(self.layer):
            factors, queries = head_mask, None
            if head_mask is not None and len(head_mask.shape) == 2:
                factors = head_mask[number]
            if first_only and block is self.layer[-1]:
                queries = hidden_states[-1][:, :1]
                bias = bias if bias is None else bias[:, :, :1]
            x, weights = block(
                x, bias=bias, head_mask=factors, kept=kept, queries=queries, training=training
            )
            hidden_states.append(whole(x) if queries is None else x)
            attentions.append(weights)
        return hidden_states, attentions


class Encoder(keras.layers.Layer):
    """Embeddings and transformer: the part that all DistilBERT classes share."""

    def __init__(self, config: PretrainedConfig, **options: Any) -> None:
        super().__init__(name="distilbert", **options)
        self.unpadded = config.attn_implementation == "varlen"
        self.supports_jit = not self.unpadded  # XLA needs to know how many tokens there are
        with keras.name_scope(self.name):
            self.embeddings = Embeddings(config, dtype=self.dtype_policy)
            self.transformer = Transformer(config, dtype=self.dtype_policy)
        self.built = True

    def __call__(self, input_ids: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Compute; see `call` for the arguments, which may also be one mapping."""
        if isinstance(input_ids, Mapping):
            return super().__call__(*args, **input_ids, **kwargs)
        return super().__call__(input_ids, *args, **kwargs)

    def unpads(self, attention_mask: Any) -> bool:
        """Whether padding is dropped: `attn_implementation="varlen"` and a mask (B, T)."""
        return self.unpadded and attention_mask is not None and len(attention_mask.shape) == 2

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        position_ids: Any = None,
        first_only: bool = False,
        training: bool = False,
    ) -> BaseModelOutput:
        """Return the hidden states (B, T, C) and attention weights of all layers, asked for or not.

        Args:
            first_only: of the last layer nothing but first tokens is read: it computes no others.
        """
        x = self.embeddings(input_ids, inputs_embeds, position_ids, training=training)
        bias = attention_bias(attention_mask, self.compute_dtype)
        if head_mask is not None:
            head_mask = ops.cast(head_mask, self.compute_dtype)
        hidden_states, attentions = self.transformer(
            x,
            bias=bias,
            head_mask=head_mask,
            kept=places(attention_mask) if self.unpads(attention_mask) else None,
            first_only=first_only,
            training=training,
        )
        return BaseModelOutput(
            last_hidden_state=hidden_states[-1],
            hidden_states=tuple(hidden_states),
            attentions=tuple(attentions),
        )
