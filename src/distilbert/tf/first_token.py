"""The Keras classes that read the first token, [CLS]: of a text, and of each choice."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from distilbert.config import DistilBertConfig
from distilbert.outputs import MultipleChoiceModelOutput, SequenceClassifierOutput
from distilbert.tf import inputs, losses
from distilbert.tf.backbone import asks_for_layers
from distilbert.tf.layers import dense
from distilbert.tf.model import Encoder
from distilbert.tf.tasks import TaskModel

# Inputs that multiple choice has one of per choice.
_CHOICES = ("input_ids", "attention_mask", "inputs_embeds", "position_ids")


class _FirstToken(TaskModel):
    """relu(pre_classifier(first token)), dropout, classifier."""

    def _add_layers(self, outputs: int) -> None:
        config, dtype = self.config, self.dtype_policy
        with keras.name_scope(self.name):
            self.distilbert = Encoder(config, dtype=dtype)
            self.pre_classifier = dense(config.dim, config.dim, "pre_classifier", config, dtype)
            self.classifier = dense(config.dim, outputs, "classifier", config, dtype)
            self.dropout = keras.layers.Dropout(
                config.seq_classif_dropout, name="dropout", dtype=dtype
            )

    def classify(self, tokens: Any, training: bool) -> Any:
        """(B, T, C) -> (B, outputs)."""
        states = ops.relu(self.pre_classifier(tokens[:, 0]))
        return self.classifier(self.dropout(states, training=training))


@keras.saving.register_keras_serializable("distilbert")
class TFDistilBertForSequenceClassification(_FirstToken):
    """DistilBERT in Keras that labels or scores a text, or a pair of texts.

    Args:
        config: shape of the network; `num_labels` or `id2label` is the size of the head.
        options: `name` and `dtype` of a Keras model.

    Example:
        >>> import numpy as np
        >>> from distilbert import DistilBertConfig, TFDistilBertForSequenceClassification
        >>> config = DistilBertConfig(
        ...     vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64, num_labels=3
        ... )
        >>> model = TFDistilBertForSequenceClassification(config)
        >>> model.compile(optimizer="sgd")
        >>> texts = {"input_ids": np.array([[2, 7, 9, 3], [2, 8, 9, 3]])}
        >>> history = model.fit(texts, np.array([1, 2]), verbose=0)
        >>> model.predict(texts, verbose=0).logits.shape
        (2, 3)
    """

    output_class = SequenceClassifierOutput

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self._add_layers(self.config.num_labels)

    def check_labels(
        self, labels: Mapping[str, Any], batch: inputs.Size, length: inputs.Size
    ) -> None:
        """Check labels of any kind of problem."""
        losses.check_classification(labels["labels"], batch, self.config)

    def has_classes(self, labels: Mapping[str, Any]) -> bool:
        """Whether each text has one class."""
        return losses.problem(labels["labels"], self.config) == "single_label_classification"

    def task_loss(self, output: Mapping[str, Any], labels: Mapping[str, Any]) -> Any:
        """Return the loss that `config.problem_type`, or else the labels' type, says."""
        return losses.classification(output["logits"], labels["labels"], self.config)

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
        """Return logits (B, num_labels).

        Args:
            labels: (B,) label numbers, (B,) values for one label (regression), or
                (B, num_labels) zeros and ones. `config.problem_type` overrides what the type of
                the labels says.

        The other arguments are those of `TFDistilBertModel.call`.
        """
        encoded = self.distilbert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            position_ids=position_ids,
            first_only=not any(
                asks_for_layers(self.config, output_attentions, output_hidden_states)
            ),
            training=training,
        )
        values = {"logits": self.classify(encoded.last_hidden_state, training)}
        return self.finish(
            attention_mask,
            values,
            {"labels": labels},
            encoded,
            output_attentions,
            output_hidden_states,
            return_dict,
        )


@keras.saving.register_keras_serializable("distilbert")
class TFDistilBertForMultipleChoice(_FirstToken):
    """DistilBERT in Keras that picks one of several continuations or answers.

    Args:
        config: shape of the network.
        options: `name` and `dtype` of a Keras model.

    Example:
        >>> import numpy as np
        >>> from distilbert import DistilBertConfig, TFDistilBertForMultipleChoice
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> model = TFDistilBertForMultipleChoice(config)
        >>> two_choices = np.array([[[2, 7, 9, 3], [2, 7, 8, 3]]])
        >>> model(two_choices, labels=np.array([1])).logits.shape
        TensorShape([1, 2])
    """

    output_class = MultipleChoiceModelOutput

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self._add_layers(1)

    def input_signature(
        self, batch: int | None = None, tokens: int | None = None, choices: int | None = None
    ) -> list[dict[str, Any]]:
        """Return what `export` takes as inputs: ids and mask, int32, of fixed or any size."""
        return inputs.signature((batch, choices, tokens))

    def check_inputs(self, given: Mapping[str, Any]) -> tuple[inputs.Size, inputs.Size]:
        """Check inputs (B, choices, T), and labels of B questions."""
        inputs.check_kinds(given)
        name = "input_ids" if "input_ids" in given else "inputs_embeds"
        shape = inputs.sizes(given[name]) if inputs.is_tensor(given.get(name)) else ()
        expected = 3 if name == "input_ids" else 4
        if name in given and inputs.is_tensor(given[name]) and len(shape) != expected:
            form = "(batch, choices, tokens)" if expected == 3 else "(batch, choices, tokens, dim)"
            raise ValueError(f"the inputs must be {form}, got {shape}")
        flat = {n: _flat_for_checks(x) if n in _CHOICES else x for n, x in given.items()}
        labels = flat.pop("labels", None)
        _, length = super().check_inputs(flat)
        if labels is not None:
            losses.check_classes(labels, shape[:1], shape[1])
        return shape[0], length

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
        """Return logits (B, choices).

        Args:
            input_ids, attention_mask, position_ids: (B, choices, T).
            inputs_embeds: (B, choices, T, C).
            labels: (B,), the number of the right choice.

        The other arguments are those of `TFDistilBertModel.call`.
        """
        choices = ops.shape(input_ids if input_ids is not None else inputs_embeds)[1]
        input_ids, attention_mask, inputs_embeds, position_ids = (
            None if x is None else ops.reshape(x, (-1, *ops.shape(x)[2:]))
            for x in (input_ids, attention_mask, inputs_embeds, position_ids)
        )  # (B, choices, …) -> (B * choices, …)
        encoded = self.distilbert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            position_ids=position_ids,
            first_only=not any(
                asks_for_layers(self.config, output_attentions, output_hidden_states)
            ),
            training=training,
        )
        logits = ops.reshape(self.classify(encoded.last_hidden_state, training), (-1, choices))
        return self.finish(
            attention_mask,
            {"logits": logits},
            {"labels": labels},
            encoded,
            output_attentions,
            output_hidden_states,
            return_dict,
        )


def _flat_for_checks(x: Any) -> Any:
    """(B, choices, …) -> (B * choices, …): values if they are on the host, else only sizes."""
    if not inputs.is_tensor(x):
        return x
    values = inputs.on_host(x)
    if values is not None:
        return values.reshape(-1, *values.shape[2:])
    batch, choices, *rest = inputs.sizes(x)
    rows = None if batch is None or choices is None else batch * choices
    return keras.KerasTensor((rows, *rest), inputs.dtype_of(x))
