"""The masked LM in Keras: pre-training, and filling masks."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from distilbert.config import DistilBertConfig
from distilbert.matching import untie
from distilbert.outputs import MaskedLMOutput
from distilbert.tf import inputs, losses
from distilbert.tf.layers import ACTIVATION_FUNCTIONS, dense, layer_norm
from distilbert.tf.model import Encoder
from distilbert.tf.tasks import TaskModel
from distilbert.tf.weights import QUANTISED, values_of


class Decoder(keras.layers.Layer):
    """From width to vocabulary: a bias, and a matrix (V, C) of its own where it is not tied."""

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(name="vocab_projector", **options)
        normal = keras.initializers.RandomNormal(stddev=config.initializer_range)
        with keras.name_scope(self.name):
            if not config.tie_word_embeddings:
                self.weight = self.add_weight(
                    (config.vocab_size, config.dim), normal, name="weight"
                )
            self.bias = self.add_weight((config.vocab_size,), "zeros", name="bias")
        self.stddev = config.initializer_range
        self.built = True

    def untie(self, weight: np.ndarray) -> None:
        """Take a matrix (V, C) of its own."""
        self.weight = self.add_weight(weight.shape, "zeros", name="weight")
        self.resize(len(weight))  # makes the bias again, after the matrix as in the constructor
        self.weight.assign(weight)

    def resize(self, rows: int) -> None:
        """Grow or cut the vocabulary."""
        normal = keras.initializers.RandomNormal(stddev=self.stddev)
        for name, fill in (("weight", normal), ("bias", "zeros")):
            old = getattr(self, name, None)
            if old is None:
                continue
            delattr(self, name)
            fresh = self.add_weight((rows, *old.shape[1:]), fill, name=name)
            kept = min(rows, old.shape[0])
            fresh.assign(ops.concatenate([old[:kept], fresh[kept:]], axis=0))
            fresh.trainable = old.trainable
            setattr(self, name, fresh)

    def call(self, states: Any, table: Any = None) -> Any:
        """(…, C) -> (…, V), by `table` (V, C) where there is no matrix of its own."""
        table = getattr(self, "weight", table)
        if "int" in inputs.dtype_of(table):  # quantised by hand or with a parent model
            raise ValueError(f"the word embeddings are quantised. {QUANTISED}")
        rows = ops.reshape(states, (-1, ops.shape(states)[-1]))
        logits = ops.matmul(rows, ops.transpose(table)) + self.bias
        return ops.reshape(logits, (*ops.shape(states)[:-1], ops.shape(table)[0]))


@keras.saving.register_keras_serializable("distilbert")
class TFDistilBertForMaskedLM(TaskModel):
    """DistilBERT in Keras that predicts the token at each position: pre-training, filling masks.

    Args:
        config: shape of the network; weights are drawn anew. `from_pretrained` opens a checkpoint.
        options: `name` and `dtype` of a Keras model.

    Example:
        >>> import numpy as np
        >>> from distilbert import DistilBertConfig, TFDistilBertForMaskedLM
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> model = TFDistilBertForMaskedLM(config)
        >>> output = model(np.array([[2, 7, 4, 3]]), labels=np.array([[-100, -100, 9, -100]]))
        >>> output.logits.shape, output.loss.shape
        (TensorShape([1, 4, 100]), TensorShape([]))
    """

    output_class = MaskedLMOutput

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        config, dtype = self.config, self.dtype_policy
        self.activation = ACTIVATION_FUNCTIONS[config.activation]
        with keras.name_scope(self.name):
            self.distilbert = Encoder(config, dtype=dtype)
            self.vocab_transform = dense(config.dim, config.dim, "vocab_transform", config, dtype)
            self.vocab_layer_norm = layer_norm("vocab_layer_norm", config, dtype)
            self.vocab_projector = Decoder(config, dtype=dtype)

    def get_output_embeddings(self) -> Decoder:
        """Return the decoder, from width to vocabulary."""
        return self.vocab_projector

    def untie_if_different(self, weight: np.ndarray, name: str) -> None:
        """Give the decoder a file's weights (V, C) if they are not the word embeddings."""
        words = values_of(self.get_input_embeddings().embeddings)
        if np.array_equal(words, weight.astype(words.dtype)):
            return
        untie(self, name)
        self.vocab_projector.untie(weight.astype(words.dtype))

    def decode(self, tokens: Any) -> Any:
        """(…, C) hidden states -> (…, V) logits."""
        states = self.vocab_layer_norm(self.activation(self.vocab_transform(tokens)))
        return self.vocab_projector(states, table=self.get_input_embeddings().embeddings)

    def check_labels(
        self, labels: Mapping[str, Any], batch: inputs.Size, length: inputs.Size
    ) -> None:
        """Check labels (B, T)."""
        losses.check_classes(labels["labels"], (batch, length), self.config.vocab_size)

    def labels_that_count(self, labels: dict[str, Any], real: Any) -> dict[str, Any]:
        """Leave out labels of masked tokens."""
        return {"labels": losses.only_where(labels["labels"], real)}

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: Any = None,
        training: bool = False,
        position_ids: Any = None,
        token_type_ids: Any = None,
    ) -> Any:
        """Return logits (B, T, V).

        Args:
            labels: (B, T) token ids; -100 is left out of the loss.

        The other arguments are those of `TFDistilBertModel.call`.
        """
        encoded = self.distilbert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            position_ids=position_ids,
            training=training,
        )
        logits = self.decode(encoded.last_hidden_state)
        values = {"logits": losses.hide_masked(logits, self.real_tokens(attention_mask), 0.0)}
        return self.finish(
            attention_mask,
            values,
            {"labels": labels},
            encoded,
            output_attentions,
            output_hidden_states,
            return_dict,
        )
